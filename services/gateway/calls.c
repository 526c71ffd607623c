#include "calls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "call_record.h"
#include "clock.h"
#include "events.h"
#include "id.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "permit.h"
#include "thread.h"
#include "upstream.h"

enum {
	TICK_MS = 500,
	CANCEL_AGAIN_MS =
		50, /* a Cancel can overtake its Execute: repeated until the executor knows it */
	NEED_ROUNDS = 2,
};

enum cancel_reason {
	CANCEL_NONE,
	CANCEL_CLIENT_GONE,
	CANCEL_ASKED,
	CANCEL_REVOKED,
	CANCEL_STOPPING,
};

static const char *const cancel_texts[] = {
	[CANCEL_NONE] = "",
	[CANCEL_CLIENT_GONE] = "client_gone",
	[CANCEL_ASKED] = "cancelled",
	[CANCEL_REVOKED] = "revoked",
	[CANCEL_STOPPING] = "gateway_stopping",
};

/* A call in progress; lives on the stack of calls_run, listed under the lock. */
struct call {
	struct calls *calls;
	const struct call_request *rq;
	uint64_t number;
	char call_id[ID_TEXT_SIZE];
	char permit_id[64];
	uint64_t started_ms, deadline_ms;
	struct event_filter filter;
	struct call *next;
	atomic_int cancel;              /* enum cancel_reason; the first reason stays */
	bool is_sent, cancel_delivered; /* under the lock */
	struct executor_place place;    /* under the lock; valid while is_sent */
	char executor[64];              /* the last one chosen, for the record */
};

struct calls {
	struct calls_config config;
	pthread_t thread;
	bool is_started;
	atomic_bool has_cancels;
	int wake_fd;          /* an eventfd: written to without a lock, and no wake is lost */
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t ended; /* for calls_drain; monotonic clock */
	bool is_stopping, is_draining;
	struct call *running;
	size_t count;
	uint64_t last_number;
};

struct calls *calls_new(const struct calls_config *config)
{
	struct calls *c = mem_alloc(sizeof(*c));
	pthread_condattr_t attr;

	c->config = *config;
	c->wake_fd = -1;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->ended, &attr);
	(void)pthread_condattr_destroy(&attr);
	return c;
}

size_t calls_running(struct calls *c)
{
	size_t n;

	(void)pthread_mutex_lock(&c->lock);
	n = c->count;
	(void)pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- cancelling ---- */

static void wake_thread(struct calls *c)
{
	const uint64_t one = 1;

	(void)!write(c->wake_fd, &one, sizeof(one));
}

/* Needs no lock. */
static void mark_cancelled(struct calls *c, struct call *call, enum cancel_reason reason)
{
	int none = CANCEL_NONE;

	if (!atomic_compare_exchange_strong(&call->cancel, &none, (int)reason))
		return;
	atomic_store(&c->has_cancels, true);
	wake_thread(c);
}

static bool is_given_up(void *arg)
{
	struct call *call = arg;

	return atomic_load(&call->cancel) != CANCEL_NONE;
}

static bool is_request_of(const struct call *call, const struct session *session,
			  struct json_span id)
{
	const struct call_request *rq = call->rq;

	return rq->session && memcmp(rq->session->serial, session->serial, SESSION_SERIAL) == 0 &&
	       rq->request_id.len == id.len && memcmp(rq->request_id.at, id.at, id.len) == 0;
}

void calls_cancel_request(struct calls *c, const struct session *session,
			  struct json_span request_id)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct call *call = c->running; call; call = call->next) {
		if (is_request_of(call, session, request_id))
			mark_cancelled(c, call, CANCEL_ASKED);
	}
	(void)pthread_mutex_unlock(&c->lock);
}

