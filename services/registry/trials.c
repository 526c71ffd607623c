/*
 * A reviewer runs the head of a tool, approved or not: once, in the sandbox of every call, under a permit that names
 * this use alone.  The registry sends Execute itself, as it sends Inspect.  So the permit leaves it for nobody but
 * an executor and the egress-proxy: no gateway can have such code run, and the admin service needs no way to
 * executors.
 *
 * All of it happens before the transaction of the question, which may not wait for a tool: `prepare` and `finish` are
 * transactions of their own, with the records of the call's start and end.
 */
#include "trials.h"

#include <stdatomic.h>
#include <string.h>
#include "call_record.h"
#include "clock.h"
#include "id.h"
#include "json.h"
#include "mem.h"
#include "nouns.h"
#include "pause.h"
#include "records.h"
#include "specs.h"
#include "tools.h"

enum {
	TIMEOUT_MAX_MS = 60000, /* somebody waits, and a worker with him */
	GRACE_MS = 5000,
	TRIES = 3,
	ARGUMENTS_MAX = 1024 * 1024,
	HOSTS_WAIT_MS = 3000,  /* for records that are on their way from the egress-proxy */
	HOSTS_SETTLE_MS = 500, /* longer than its spool lingers */
	HOSTS_LOOK_MS = 50,
};

struct trial {
	struct work *outer; /* of the question; what must last lies in its arena */
	const char *tool_id;
	ProtobufCBinaryData arguments;
	char call_id[ID_TEXT_SIZE];
	const PB(PrepareTestReply) * prepared;
	const char *executor;
	uint64_t started_ms, deadline_ms;
	const PB(Done) * done; /* NULL: none came, see code and why */
	int code;
	struct err why;
	PB(TestCodeReply) reply;
};

static const struct trial *trial_of(const void *in)
{
	return *(const struct trial *const *)in;
}

/* ---- a place ------------------------------------------------------------------------------------- */

/* Each holds a worker for as long as the tool runs; three quarters stay for all other questions. */
static atomic_uint running;

static int take_place(const struct registry *reg, struct err *err)
{
	uint32_t max = reg->cfg.workers / 4 ? reg->cfg.workers / 4 : 1;

	if (atomic_fetch_add(&running, 1) < max)
		return 0;
	atomic_fetch_sub(&running, 1);
	return err_set_field(err, ERR_BUSY, NULL, "try again when one has ended",
			     "%u test runs are going on already; nothing was started", max);
}

/* ---- the beginning ------------------------------------------------------------------------------- */

/* The question may come twice, the run may not. */
static int claim(struct work *w, const struct bus_request *rq, struct err *err)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	bool is_fresh = true;
	int r;

	crypto_hash(rq->in_bytes, rq->in_len, hash);
	r = store_request_claim(w->tx, rq->from, (struct bytes){ rq->request_id, REQUEST_ID_SIZE },
				MSG_TEST_CODE, (struct bytes){ hash, sizeof(hash) }, &is_fresh);
	if (r == 0 && !is_fresh)
		r = err_set_field(err, ERR_STATE, NULL, "its log tells how it ended",
				  "this test run was begun already");
	return r;
}

static void *keep(struct arena *a, const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *packed = arena_alloc(a, len + 1);

	(void)protobuf_c_message_pack(m, packed);
	return arena_unpack(a, m->descriptor, packed, len);
}

static int record_start(struct work *w, const struct trial *t, const PB(MapTool) * tool)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	char via[] = "rest";
	struct buf kept = CALL_RECORD_ARGS;
	int r = store_trial_begin(w->tx, t->call_id);

	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED;
	record.call_id = arena_str(&w->arena, t->call_id);
	record.call = &call;
	call.tool_id = tool->tool_id;
	call.server_id = tool->server_id;
	call.tool_name = tool->published_name;
	call.version = tool->version;
	call.is_test = true;
	call.executed_by = arena_str(&w->arena, w->actor->author);
	call.via = via;
	call_record_arguments(&call, t->arguments.data, t->arguments.len, &kept);
	if (r == 0)
		r = records_add(w, &record);
	buf_done(&kept);
	return r;
}

