#include "executor.h"

#include <string.h>
#include "clock.h"
#include "cleanup.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "permit.h"
#include "run.h"

#define INSPECT_MS 5000u
#define CODE_MAX   (1024u * 1024)
/* Before a handler's own deadline, so that the answer still arrives. */
#define ANSWER_EARLY_MS 20u

/* ---- Execute ---- */

#define PURPOSE(name) (1u << MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_##name)

/* Who may have what run.  So a gateway can do nothing with a review permit, nor the registry with another. */
static const struct {
	enum bus_role role;
	uint32_t purposes;
} callers[] = {
	{ ROLE_GATEWAY, PURPOSE(LIVE) | PURPOSE(TEST) },
	{ ROLE_REGISTRY, PURPOSE(REVIEW) },
};

static uint32_t purposes_of(enum bus_role role)
{
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		if (callers[i].role == role)
			return callers[i].purposes;
	return 0;
}

static int take_blobs(struct executor *x, const PB(ExecuteRequest) * in, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < in->n_blobs; i++)
		r = blobs_put(x->blobs, in->blobs[i], err);
	return r;
}

/* What is still missing to start; nothing is started then. */
static void answer_need(struct bus_request *rq, const PB(Permit) * permit, bool needs_spec,
			bool needs_grant)
{
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	ProtobufCBinaryData need[2];

	reply.need = need;
	if (needs_spec)
		need[reply.n_need++] = permit->spec_hash;
	if (needs_grant)
		need[reply.n_need++] = permit->grant_hash;
	bus_answer(rq, &reply.base);
}

static int start_call(struct bus_request *rq, const PB(Permit) * permit, struct blob *spec,
		      struct blob *grant, uint64_t received_us, struct err *err)
{
	struct executor *x = rq->service;
	const PB(ExecuteRequest) *in = (const PB(ExecuteRequest) *)rq->in;
	struct call_order order = { .call_id = in->call_id,
				    .permit = permit,
				    .signed_permit = in->permit,
				    .spec = spec,
				    .grant = grant,
				    .arguments = { in->arguments_json.data,
						   in->arguments_json.len },
				    .wants_progress = in->wants_progress,
				    .log_level = in->log_level,
				    .received_us = received_us };

	if (clock_mono_ms() >= rq->deadline_mono_ms)
		return err_set(err, ERR_DEADLINE, "the time was over before the tool was started");
	buf_clear(rq->out);
	return calls_execute(x->calls, &order, rq->deadline_mono_ms - ANSWER_EARLY_MS, rq->out,
			     err);
}

static int handle_execute(struct bus_request *rq, struct err *err)
{
	struct executor *x = rq->service;
	const PB(ExecuteRequest) *in = (const PB(ExecuteRequest) *)rq->in;
	BOX_CLEANUP(msg_freep) PB(Permit) *permit = NULL;
	BOX_CLEANUP(blob_unrefp) struct blob *spec = NULL;
	BOX_CLEANUP(blob_unrefp) struct blob *grant = NULL;
	uint64_t received_us = clock_mono_us();
	bool wants_grant;
	int r;

	if (!in->permit || in->call_id[0] == 0)
		return err_set(err, ERR_INVALID, "a call needs an id and a permit");
	r = permit_check(x->bus, in->permit, purposes_of(rq->from), x->cfg.stale_max_ms, &permit,
			 err);
	if (r == 0)
		r = take_blobs(x, in, err);
	if (r < 0)
		return r;
	wants_grant = permit->grant_hash.len > 0;
	spec = blobs_get(x->blobs, permit->spec_hash);
	grant = blobs_get(x->blobs, permit->grant_hash);
	if (!spec || (wants_grant && !grant)) {
		answer_need(rq, permit, !spec, wants_grant && !grant);
		return 0;
	}
	return start_call(rq, permit, spec, grant, received_us, err);
}

static int handle_wait(struct bus_request *rq, struct err *err)
{
	struct executor *x = rq->service;
	const PB(WaitRequest) *in = (const PB(WaitRequest) *)rq->in;
	struct call *call = calls_find(x->calls, in->call_id);

	if (!call)
		return err_set(err, ERR_NOT_FOUND, "no such call on this executor");
	buf_clear(rq->out);
	call_wait(call, in->after_seq, rq->deadline_mono_ms - ANSWER_EARLY_MS, rq->out);
	call_unref(call);
	return 0;
}

/* ---- Inspect ---- */

static int inspect(struct executor *x, const PB(InspectRequest) * in, PB(InspectReply) * *ret,
		   struct err *err)
{
	struct job job = {
		.is_inspection = true,
		.code = { in->python_code.data, in->python_code.len },
		.input_schema = { in->input_schema_json.data, in->input_schema_json.len },
		.output_schema = { in->output_schema_json.data, in->output_schema_json.len },
		.limits = { .timeout_ms = INSPECT_MS }
	};
	struct run_facts facts;
	struct run run;
	int r;

