#include "call.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "cleanup.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "hide.h"

#define PERMIT_MAX ((size_t)1024 * 1024)

static void pack(const ProtobufCMessage *m, struct buf *ret)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *room = buf_grow(ret, len);

	if (room)
		ret->len += protobuf_c_message_pack(m, room);
}

/* ---- life of a call ---- */

void call_init_condition(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void call_unref(struct call *call)
{
	if (!call || atomic_fetch_sub(&call->refs, 1) != 1)
		return;
	if (!call->is_done)
		run_done(&call->run);
	events_done(&call->events);
	result_done(&call->result);
	if (call->spec)
		msg_free(&call->spec->base);
	buf_done(&call->permit);
	if (call->grant)
		blob_unref(call->grant);
	free(call->arguments);
	secrets_done(&call->secrets);
	(void)pthread_cond_destroy(&call->changed);
	(void)pthread_mutex_destroy(&call->lock);
	free(call);
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

static int open_secrets(struct call *call, const struct blob *grant, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	size_t len;
	const uint8_t *data = blob_data(grant, &len);

	if (msg_unpack(&mcpbox__v1__grant__descriptor, data, len, &m) < 0)
		return err_set(err, ERR_INVALID, "the server's grant cannot be read");
	return secrets_open(call->config->keys, (const PB(Grant) *)m, call->id,
			    call->spec->warm_reuse, &call->secrets, err);
}

static void describe_job(struct call *call, size_t arguments_len, ProtobufCBinaryData spec_hash)
{
	const PB(ToolSpec) *spec = call->spec;

	call->job = (struct job){ .is_warm = spec->warm_reuse,
				  .code = bytes_of(spec->python_code),
				  .arguments = { call->arguments, arguments_len },
				  .input_schema = bytes_of(spec->input_schema_json),
				  .output_schema = bytes_of(spec->output_schema_json),
				  .modules = spec->modules,
				  .module_count = spec->n_modules,
				  .limits = job_limits_of(spec) };
	if (call->secrets.json)
		call->job.secrets =
			(struct bytes){ call->secrets.json->data, call->secrets.json->len };
	memcpy(call->job.key, spec_hash.data, sizeof(call->job.key));
}

static void note_refusal(struct call *call, const struct hostcall *hostcall)
{
	(void)pthread_mutex_lock(&call->lock);
	refusals_add(&call->refusals, hostcall);
	(void)pthread_mutex_unlock(&call->lock);
}

static bool is_wanted(const struct call *call, const struct hostcall *hostcall)
{
	return hostcall->op == HOSTCALL_PROGRESS
		       ? call->wants_progress
		       : events_wants_level(call->log_level, hostcall->level);
}

static enum event_fate keep_event(struct call *call, const struct hostcall *hostcall)
{
	bool is_kept;

	(void)pthread_mutex_lock(&call->lock);
	is_kept = events_add(&call->events, hostcall);
	(void)pthread_cond_broadcast(&call->changed);
	(void)pthread_mutex_unlock(&call->lock);
	return is_kept ? EVENT_KEPT : EVENT_TOO_MANY;
}

static enum event_fate take_event(struct call *call, const struct hostcall *hostcall,
				  bool was_redacted)
{
	/* A name that is a secret is of no use to whoever reads what was refused. */
	if (hostcall->op == HOSTCALL_REFUSED && !was_redacted)
		note_refusal(call, hostcall);
	if (hostcall->op == HOSTCALL_REFUSED || !is_wanted(call, hostcall))
		return EVENT_IGNORED;
	return keep_event(call, hostcall);
}

static enum event_fate on_event(void *arg, const struct hostcall *hostcall)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(2 * HOSTCALL_MAX);
	struct call *call = arg;
	struct hostcall shown = *hostcall;
	bool is_changed;

	if (!call->secrets.mask)
		return take_event(call, hostcall, false);
	buf_add(&text, hostcall->event.at, hostcall->event.len);
	is_changed = hide_json(call->secrets.mask, &text);
	shown.event = (struct json_span){ buf_str(&text), text.len };
	return take_event(call, &shown, is_changed);
}

static int open_stream(void *arg, uint32_t remaining_ms, struct err *err)
{
	const struct call *call = arg;
	const struct calls_config *config = call->config;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *permit = NULL;
	struct call_egress who = { .call_id = call->id, .tool_name = call->spec->tool_name };

	if (!call->grant || !config->open_stream)
		return err_set(err, ERR_UNAVAILABLE, "this call has no way out to the network");
	if (msg_unpack(&mcpbox__v1__signed_permit__descriptor, call->permit.data, call->permit.len,
		       &permit) < 0)
		box_bug("a permit that was unpacked once does not unpack again");
	who.permit = (const PB(SignedPermit) *)permit;
	who.grant.data = blob_data(call->grant, &who.grant.len);
	return config->open_stream(config->arg, &who, remaining_ms, err);
}

int call_new(struct calls *all, const struct calls_config *config, const struct call_order *order,
	     struct call **ret, struct err *err)
{
	BOX_CLEANUP(call_unrefp) struct call *call = mem_alloc(sizeof(*call));
	int r;

	call->all = all;
	call->config = config;
	call->received_us = order->received_us;
	call->permit = (struct buf)BUF_INIT(PERMIT_MAX);
	atomic_init(&call->refs, 1);
	(void)pthread_mutex_init(&call->lock, NULL);
	call_init_condition(&call->changed);
	events_init(&call->events);
	call->result = (struct result)RESULT_INIT;
	call->hooks =
		(struct run_hooks){ .arg = call, .on_event = on_event, .open_stream = open_stream };
	(void)snprintf(call->id, sizeof(call->id), "%s", order->call_id);
	(void)snprintf(call->permit_id, sizeof(call->permit_id), "%s", order->permit->permit_id);
	(void)snprintf(call->log_level, sizeof(call->log_level), "%s", order->log_level);
	call->wants_progress = order->wants_progress;
	call->arguments = mem_dup(order->arguments.data, order->arguments.len);
	run_init(&call->run, config->pool, &call->job, &call->hooks);
	r = unpack_spec(order, &call->spec, err);
	if (r < 0)
		return r;
	if (order->grant) {
		call->grant = blob_ref(order->grant);
		pack(&order->signed_permit->base, &call->permit);
		r = open_secrets(call, order->grant, err);
		if (r < 0)
			return r;
	}
	describe_job(call, order->arguments.len, order->permit->spec_hash);
	*ret = TAKE(call);
	return 0;
}

/* ---- running ---- */

static void set_done(struct call *call)
{
	/* Buffers are of no more use; the verdict stays. */
	run_done(&call->run);
	secrets_done(&call->secrets);
	call->judged_us = clock_mono_us();
	call->is_done = true;
	(void)pthread_cond_broadcast(&call->changed);
}

/* Nothing was started. */
static void set_failed(struct call *call, int code, const struct err *err)
{
	char text[sizeof(call->run.cancel_reason) + 16];

	if (code == -ERR_CANCELLED) {
		(void)snprintf(text, sizeof(text), "cancelled: %s", call->run.cancel_reason);
		result_fail(&call->result, MCPBOX__V1__DONE__OUTCOME__OUTCOME_CANCELLED, text);
	} else if (code == -ERR_DEADLINE) {
		result_fail(&call->result, MCPBOX__V1__DONE__OUTCOME__OUTCOME_TIMEOUT, err->text);
	} else {
		result_fail(&call->result, MCPBOX__V1__DONE__OUTCOME__OUTCOME_INTERNAL, err->text);
	}
	set_done(call);
}

bool call_step(struct call *call, uint64_t until_mono_ms, bool is_foreground)
{
	struct run_facts facts;
	struct err err = { 0 };
	int r = run_step(&call->run, until_mono_ms, is_foreground, &facts, &err);

	if (r == 0)
		return false;
	(void)pthread_mutex_lock(&call->lock);
	if (r > 0) {
		facts.mask = call->secrets.mask;
		result_judge(&facts, &call->result);
		call->ended = facts.ended;
		set_done(call);
	} else {
		set_failed(call, r, &err);
	}
	(void)pthread_mutex_unlock(&call->lock);
	log_debug("call.ended", F_STR("call", call->id), F_STR("tool", call->spec->tool_name),
		  F_STR("outcome", result_outcome_name(call->result.outcome)),
		  F_UINT("ms", call->run.duration_ms), F_UINT("cpu_us", call->ended.cpu_us));
	err_done(&err);
	return true;
}

void call_cancel(struct call *call, const char *reason)
{
	(void)pthread_mutex_lock(&call->lock);
	if (!call->is_done)
		run_cancel(&call->run, reason);
	(void)pthread_mutex_unlock(&call->lock);
}

/* ---- answers ---- */

static ProtobufCBinaryData of_buf(const struct buf *b)
{
	return pb_bytes(b->data, b->len);
}

static uint32_t between(uint64_t from_us, uint64_t to_us)
{
	return from_us && to_us > from_us ? (uint32_t)(to_us - from_us) : 0;
}

static void fill_timing(const struct call *call, PB(Timing) * ret)
{
	const struct run_times *t = &call->run.times;

	ret->queue_us = between(call->received_us, t->started);
	ret->sandbox_wait_us = between(t->started, t->taken);
	ret->run_us = between(t->taken, t->answered);
	ret->judge_us = between(t->answered, call->judged_us);
}

static void pack_done(const struct call *call, PB(Event) * *events, size_t count, struct buf *ret)
{
	BOX_CLEANUP(mem_freep) PB(Refusal) **refused = NULL;
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	PB(Excess) excess = MCPBOX__V1__EXCESS__INIT;
	PB(Timing) timing = MCPBOX__V1__TIMING__INIT;
	const struct result *r = &call->result;

	done.n_refused = refusals_list(&call->refusals, &refused);
	done.refused = refused;
	if (r->excess.limit) {
		excess.limit = (char *)(uintptr_t)r->excess.limit;
		excess.allowed = r->excess.allowed;
		excess.used = r->excess.used;
		done.excess = &excess;
	}
	fill_timing(call, &timing);
	done.timing = &timing;
	done.streams = call->run.opened;
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