static int prepare(struct work *w, const void *in, struct err *err)
{
	struct trial *t = (struct trial *)(uintptr_t)trial_of(in);
	PB(PrepareTestReply) reply = MCPBOX__V1__PREPARE_TEST_REPLY__INIT;
	PB(Tool) * tool;
	int r;

	w->actor = t->outer->actor;
	r = claim(w, t->outer->rq, err);
	if (r == 0)
		r = tool_load(w, t->tool_id, true, &tool, err);
	if (r != 0)
		return r;
	t->outer->object_kind = "tool";
	t->outer->object_id = arena_str(&t->outer->arena, tool->id);
	if (!tool->python_code_opt_case)
		return err_set(err, ERR_STATE, "tool '%s' has no code of its own to test",
			       tool->name);
	r = pause_check(w, tool->server_id, err);
	if (r == 0)
		r = specs_prepare_test(w, tool, MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_REVIEW,
				       TIMEOUT_MAX_MS, &reply);
	if (r == 0)
		r = record_start(w, t, reply.tool);
	if (r != 0)
		return r;
	work_audit(w, "tool.tested", "tool", tool->id, "ok",
		   json_pack("{s:s, s:i, s:s, s:s}", "name", tool->name, "version",
			     (int)tool->current_version, "status", tool->approval_status, "call",
			     t->call_id));
	t->prepared = keep(&t->outer->arena, &reply.base);
	return 0;
}

/* ---- the run ------------------------------------------------------------------------------------- */

static uint32_t remaining_ms(const struct trial *t)
{
	uint64_t now = clock_mono_ms();

	return now < t->deadline_ms ? (uint32_t)(t->deadline_ms - now) : 1;
}

static int ask_execute(const struct trial *t, const struct bus_target *to, ProtobufCMessage **ret,
		       struct err *err)
{
	PB(ExecuteRequest) request = MCPBOX__V1__EXECUTE_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = remaining_ms(t) };

	request.call_id = (char *)(uintptr_t)t->call_id;
	request.permit = t->prepared->tool->permit;
	request.arguments_json = t->arguments;
	/* At once: a version under review is at no executor yet. */
	request.blobs = t->prepared->blobs;
	request.n_blobs = t->prepared->n_blobs;
	return bus_call(t->outer->reg->bus, to, MSG_EXECUTE, &request.base, &opts, ret, err);
}

static int ask_wait(const struct trial *t, const struct bus_target *to, uint32_t after_seq,
		    ProtobufCMessage **ret, struct err *err)
{
	PB(WaitRequest) request = MCPBOX__V1__WAIT_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = remaining_ms(t), .repeatable = true };

	request.call_id = (char *)(uintptr_t)t->call_id;
	request.after_seq = after_seq;
	return bus_call(t->outer->reg->bus, to, MSG_WAIT, &request.base, &opts, ret, err);
}

/* reply NULL: the connection broke after sending; the executor may be fine. */
static int follow(struct trial *t, const struct bus_target *to, ProtobufCMessage *first,
		  struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = first;
	uint32_t seq = 0;

	for (;;) {
		const PB(ExecuteReply) *e = (const PB(ExecuteReply) *)reply;

		if (e && e->done) {
			t->done = keep(&t->outer->arena, &e->done->base);
			return 0;
		}
		if (e && e->n_need > 0)
			return err_set(err, ERR_UNAVAILABLE, "the executor did not take the code");
		if (e && e->running)
			seq = e->running->seq;
		if (reply)
			msg_free(TAKE(reply));
		if (clock_mono_ms() >= t->deadline_ms || ask_wait(t, to, seq, &reply, NULL) < 0)
			return err_set(err, ERR_UNKNOWN_OUTCOME,
				       "executor lost, the tool may have run");
	}
}

static int run_at(struct trial *t, const PB(Instance) * executor, struct err *err)
{
	struct bus_target to = { .role = ROLE_EXECUTOR, .addr = executor->work_addr };
	ProtobufCMessage *reply = NULL;
	int r;

	memcpy(to.boot_id, executor->boot_id.data, BOOT_ID_SIZE);
	t->executor = arena_str(&t->outer->arena, executor->instance);
	r = ask_execute(t, &to, &reply, err);
	if (r == 0 || r == -ERR_UNKNOWN_OUTCOME)
		r = follow(t, &to, reply, err);
	return r;
}