void calls_end_revoked(struct calls *c, const PB(Status) * status)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct call *call = c->running; call && status->n_revoked_permit_ids > 0;
	     call = call->next) {
		for (size_t i = 0; i < status->n_revoked_permit_ids; i++) {
			if (strcmp(call->permit_id, status->revoked_permit_ids[i]) == 0)
				mark_cancelled(c, call, CANCEL_REVOKED);
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
}

/* On the connection's thread, which may not wait for a lock under which the answer is used. */
static void client_gone(void *arg)
{
	struct call *call = arg;

	mark_cancelled(call->calls, call, CANCEL_CLIENT_GONE);
}

/* Under the lock: the next older sent call whose executor has not heard of its end. */
static struct call *next_to_cancel(struct calls *c, uint64_t below)
{
	for (struct call *call = c->running; call; call = call->next) {
		if (call->number < below && call->is_sent && !call->cancel_delivered &&
		    atomic_load(&call->cancel) != CANCEL_NONE)
			return call;
	}
	return NULL;
}

/* Under the lock, which is released meanwhile.  False: the executor does not know the call yet. */
static bool deliver_cancel(struct calls *c, const struct call *call)
{
	struct executor_place place = call->place;
	struct bus_target to = { .role = ROLE_EXECUTOR, .addr = place.control_addr };
	uint64_t number = call->number;
	char call_id[ID_TEXT_SIZE];
	const char *reason = cancel_texts[atomic_load(&call->cancel)];
	int r;

	/* One that does not answer would keep all others waiting. */
	if (!executors_alive(c->config.executors, &place))
		return false;

	memcpy(call_id, call->call_id, sizeof(call_id));
	memcpy(to.boot_id, place.boot_id, BOOT_ID_SIZE);
	(void)pthread_mutex_unlock(&c->lock);
	r = upstream_cancel(c->config.bus, &to, call_id, reason);
	(void)pthread_mutex_lock(&c->lock);
	for (struct call *now = c->running; now && r == 0; now = now->next) {
		if (now->number == number)
			now->cancel_delivered = true;
	}
	return r == 0;
}

static void deliver_cancels(struct calls *c)
{
	uint64_t below = UINT64_MAX;
	struct call *call;

	atomic_store(&c->has_cancels, false);
	executors_wake(c->config.executors);
	while ((call = next_to_cancel(c, below))) {
		below = call->number;
		if (!deliver_cancel(c, call))
			atomic_store(&c->has_cancels, true);
	}
}

static void keep_clients_warm(struct calls *c)
{
	uint64_t now = clock_mono_ms();

	for (struct call *call = c->running; call; call = call->next) {
		if (call->rq->answer)
			answer_keep_alive(call->rq->answer, now);
	}
}

static void wait_for_wake(const struct calls *c, int ms)
{
	struct pollfd p = { .fd = c->wake_fd, .events = POLLIN };
	uint64_t ignored;

	if (poll(&p, 1, ms) > 0)
		(void)!read(c->wake_fd, &ignored, sizeof(ignored));
}

static void *calls_main(void *arg)
{
	struct calls *c = arg;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->is_stopping) {
		(void)pthread_mutex_unlock(&c->lock);
		wait_for_wake(c, atomic_load(&c->has_cancels) ? CANCEL_AGAIN_MS : TICK_MS);
		(void)pthread_mutex_lock(&c->lock);
		if (atomic_load(&c->has_cancels))
			deliver_cancels(c);
		keep_clients_warm(c);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

int calls_start(struct calls *c, struct err *err)
{
	int r;

	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0)
		return err_set(err, ERR_INTERNAL, "no descriptor for the calls' thread: %s",
			       strerror(errno));
	r = thread_start(&c->thread, calls_main, c, err);
	c->is_started = r == 0;
	return r;
}

void calls_drain(struct calls *c, uint32_t timeout_ms)
{
	struct timespec until;
	int r = 0;

	if (!c)
		return;
	clock_abs_after(timeout_ms, &until);
	(void)pthread_mutex_lock(&c->lock);
	c->is_draining = true;
	while (c->count > 0 && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&c->ended, &c->lock, &until);
	for (struct call *call = c->running; call; call = call->next)
		mark_cancelled(c, call, CANCEL_STOPPING);
	(void)pthread_mutex_unlock(&c->lock);
}

void calls_stop(struct calls *c)
{
	if (!c || !c->is_started)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->is_stopping = true;
	wake_thread(c);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->thread, NULL);
	c->is_started = false;
}

/* ---- records ---- */

static void fill_record(const struct call *call, PB(Record) * record, PB(CallRecord) * r)
{
	const struct catalog_tool *t = call->rq->tool;

	record->call_id = (char *)(uintptr_t)call->call_id;
	record->call = r;
	r->tool_id = t->tool_id;
	r->server_id = t->server_id;
	r->tool_name = t->published_name;
	r->version = t->version;
	r->executor = (char *)(uintptr_t)call->executor;
	r->is_test = call->rq->is_test;
	r->executed_by = (char *)(uintptr_t)call->rq->executed_by;
	r->via = (char *)(uintptr_t) "mcp-local";
}

