#include "calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "cleanup.h"
#include "events.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "refusals.h"
#include "run.h"
#include "seen.h"

#define CALL_ID_MAX  128
#define KEPT_MAX     64u /* finished calls that Wait still finds */
#define KEPT_MS      60000u
#define STOP_MS      5000u /* for killed processes to be gone */
#define RUNNER_STACK ((size_t)2 * 1024 * 1024)

struct call {
	struct calls *all;
	atomic_uint refs;
	char id[CALL_ID_MAX];
	char permit_id[CALL_ID_MAX];
	PB(SignedPermit) * permit; /* own copy */
	struct blob *grant;        /* or NULL */
	PB(ToolSpec) * spec;       /* own */
	uint8_t *arguments;        /* own */
	bool wants_progress;
	char log_level[16];
	struct job job; /* points into the above */
	struct run run;
	struct run_hooks hooks;
	struct call *next; /* guarded by calls.lock */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct events events;
	struct refusals refusals;
	bool is_done;
	struct result result;
	struct wire_ended ended;
	uint64_t done_ms;
};

struct calls {
	struct calls_config config;
	pthread_mutex_t lock; /* guards all below; taken before call.lock, never after */
	pthread_cond_t idle;
	struct call *first; /* newest first */
	struct seen *seen;
	uint32_t in_flight;
	bool is_draining;
};

/* ---- life of a call ---- */