/* Nothing was started there; another executor may do it. */
static bool is_elsewhere(int r)
{
	return r == -ERR_BUSY || r == -ERR_UNAVAILABLE || r == -ERR_STALE_PEER;
}

static void execute(struct trial *t)
{
	size_t count;
	PB(Instance) **all = lease_list(t->outer->reg->leases, &t->outer->arena, &count);
	uint32_t tried = 0;

	t->started_ms = clock_mono_ms();
	t->deadline_ms =
		t->started_ms + GRACE_MS +
		(t->prepared->tool->timeout_ms < TIMEOUT_MAX_MS ? t->prepared->tool->timeout_ms
								: TIMEOUT_MAX_MS);
	t->code = err_set_field(&t->why, ERR_UNAVAILABLE, NULL, "try again in a moment",
				"no executor is running; the tool was not started");
	for (size_t i = 0; i < count && tried < TRIES && is_elsewhere(t->code); i++) {
		if (all[i]->role != MCPBOX__V1__ROLE__ROLE_EXECUTOR || all[i]->draining)
			continue;
		tried++;
		t->code = run_at(t, all[i], &t->why);
	}
}

/* ---- the end ------------------------------------------------------------------------------------- */

static int end(struct work *w, const char *call_id, PB(CallRecord) * call)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	int r = store_trial_end(w->tx, call_id);

	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED;
	record.call_id = arena_str(&w->arena, call_id);
	record.call = call;
	return r == 0 ? records_add(w, &record) : r;
}

static void fill_end(struct trial *t, PB(CallRecord) * call, struct buf *kept,
		     char outcome[CALL_OUTCOME_SIZE])
{
	call->tool_id = t->prepared->tool->tool_id; /* what it ran into is counted by tool */
	call->server_id = t->prepared->tool->server_id;
	call->tool_name = t->prepared->tool->published_name;
	call->version = t->prepared->tool->version;
	call->is_test = true;
	if (t->executor)
		call->executor = (char *)(uintptr_t)t->executor;
	if (t->done) {
		call_record_done(call, t->done, kept, outcome);
	} else {
		call->outcome = (char *)(uintptr_t)call_failure_outcome(t->code);
		call->error = pb_text(t->why.text);
		call->duration_ms = (uint32_t)(clock_mono_ms() - t->started_ms);
	}
	t->reply.outcome = arena_str(&t->outer->arena, call->outcome);
}

static int finish(struct work *w, const void *in, struct err *err)
{
	struct trial *t = (struct trial *)(uintptr_t)trial_of(in);
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	char outcome[CALL_OUTCOME_SIZE];
	struct buf kept = CALL_RECORD_RESULT;
	int r;

	(void)err;
	w->actor = t->outer->actor;
	fill_end(t, &call, &kept, outcome);
	r = end(w, t->call_id, &call);
	buf_done(&kept);
	return r;
}

/* ---- where it went ------------------------------------------------------------------------------- */

static int look_at_hosts(struct trial *t, int64_t *ret_open)
{
	struct registry *reg = t->outer->reg;
	struct store_tx *tx;
	int r = store_begin(reg->store, STORE_READ, &t->outer->arena, &tx);

	if (r != 0)
		return r;
	r = store_call_hosts(tx, t->call_id, &t->reply.hosts, &t->reply.n_hosts, ret_open);
	store_end(tx);
	return r;
}

/* The egress-proxy wrote each request down before it answered the tool; what it wrote arrives a little later. */
static void find_hosts(struct trial *t)
{
	uint64_t begun = clock_mono_ms(), waited = 0;
	int64_t open = 0;
	bool is_settled = false;

	t->reply.hosts_complete = t->done && t->done->streams == 0;
	while (!t->reply.hosts_complete && waited < HOSTS_WAIT_MS) {
		clock_sleep_ms(HOSTS_LOOK_MS);
		if (look_at_hosts(t, &open) < 0)
			return;
		waited = clock_mono_ms() - begun;
		is_settled = waited >= HOSTS_SETTLE_MS;
		t->reply.hosts_complete =
			t->done && is_settled && t->reply.n_hosts > 0 && open == 0;
	}
}

/* ---- the answer ---------------------------------------------------------------------------------- */