static int record_start(const struct call *call, struct json_span arguments, struct err *err)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(CallRecord) r = MCPBOX__V1__CALL_RECORD__INIT;
	struct buf kept = CALL_RECORD_ARGS;
	int result;

	fill_record(call, &record, &r);
	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED;
	call_record_arguments(&r, arguments.at, arguments.len, &kept);
	result = spool_append(call->calls->config.spool, &record, err);
	buf_done(&kept);
	return result;
}

static void append_end(const struct call *call, PB(CallRecord) * r)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	struct err why = { 0 };

	fill_record(call, &record, r);
	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED;
	/* It has run and its start is on record; taking the result from the caller would mend
	 * nothing. */
	if (spool_append(call->calls->config.spool, &record, &why) < 0)
		log_error("gateway.call_end_not_recorded", F_STR("call_id", call->call_id),
			  F_ERR(&why));
	err_done(&why);
}

static void record_done(const struct call *call, const PB(Done) * done)
{
	PB(CallRecord) r = MCPBOX__V1__CALL_RECORD__INIT;
	struct buf kept = CALL_RECORD_RESULT;
	char outcome[CALL_OUTCOME_SIZE];

	call_record_done(&r, done, &kept, outcome);
	append_end(call, &r);
	buf_done(&kept);
}

static void record_failure(const struct call *call, int code, const struct err *why)
{
	PB(CallRecord) r = MCPBOX__V1__CALL_RECORD__INIT;

	r.outcome = (char *)(uintptr_t)call_failure_outcome(code);
	r.error = pb_text(why->text);
	r.duration_ms = (uint32_t)(clock_mono_ms() - call->started_ms);
	append_end(call, &r);
}

/* ---- running ---- */

static uint32_t remaining_ms(const struct call *call)
{
	uint64_t now = clock_mono_ms();

	return now < call->deadline_ms ? (uint32_t)(call->deadline_ms - now) : 1;
}

static void deliver_events(struct call *call, PB(Event) * *events, size_t count)
{
	for (size_t i = 0; i < count && call->rq->answer; i++) {
		struct buf b = BUF_INIT(ARGUMENTS_MAX);

		if (events_to_notification(&call->filter, events[i], clock_mono_ms(), &b) &&
		    !b.is_over)
			answer_notify(call->rq->answer, b.data, b.len);
		buf_done(&b);
	}
}

/* Principal and trace of every question about this call. */
static void call_opts(const struct call *call, PB(Principal) * principal, struct bus_call_opts *ret)
{
	principal->kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL;
	principal->remote = (char *)(uintptr_t)call->rq->remote;
	*ret = (struct bus_call_opts){ .timeout_ms = remaining_ms(call),
				       .principal = principal,
				       .traceparent = call->rq->traceparent };
}

static void place_target(const struct executor_place *place, struct bus_target *ret)
{
	*ret = (struct bus_target){ .role = ROLE_EXECUTOR,
				    .addr = place->work_addr,
				    .line_port = place->line_port };
	memcpy(ret->boot_id, place->boot_id, BOOT_ID_SIZE);
}

/* The blobs that the executor lacks. */
static size_t find_blobs(const struct catalog_tool *t, const PB(ExecuteReply) * reply,
			 PB(Blob) * blobs, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < reply->n_need && n < max; i++) {
		const struct blob *b = NULL;
		size_t len = 0;

		if (reply->need[i].len != CRYPTO_HASH_SIZE)
			continue;
		if (memcmp(reply->need[i].data, t->spec_hash, CRYPTO_HASH_SIZE) == 0)
			b = t->spec;
		else if (memcmp(reply->need[i].data, t->grant_hash, CRYPTO_HASH_SIZE) == 0)
			b = t->grant;
		if (!b)
			continue;
		blobs[n] = (PB(Blob))MCPBOX__V1__BLOB__INIT;
		blobs[n].hash = reply->need[i];
		blobs[n].data = pb_bytes(blob_data(b, &len), 0);
		blobs[n].data.len = len;
		n++;
	}
	return n;
}

static int ask_execute(struct call *call, struct json_span arguments, PB(Blob) * blobs,
		       size_t blob_count, ProtobufCMessage **ret, struct err *err)
{
	PB(ExecuteRequest) request = MCPBOX__V1__EXECUTE_REQUEST__INIT;
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	PB(Blob) * pointers[2] = { &blobs[0], &blobs[1] };
	struct bus_call_opts opts;
	struct bus_target to;

	call_opts(call, &principal, &opts);
	place_target(&call->place, &to);
	request.call_id = call->call_id;
	request.permit = call->rq->tool->permit;
	request.arguments_json = pb_bytes(arguments.at, arguments.len);
	request.blobs = pointers;
	request.n_blobs = blob_count;
	request.wants_progress = call->filter.progress_token.at != NULL;
	request.log_level = (char *)(uintptr_t)severity_text(call->filter.level);
	return bus_call(call->calls->config.bus, &to, MSG_EXECUTE, &request.base, &opts, ret, err);
}