	job_limits_complete(&job.limits);
	run_init(&run, x->pool, &job, NULL);
	r = run_do(&run, &facts, err);
	if (r > 0)
		r = result_judge_inspection(&facts, ret, err);
	run_done(&run);
	return r;
}

/* Waits its turn for a moment. */
static int enter_inspection(struct executor *x, struct err *err)
{
	struct timespec until;
	bool is_late = false, may_wait;

	clock_abs_after(INSPECT_WAIT_MS, &until);
	(void)pthread_mutex_lock(&x->inspect_lock);
	may_wait = x->inspections_waiting < INSPECT_WAITING;
	x->inspections_waiting++;
	while (x->inspections >= INSPECT_MAX && may_wait && !is_late)
		is_late = pthread_cond_timedwait(&x->inspect_ended, &x->inspect_lock, &until) != 0;
	x->inspections_waiting--;
	may_wait = x->inspections < INSPECT_MAX;
	x->inspections += may_wait;
	(void)pthread_mutex_unlock(&x->inspect_lock);
	return may_wait ? 0 : err_set(err, ERR_BUSY, "too much code is being checked at once");
}

static void leave_inspection(struct executor *x)
{
	(void)pthread_mutex_lock(&x->inspect_lock);
	x->inspections--;
	(void)pthread_cond_signal(&x->inspect_ended);
	(void)pthread_mutex_unlock(&x->inspect_lock);
}

static int handle_inspect(struct bus_request *rq, struct err *err)
{
	struct executor *x = rq->service;
	const PB(InspectRequest) *in = (const PB(InspectRequest) *)rq->in;
	BOX_CLEANUP(msg_freep) PB(InspectReply) *reply = NULL;
	int r;

	if (in->python_code.len > CODE_MAX)
		return err_set(err, ERR_TOO_LARGE, "the code is larger than 1 MiB");
	r = enter_inspection(x, err);
	if (r < 0)
		return r;
	r = inspect(x, in, &reply, err);
	leave_inspection(x);
	if (r == 0)
		bus_answer(rq, &reply->base);
	return r;
}

/* ---- control ---- */

static int handle_cancel(struct bus_request *rq, struct err *err)
{
	struct executor *x = rq->service;
	const PB(CancelRequest) *in = (const PB(CancelRequest) *)rq->in;
	PB(CancelReply) reply = MCPBOX__V1__CANCEL_REPLY__INIT;

	(void)err;
	reply.known = calls_cancel(x->calls, in->call_id, in->reason);
	bus_answer(rq, &reply.base);
	return 0;
}

static int handle_ping(struct bus_request *rq, struct err *err)
{
	struct executor *x = rq->service;
	PB(PingReply) reply = MCPBOX__V1__PING_REPLY__INIT;

	(void)err;
	reply.capacity = x->cfg.capacity;
	reply.in_flight = calls_in_flight(x->calls);
	reply.draining = atomic_load(&x->is_draining);
	reply.line_port = bus_line_port(x->bus);
	bus_answer(rq, &reply.base);
	return 0;
}

const struct bus_route executor_work_routes[] = {
	/* message      callers               right  handler */
	{ MSG_EXECUTE, FROM(ROLE_GATEWAY) | FROM(ROLE_REGISTRY), 0, handle_execute },
	{ MSG_WAIT, FROM(ROLE_GATEWAY) | FROM(ROLE_REGISTRY), 0, handle_wait },
	{ MSG_INSPECT, FROM(ROLE_REGISTRY), 0, handle_inspect },
};
const size_t executor_work_route_count = ARRAY_LEN(executor_work_routes);

const struct bus_route executor_control_routes[] = {
	{ MSG_CANCEL, FROM(ROLE_GATEWAY), 0, handle_cancel },
	{ MSG_PING, FROM(ROLE_GATEWAY), 0, handle_ping },
};
const size_t executor_control_route_count = ARRAY_LEN(executor_control_routes);

/* ---- news ---- */

static bool is_listed(void *arg, const char *permit_id)
{
	const PB(Status) *status = arg;

	for (size_t i = 0; i < status->n_revoked_permit_ids; i++) {
		if (strcmp(status->revoked_permit_ids[i], permit_id) == 0)
			return true;
	}
	return false;
}

void executor_on_status(void *arg, const PB(Status) * status)
{
	struct executor *x = arg;

	if (status->n_revoked_permit_ids > 0)
		calls_cancel_permits(x->calls, is_listed, (void *)(uintptr_t)status);
}