/* One text block and nothing else: its text as a JSON string; else the blocks as they are. */
static ProtobufCBinaryData value_of_content(struct work *w, ProtobufCBinaryData content)
{
	BOX_CLEANUP(json_decrefp) json_t *blocks = NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;
	const json_t *first;
	size_t len;

	if (json_load_with_nul(content.data, content.len, &blocks, NULL) < 0)
		return content;
	first = json_object_get(json_array_get(blocks, 0), "text");
	if (json_array_size(blocks) != 1 || !json_is_string(first))
		return content;
	text = json_dump(first, &len);
	return pb_bytes(arena_dup(&w->arena, text, len), len);
}

static void fill_reply(struct trial *t)
{
	PB(TestCodeReply) *reply = &t->reply;
	const PB(Done) *done = t->done;

	reply->log_id = t->call_id;
	reply->version = t->prepared->tool->version;
	reply->success = done && done->outcome == MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK;
	if (!reply->success) {
		reply->error_opt_case = MCPBOX__V1__TEST_CODE_REPLY__ERROR_OPT_ERROR;
		reply->error = done ? done->error_text : pb_text(t->why.text);
	}
	if (!done)
		return;
	if (reply->success)
		reply->result_json = done->structured_json.len
					     ? done->structured_json
					     : value_of_content(t->outer, done->content_json);
	reply->stdout_opt_case = MCPBOX__V1__TEST_CODE_REPLY__STDOUT_OPT_STDOUT;
	reply->stdout = done->stdout;
	reply->duration_ms_opt_case = MCPBOX__V1__TEST_CODE_REPLY__DURATION_MS_OPT_DURATION_MS;
	reply->duration_ms = done->duration_ms;
	reply->refused = done->refused;
	reply->n_refused = done->n_refused;
}

static int check(const PB(TestCodeRequest) * in, ProtobufCBinaryData *ret_arguments,
		 struct err *err)
{
	static char none[] = "{}";

	*ret_arguments = in->arguments_json.len ? in->arguments_json : pb_text(none);
	if (ret_arguments->len > ARGUMENTS_MAX)
		return err_set_field(err, ERR_TOO_LARGE, "arguments", NULL,
				     "arguments are limited to 1 MiB");
	if (json_scan_members(ret_arguments->data, ret_arguments->len, NULL, 0, NULL, NULL) < 0)
		return err_set_field(err, ERR_INVALID, "arguments", NULL,
				     "arguments must be a JSON object");
	return 0;
}

static int run(struct trial *t, struct err *err)
{
	int r = work_system(t->outer->reg, prepare, &t, err);

	if (r < 0)
		return r;
	execute(t);
	r = work_system(t->outer->reg, finish, &t, err);
	if (r < 0)
		return r;
	find_hosts(t);
	fill_reply(t);
	return 0;
}

int trial_run(struct work *w, const void *message, struct err *err)
{
	const PB(TestCodeRequest) *in = message;
	struct trial *t = arena_alloc(&w->arena, sizeof(*t));
	int r;

	t->outer = w;
	t->tool_id = in->tool_id;
	mcpbox__v1__test_code_reply__init(&t->reply);
	id_new(t->call_id);
	r = check(in, &t->arguments, err);
	if (r == 0)
		r = take_place(w->reg, err);
	if (r < 0)
		return r;
	r = run(t, err);
	atomic_fetch_sub(&running, 1);
	w->prepared = t;
	return r;
}

int trial_answer(struct work *w, const void *message, struct err *err)
{
	const struct trial *t = w->prepared;

	(void)message;
	(void)err;
	work_answer(w, &t->reply.base);
	return 0;
}

/* ---- at the start -------------------------------------------------------------------------------- */

static int end_open(struct work *w, const void *in, struct err *err)
{
	char **ids, outcome[] = "unknown";
	size_t count;
	int r = store_trials_open(w->tx, &ids, &count);

	(void)in;
	(void)err;
	for (size_t i = 0; r == 0 && i < count; i++) {
		PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;

		call.outcome = outcome;
		call.error = pb_text("the registry ended during the test run; it may have run");
		r = end(w, ids[i], &call);
	}
	return r;
}

int trials_end_open(struct registry *reg, struct err *err)
{
	return work_system(reg, end_open, NULL, err);
}