/* Execute, with the blobs that the executor asks for.  Nothing was started while it asks. */
static int execute(struct call *call, struct json_span arguments, ProtobufCMessage **ret,
		   struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	PB(Blob) blobs[2] = { MCPBOX__V1__BLOB__INIT, MCPBOX__V1__BLOB__INIT };
	size_t count = 0;

	for (int round = 0; round <= NEED_ROUNDS; round++) {
		/* Freed at the end of the round: blobs may point into it.  clang sees no use. */
		BOX_CLEANUP(msg_freep) BOX_UNUSED ProtobufCMessage *before = TAKE(reply);
		int r = ask_execute(call, arguments, blobs, count, &reply, err);

		if (r < 0)
			return r;
		if (((const PB(ExecuteReply) *)reply)->n_need == 0) {
			*ret = TAKE(reply);
			return 0;
		}
		count = find_blobs(call->rq->tool, (const PB(ExecuteReply) *)reply, blobs, 2);
	}
	return err_set(err, ERR_UNAVAILABLE, "the tool's code is not at hand; it was not started");
}

static int wait_for(struct call *call, uint32_t after_seq, ProtobufCMessage **ret, struct err *err)
{
	PB(WaitRequest) request = MCPBOX__V1__WAIT_REQUEST__INIT;
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	struct bus_call_opts opts;
	struct bus_target to;

	call_opts(call, &principal, &opts);
	opts.repeatable = true;
	place_target(&call->place, &to);
	request.call_id = call->call_id;
	request.after_seq = after_seq;
	return bus_call(call->calls->config.bus, &to, MSG_WAIT, &request.base, &opts, ret, err);
}

static int fail_lost(const struct call *call, struct err *err)
{
	if (clock_mono_ms() >= call->deadline_ms)
		return err_set(err, ERR_UNKNOWN_OUTCOME,
			       "no result within %u ms; the tool may have run",
			       call->rq->tool->timeout_ms + CALL_GRACE_MS);
	return err_set(err, ERR_UNKNOWN_OUTCOME, "executor lost, the tool may have run");
}

/*
 * From Execute's answer, or from its loss, to Done.  reply NULL: the connection broke after
 * sending; the executor may be fine and is asked with Wait.
 */
static int follow(struct call *call, ProtobufCMessage *first, ProtobufCMessage **ret,
		  struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = first;
	uint32_t seq = 0;

	for (;;) {
		const PB(ExecuteReply) *e = (const PB(ExecuteReply) *)reply;
		struct err why = { 0 };
		int r;

		if (e && e->done) {
			deliver_events(call, e->done->events, e->done->n_events);
			*ret = TAKE(reply);
			return 0;
		}
		if (e && e->running) {
			deliver_events(call, e->running->events, e->running->n_events);
			seq = e->running->seq;
		}
		if (reply)
			msg_free(TAKE(reply));
		r = clock_mono_ms() < call->deadline_ms ? wait_for(call, seq, &reply, &why)
							: -ERR_DEADLINE;
		err_done(&why);
		if (r < 0)
			return fail_lost(call, err);
	}
}

/* The place is this call's from here on; a cancellation that came before stops it. */
static bool mark_sent(struct call *call, const struct executor_place *place)
{
	struct calls *c = call->calls;
	bool go;

	(void)pthread_mutex_lock(&c->lock);
	go = atomic_load(&call->cancel) == CANCEL_NONE;
	call->place = *place;
	call->is_sent = go;
	(void)pthread_mutex_unlock(&c->lock);
	(void)snprintf(call->executor, sizeof(call->executor), "%s", place->instance);
	return go;
}

static void mark_not_sent(struct call *call)
{
	(void)pthread_mutex_lock(&call->calls->lock);
	call->is_sent = false;
	(void)pthread_mutex_unlock(&call->calls->lock);
}

/* Nothing was started there; another executor may do it. */
static bool is_elsewhere(int r)
{
	return r == -ERR_BUSY || r == -ERR_UNAVAILABLE || r == -ERR_STALE_PEER;
}