static void init_condition(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static PB(SignedPermit) * copy_permit(const PB(SignedPermit) * from)
{
	BOX_CLEANUP(mem_freep) uint8_t *packed = NULL;
	ProtobufCMessage *copy = NULL;
	size_t len;

	packed = msg_pack(&from->base, &len);
	if (msg_unpack(&mcpbox__v1__signed_permit__descriptor, packed, len, &copy) < 0)
		box_bug("a permit that was unpacked once does not unpack again");
	return (PB(SignedPermit) *)copy;
}

void call_unref(struct call *call)
{
	if (!call || atomic_fetch_sub(&call->refs, 1) != 1)
		return;
	run_done(&call->run);
	events_done(&call->events);
	result_done(&call->result);
	if (call->spec)
		msg_free(&call->spec->base);
	if (call->permit)
		msg_free(&call->permit->base);
	if (call->grant)
		blob_unref(call->grant);
	free(call->arguments);
	(void)pthread_cond_destroy(&call->changed);
	(void)pthread_mutex_destroy(&call->lock);
	free(call);
}

static void call_unrefp(struct call **p)
{
	call_unref(*p);
}

static int unpack_spec(const struct call_order *order, PB(ToolSpec) * *ret, struct err *err)
{
	ProtobufCMessage *m = NULL;
	size_t len;
	const uint8_t *data = blob_data(order->spec, &len);
	int r = msg_unpack(&mcpbox__v1__tool_spec__descriptor, data, len, &m);

	if (r < 0)
		return err_set(err, ERR_INVALID, "the tool's specification cannot be read");
	*ret = (PB(ToolSpec) *)m;
	if (strcmp((*ret)->tool_id, order->permit->tool_id) != 0 ||
	    strcmp((*ret)->server_id, order->permit->server_id) != 0 ||
	    (*ret)->version != order->permit->version) {
		msg_free(m);
		*ret = NULL;
		return err_set(err, ERR_DENIED, "the permit is for another tool or version");
	}
	return 0;
}

static struct bytes bytes_of(ProtobufCBinaryData b)
{
	return (struct bytes){ b.data, b.len };
}

static void describe_job(struct call *call, size_t arguments_len)
{
	const PB(ToolSpec) *spec = call->spec;

	call->job = (struct job){ .code = bytes_of(spec->python_code),
				  .arguments = { call->arguments, arguments_len },
				  .input_schema = bytes_of(spec->input_schema_json),
				  .output_schema = bytes_of(spec->output_schema_json),
				  .modules = spec->modules,
				  .module_count = spec->n_modules,
				  .limits = job_limits_of(spec) };
}

static bool note_refusal(struct call *call, const struct hostcall *hostcall)
{
	(void)pthread_mutex_lock(&call->lock);
	refusals_add(&call->refusals, hostcall);
	(void)pthread_mutex_unlock(&call->lock);
	return true;
}

static bool on_event(void *arg, const struct hostcall *hostcall)
{
	struct call *call = arg;
	bool is_wanted = hostcall->op == HOSTCALL_PROGRESS
				 ? call->wants_progress
				 : events_wants_level(call->log_level, hostcall->level);
	bool is_kept = true;

	if (hostcall->op == HOSTCALL_REFUSED)
		return note_refusal(call, hostcall);
	if (!is_wanted)
		return true;
	(void)pthread_mutex_lock(&call->lock);
	is_kept = events_add(&call->events, hostcall);
	(void)pthread_cond_broadcast(&call->changed);
	(void)pthread_mutex_unlock(&call->lock);
	return is_kept;
}

static int open_stream(void *arg, uint32_t remaining_ms, struct err *err)
{
	const struct call *call = arg;
	const struct calls_config *config = &call->all->config;
	struct call_egress who = { .call_id = call->id,
				   .tool_name = call->spec->tool_name,
				   .permit = call->permit };

	if (!call->grant || !config->open_stream)
		return err_set(err, ERR_UNAVAILABLE, "this call has no way out to the network");
	who.grant.data = blob_data(call->grant, &who.grant.len);
	return config->open_stream(config->arg, &who, remaining_ms, err);
}

static int new_call(struct calls *c, const struct call_order *order, struct call **ret,
		    struct err *err)
{
	BOX_CLEANUP(call_unrefp) struct call *call = mem_alloc(sizeof(*call));
	int r;

	call->all = c;
	atomic_init(&call->refs, 1);
	(void)pthread_mutex_init(&call->lock, NULL);
	init_condition(&call->changed);
	events_init(&call->events);
	call->result = (struct result)RESULT_INIT;
	call->hooks =
		(struct run_hooks){ .arg = call, .on_event = on_event, .open_stream = open_stream };
	(void)snprintf(call->id, sizeof(call->id), "%s", order->call_id);
	(void)snprintf(call->permit_id, sizeof(call->permit_id), "%s", order->permit->permit_id);
	(void)snprintf(call->log_level, sizeof(call->log_level), "%s", order->log_level);
	call->wants_progress = order->wants_progress;
	call->arguments = mem_dup(order->arguments.data, order->arguments.len);
	r = run_init(&call->run, c->config.pool, &call->job, &call->hooks, err);
	if (r == 0)
		r = unpack_spec(order, &call->spec, err);
	if (r < 0)
		return r;
	call->permit = copy_permit(order->signed_permit);
	if (order->grant)
		call->grant = blob_ref(order->grant);
	describe_job(call, order->arguments.len);
	*ret = TAKE(call);
	return 0;
}

/* ---- running ---- */

static void finish_call(struct call *call, const struct run_facts *facts, const struct err *failure)
{
	(void)pthread_mutex_lock(&call->lock);
	if (facts) {
		result_judge(facts, &call->result);
		call->ended = facts->ended;
	} else {
		result_fail(&call->result, MCPBOX__V1__DONE__OUTCOME__OUTCOME_INTERNAL,
			    failure->text);
	}
	/* Pipes and buffers are of no more use; the verdict stays. */
	run_done(&call->run);
	call->done_ms = clock_mono_ms();
	call->is_done = true;
	(void)pthread_cond_broadcast(&call->changed);
	(void)pthread_mutex_unlock(&call->lock);
}

static void *run_call(void *arg)
{
	struct call *call = arg;
	struct calls *c = call->all;
	struct run_facts facts;
	struct err err = { 0 };
	int r = run_do(&call->run, &facts, &err);

	finish_call(call, r == 0 ? &facts : NULL, &err);
	log_info("call.finished", F_STR("call", call->id), F_STR("tool", call->spec->tool_name),
		 F_STR("outcome", result_outcome_name(call->result.outcome)),
		 F_UINT("ms", call->run.duration_ms), F_UINT("cpu_us", call->ended.cpu_us));
	err_done(&err);
	call_unref(call);
	(void)pthread_mutex_lock(&c->lock);
	c->in_flight--;
	(void)pthread_cond_broadcast(&c->idle);
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int start_thread(struct call *call)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, RUNNER_STACK);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, run_call, call);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