static int fail_cancelled(const struct call *call, struct err *err)
{
	if (atomic_load(&call->cancel) == CANCEL_REVOKED)
		return err_set(err, ERR_DENIED,
			       "the call was ended: the tool's approval was revoked, or its server "
			       "was stopped or paused");
	if (atomic_load(&call->cancel) == CANCEL_STOPPING)
		return err_set(err, ERR_UNAVAILABLE, "the gateway is stopping; the tool was ended");
	return err_set(err, ERR_CANCELLED, "cancelled");
}

/* What of the executor is full: the field of its refusal. */
static enum place_fate fate_of_busy(const struct err *err)
{
	static const struct {
		const char *field;
		enum place_fate fate;
	} rows[] = {
		{ "tool", PLACE_BUSY_TOOL },
		{ "memory", PLACE_BUSY_TOOL }, /* a smaller tool may find room */
		{ "server", PLACE_BUSY_SERVER },
	};

	for (size_t i = 0; err && i < ARRAY_LEN(rows); i++) {
		if (strcmp(err->field, rows[i].field) == 0)
			return rows[i].fate;
	}
	return PLACE_BUSY;
}

/* On one executor.  ret_fate tells what to think of it. */
static int run_at(struct call *call, const struct executor_place *place, struct json_span arguments,
		  ProtobufCMessage **ret, enum place_fate *ret_fate, struct err *err)
{
	ProtobufCMessage *reply = NULL;
	int r;

	*ret_fate = PLACE_DONE;
	if (!mark_sent(call, place))
		return fail_cancelled(call, err);
	r = execute(call, arguments, &reply, err);
	if (r == -ERR_BUSY)
		*ret_fate = fate_of_busy(err);
	else if (r == -ERR_UNAVAILABLE || r == -ERR_STALE_PEER || r == -ERR_UNKNOWN_OUTCOME)
		*ret_fate = PLACE_LOST;
	if (r == 0 || r == -ERR_UNKNOWN_OUTCOME) {
		r = follow(call, reply, ret, err);
		*ret_fate = r == -ERR_UNKNOWN_OUTCOME ? PLACE_LOST : PLACE_DONE;
	}
	mark_not_sent(call);
	return r;
}

static int run_somewhere(struct call *call, struct json_span arguments, ProtobufCMessage **ret,
			 struct err *err)
{
	const struct catalog_tool *t = call->rq->tool;
	struct executors *executors = call->calls->config.executors;
	char key[96];
	struct executor_want want = { .key = key,
				      .server_id = t->server_id,
				      .deadline_mono_ms = call->deadline_ms,
				      .given_up = is_given_up,
				      .arg = call };

	(void)snprintf(key, sizeof(key), "%s/%u", t->tool_id, t->version);
	for (;;) {
		struct executor_place place;
		enum place_fate fate;
		uint64_t asked_us = clock_mono_us(), taken_us;
		int r = executors_take(executors, &want, &place, err);

		if (r < 0)
			return r == -ERR_CANCELLED ? fail_cancelled(call, err) : r;
		taken_us = clock_mono_us();
		r = run_at(call, &place, arguments, ret, &fate, err);
		call->rq->times->queue_us += taken_us - asked_us;
		call->rq->times->away_us += clock_mono_us() - taken_us;
		executors_give_back(executors, &want, &place, fate);
		if (is_elsewhere(r))
			continue;
		if (r == -ERR_UNKNOWN_OUTCOME && t->may_repeat &&
		    clock_mono_ms() < call->deadline_ms)
			continue;
		return r;
	}
}

/* Of all calls that run or wait here one server may be three quarters, and one of its tools three quarters of
 * these: so a flood leaves room for others.  Under the lock. */
static int check_share(const struct calls *c, const struct call *call, struct err *err)
{
	uint32_t server_max = c->config.max_running - c->config.max_running / 4;
	uint32_t of_server = 0, of_tool = 0;

	for (const struct call *other = c->running; other; other = other->next) {
		of_server += strcmp(other->rq->tool->server_id, call->rq->tool->server_id) == 0;
		of_tool += strcmp(other->rq->tool->tool_id, call->rq->tool->tool_id) == 0;
	}
	if (of_tool >= server_max - server_max / 4)
		return err_set(
			err, ERR_BUSY,
			"too many calls of this tool are running or waiting; it was not started");
	if (of_server >= server_max)
		return err_set(err, ERR_BUSY,
			       "too many calls of this server are running or waiting; the tool was "
			       "not started");
	return 0;
}

static int call_list(struct calls *c, struct call *call, struct err *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&c->lock);
	if (c->is_draining) {
		r = err_set(err, ERR_UNAVAILABLE,
			    "the gateway is stopping; the tool was not started");
	} else if (c->count >= c->config.max_running) {
		r = err_set(err, ERR_BUSY, "too many calls are running; the tool was not started");
	} else if (check_share(c, call, err) < 0) {
		r = -ERR_BUSY;
	} else {
		c->count++;
		call->number = ++c->last_number;
		call->next = c->running;
		c->running = call;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

static void call_unlist(struct calls *c, struct call *call)
{
	struct call **p;

	(void)pthread_mutex_lock(&c->lock);
	for (p = &c->running; *p != call;)
		p = &(*p)->next;
	*p = call->next;
	c->count--;
	if (c->is_draining)
		(void)pthread_cond_signal(&c->ended);
	(void)pthread_mutex_unlock(&c->lock);
}

static enum metric metric_of(int r, const ProtobufCMessage *reply)
{
	if (r == 0 && reply)
		return ((const PB(ExecuteReply) *)reply)->done->outcome ==
				       MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK
			       ? METRIC_CALLS_OK
			       : METRIC_CALLS_TOOL_ERROR;
	if (r == -ERR_UNKNOWN_OUTCOME)
		return METRIC_CALLS_LOST;
	return r == -ERR_CANCELLED ? METRIC_CALLS_CANCELLED : METRIC_CALLS_REFUSED;
}

/* It came to an end by itself or was ended: does its caller get the result? */
static int answer_of(const struct call *call, struct err *err)
{
	return atomic_load(&call->cancel) == CANCEL_NONE ? 0 : fail_cancelled(call, err);
}

/* Recorded from here on: a start, and an end whatever happens. */
static int run_recorded(struct call *call, struct json_span arguments, ProtobufCMessage **ret,
			struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err why = { 0 };
	int r = record_start(call, arguments, err);

	if (r < 0)
		return r;
	r = run_somewhere(call, arguments, &reply, &why);
	metrics_count(metric_of(r, reply));
	if (r == 0 && reply) {
		record_done(call, ((const PB(ExecuteReply) *)reply)->done);
		r = answer_of(call, err);
	} else {
		record_failure(call, r, &why);
		r = err_set_field(err, (enum err_code) - r, why.field, why.hint, "%s", why.text);
	}
	err_done(&why);
	if (r == 0)
		*ret = TAKE(reply);
	return r;
}

static int check_permit(struct call *call, struct err *err)
{
	static const uint32_t live = 1u << MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE;
	static const uint32_t test = 1u << MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST;
	BOX_CLEANUP(msg_freep) PB(Permit) *permit = NULL;
	int r = permit_check(call->calls->config.bus, call->rq->tool->permit,
			     call->rq->is_test ? test : live, call->calls->config.stale_max_ms,
			     &permit, err);

	if (r < 0)
		return r;
	if (strcmp(permit->tool_id, call->rq->tool->tool_id) != 0 ||
	    permit->version != call->rq->tool->version)
		return err_set(err, ERR_DENIED, "the permit is for another tool");
	(void)snprintf(call->permit_id, sizeof(call->permit_id), "%s", permit->permit_id);
	return 0;
}

int calls_run(struct calls *c, const struct call_request *rq, ProtobufCMessage **ret,
	      struct err *err)
{
	static const char no_arguments[] = "{}";
	struct json_span arguments =
		rq->arguments.at ? rq->arguments
				 : (struct json_span){ no_arguments, sizeof(no_arguments) - 1 };
	struct call call = { .calls = c, .rq = rq, .started_ms = clock_mono_ms() };
	int r;

	if (arguments.len > ARGUMENTS_MAX)
		return err_set(err, ERR_TOO_LARGE, "arguments are limited to 1 MiB");
	call.deadline_ms = call.started_ms + rq->tool->timeout_ms + CALL_GRACE_MS;
	call.filter = (struct event_filter){ .progress_token = rq->progress_token,
					     .level = rq->log_level };
	id_new(call.call_id);
	r = check_permit(&call, err);
	if (r < 0)
		return r;
	r = call_list(c, &call, err);
	if (r < 0)
		return r;
	if (rq->ends_with_client && rq->answer)
		answer_on_gone(rq->answer, client_gone, &call);
	r = run_recorded(&call, arguments, ret, err);
	if (rq->ends_with_client && rq->answer)
		answer_on_gone(rq->answer, NULL, NULL);
	call_unlist(c, &call);
	return r;
}