/* ---- the table ---- */

struct calls *calls_new(const struct calls_config *config)
{
	struct calls *c = mem_alloc(sizeof(*c));

	c->config = *config;
	c->seen = seen_new();
	(void)pthread_mutex_init(&c->lock, NULL);
	init_condition(&c->idle);
	return c;
}

/* Finished calls that are old, or too many, go.  Lock held. */
static void forget_old(struct calls *c)
{
	uint64_t now = clock_mono_ms();
	uint32_t kept = 0;
	struct call **at = &c->first;

	while (*at) {
		struct call *call = *at;
		bool is_done, is_old;

		(void)pthread_mutex_lock(&call->lock);
		is_done = call->is_done;
		is_old = is_done && now - call->done_ms > KEPT_MS;
		(void)pthread_mutex_unlock(&call->lock);
		kept += is_done;
		if (is_old || (is_done && kept > KEPT_MAX)) {
			*at = call->next;
			call_unref(call);
		} else {
			at = &call->next;
		}
	}
}

/* Lock held. */
static int admit(struct calls *c, struct call *call, struct err *err)
{
	forget_old(c);
	if (c->is_draining)
		return err_set(err, ERR_BUSY, "this executor is going away; nothing was started");
	if (c->in_flight >= c->config.capacity)
		return err_set(err, ERR_BUSY, "all %u sandboxes are in use; nothing was started",
			       c->config.capacity);
	if (!seen_accept(c->seen, call->id))
		return err_set(err, ERR_EXISTS, "this call was started before");
	atomic_fetch_add(&call->refs, 2); /* the list's and the thread's */
	if (start_thread(call) < 0) {
		atomic_fetch_sub(&call->refs, 2);
		return err_set(err, ERR_BUSY, "no thread for the call; nothing was started");
	}
	call->next = c->first;
	c->first = call;
	c->in_flight++;
	return 0;
}

int calls_start(struct calls *c, const struct call_order *order, struct call **ret, struct err *err)
{
	BOX_CLEANUP(call_unrefp) struct call *call = NULL;
	int r;

	if (strlen(order->call_id) >= CALL_ID_MAX)
		return err_set(err, ERR_INVALID, "call id is too long");
	r = json_scan(order->arguments.data, order->arguments.len, err);
	if (r == 0)
		r = new_call(c, order, &call, err);
	if (r < 0 || !call)
		return r;
	(void)pthread_mutex_lock(&c->lock);
	r = admit(c, call, err);
	(void)pthread_mutex_unlock(&c->lock);
	if (r == 0)
		*ret = TAKE(call);
	return r;
}

/* Lock held. */
static struct call *find(struct calls *c, const char *call_id)
{
	struct call *call = c->first;

	while (call && strcmp(call->id, call_id) != 0)
		call = call->next;
	return call;
}

struct call *calls_find(struct calls *c, const char *call_id)
{
	struct call *call;

	(void)pthread_mutex_lock(&c->lock);
	call = find(c, call_id);
	if (call)
		atomic_fetch_add(&call->refs, 1);
	(void)pthread_mutex_unlock(&c->lock);
	return call;
}

static void cancel(struct call *call, const char *reason)
{
	(void)pthread_mutex_lock(&call->lock);
	if (!call->is_done)
		run_cancel(&call->run, reason);
	(void)pthread_mutex_unlock(&call->lock);
}

bool calls_cancel(struct calls *c, const char *call_id, const char *reason)
{
	BOX_CLEANUP(call_unrefp) struct call *call = calls_find(c, call_id);

	if (!call)
		return false;
	cancel(call, reason);
	return true;
}

void calls_cancel_permits(struct calls *c, bool (*is_revoked)(void *arg, const char *permit_id),
			  void *arg)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct call *call = c->first; call; call = call->next) {
		if (is_revoked(arg, call->permit_id))
			cancel(call, "the tool's approval was revoked");
	}
	(void)pthread_mutex_unlock(&c->lock);
}

uint32_t calls_in_flight(struct calls *c)
{
	uint32_t n;

	(void)pthread_mutex_lock(&c->lock);
	n = c->in_flight;
	(void)pthread_mutex_unlock(&c->lock);
	return n;
}

bool calls_drain(struct calls *c, uint32_t ms)
{
	struct timespec until;
	int r = 0;

	clock_abs_after(ms, &until);
	(void)pthread_mutex_lock(&c->lock);
	c->is_draining = true;
	while (c->in_flight > 0 && r == 0)
		r = pthread_cond_timedwait(&c->idle, &c->lock, &until);
	r = (int)c->in_flight;
	(void)pthread_mutex_unlock(&c->lock);
	return r == 0;
}

static bool condemn_all(void *arg, const char *permit_id)
{
	(void)arg;
	(void)permit_id;
	return true;
}

void calls_stop(struct calls *c)
{
	if (!c)
		return;
	calls_cancel_permits(c, condemn_all, NULL);
	(void)calls_drain(c, STOP_MS);
}

/* ---- answers ---- */

static ProtobufCBinaryData of_buf(const struct buf *b)
{
	return pb_bytes(b->data, b->len);
}

static void pack(const ProtobufCMessage *m, struct buf *ret)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *room = buf_grow(ret, len);

	if (room)
		ret->len += protobuf_c_message_pack(m, room);
}

static void pack_done(const struct call *call, PB(Event) * *events, size_t count, struct buf *ret)
{
	BOX_CLEANUP(mem_freep) PB(Refusal) **refused = NULL;
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	PB(Excess) excess = MCPBOX__V1__EXCESS__INIT;
	const struct result *r = &call->result;

	done.n_refused = refusals_list(&call->refusals, &refused);
	done.refused = refused;
	if (r->excess.limit) {
		excess.limit = (char *)(uintptr_t)r->excess.limit;
		excess.allowed = r->excess.allowed;
		excess.used = r->excess.used;
		done.excess = &excess;
	}
	done.outcome = r->outcome;
	done.content_json = of_buf(&r->content);
	done.structured_json = of_buf(&r->structured);
	done.stdout = of_buf(&r->output);
	done.error_text = of_buf(&r->error_text);
	done.error_detail_json = of_buf(&r->error_detail);
	done.duration_ms = call->run.duration_ms;
	done.cpu_ms = (uint32_t)(call->ended.cpu_us / 1000);
	done.memory_kb = (uint32_t)call->ended.memory_kb;
	done.events = events;
	done.n_events = count;
	reply.done = &done;
	pack(&reply.base, ret);
}

static void pack_running(const struct call *call, PB(Event) * *events, size_t count,
			 struct buf *ret)
{
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	PB(Running) running = MCPBOX__V1__RUNNING__INIT;

	running.seq = call->events.last_seq;
	running.events = events;
	running.n_events = count;
	reply.running = &running;
	pack(&reply.base, ret);
}

void call_wait(struct call *call, uint32_t after_seq, uint64_t deadline_mono_ms, struct buf *ret)
{
	BOX_CLEANUP(mem_freep) PB(Event) **events = NULL;
	uint64_t now = clock_mono_ms();
	struct timespec until;
	size_t count;
	int r = 0;

	clock_abs_after(deadline_mono_ms > now ? (uint32_t)(deadline_mono_ms - now) : 0, &until);
	(void)pthread_mutex_lock(&call->lock);
	events_acknowledge(&call->events, after_seq);
	while (r == 0 && !call->is_done && !call->events.first)
		r = pthread_cond_timedwait(&call->changed, &call->lock, &until);
	count = events_list(&call->events, after_seq, &events);
	if (call->is_done)
		pack_done(call, events, count, ret);
	else
		pack_running(call, events, count, ret);
	(void)pthread_mutex_unlock(&call->lock);
}
