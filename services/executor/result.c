#include "result.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "parse.h"

#define SETUP_FAILED_FIRST 119 /* exit statuses of worker/confine.c */
#define SETUP_FAILED_LAST  139

typedef Mcpbox__V1__Done__Outcome outcome;
#define OUTCOME(name) MCPBOX__V1__DONE__OUTCOME__OUTCOME_##name

void result_done(struct result *r)
{
	buf_done(&r->content);
	buf_done(&r->structured);
	buf_done(&r->error_text);
	buf_done(&r->error_detail);
	buf_done(&r->output);
}

const char *result_outcome_name(outcome o)
{
	static const char *const names[] = { "unspecified", "ok",     "tool_error", "timeout",
					     "cpu",         "memory", "output",     "result",
					     "forbidden",   "crash",  "cancelled",  "internal" };

	return (size_t)o < ARRAY_LEN(names) ? names[o] : "?";
}

/* ---- texts ---- */

/* "256 MiB", "3.2 MiB", "64 KiB" */
static void add_size(struct buf *b, uint64_t bytes)
{
	bool is_mib = bytes >= 1024 * 1024;
	uint64_t unit = is_mib ? 1024 * 1024 : 1024;

	if (bytes % unit == 0)
		buf_printf(b, "%llu", (unsigned long long)(bytes / unit));
	else
		buf_printf(b, "%.1f", (double)bytes / (double)unit);
	buf_add_str(b, is_mib ? " MiB" : " KiB");
}

/* "30 s", "1.5 s" */
static void add_seconds(struct buf *b, uint32_t ms)
{
	if (ms % 1000 == 0)
		buf_printf(b, "%u s", ms / 1000);
	else
		buf_printf(b, "%.1f s", ms / 1000.0);
}

static void say_limit(struct buf *b, const char *what, uint64_t bytes)
{
	buf_printf(b, "%s limit ", what);
	add_size(b, bytes);
	buf_add_str(b, " exceeded");
}

static void say_timeout(const struct run_facts *f, struct buf *b)
{
	buf_add_str(b, "time limit ");
	add_seconds(b, f->limits->timeout_ms);
	buf_add_str(b, " exceeded");
}

static void say_cpu(const struct run_facts *f, struct buf *b)
{
	buf_add_str(b, "CPU time limit ");
	add_seconds(b, f->limits->cpu_ms);
	buf_printf(b, " exceeded (%.1f s used)", (double)f->ended.cpu_us / 1e6);
}

static void say_memory(const struct run_facts *f, struct buf *b)
{
	say_limit(b, "memory", (uint64_t)f->limits->memory_mb << 20);
}

static void say_output(const struct run_facts *f, struct buf *b)
{
	say_limit(b, "output", (uint64_t)f->limits->output_kb << 10);
	buf_add_str(b, " (");
	add_size(b, f->output->total);
	buf_add_char(b, ')');
}

static void say_events(const struct run_facts *f, struct buf *b)
{
	(void)f;
	buf_add_str(b, "output limit exceeded: too many progress and log messages");
}

static void say_result(const struct run_facts *f, struct buf *b)
{
	say_limit(b, "result", (uint64_t)f->limits->result_kb << 10);
	buf_add_str(b, " (");
	add_size(b, f->frame_size);
	buf_add_char(b, ')');
}

static void say_protocol(const struct run_facts *f, struct buf *b)
{
	(void)f;
	buf_add_str(b, "the process wrote something else than an answer to its answer channel");
}

static void say_threads(const struct run_facts *f, struct buf *b)
{
	buf_printf(b, "thread limit %u exceeded (%u)", f->limits->threads, f->threads);
}

static void say_cancelled(const struct run_facts *f, struct buf *b)
{
	buf_add_str(b, "cancelled");
	if (f->cancel_reason && f->cancel_reason[0])
		buf_printf(b, ": %s", f->cancel_reason);
}

static void say_lost(const struct run_facts *f, struct buf *b)
{
	(void)f;
	buf_add_str(b, "the sandbox went away during the call; the tool may have run");
}

/* What the supervisor decided itself. */
static const struct {
	enum run_cause cause;
	outcome outcome;
	void (*say)(const struct run_facts *f, struct buf *b);
} causes[] = {
	{ CAUSE_TIMEOUT, OUTCOME(TIMEOUT), say_timeout },
	{ CAUSE_OUTPUT, OUTCOME(OUTPUT), say_output },
	{ CAUSE_EVENTS, OUTCOME(OUTPUT), say_events },
	{ CAUSE_RESULT, OUTCOME(RESULT), say_result },
	{ CAUSE_PROTOCOL, OUTCOME(CRASH), say_protocol },
	{ CAUSE_THREADS, OUTCOME(CRASH), say_threads },
	{ CAUSE_CANCELLED, OUTCOME(CANCELLED), say_cancelled },
	{ CAUSE_LOST, OUTCOME(INTERNAL), say_lost },
};

/* Ends of the process without an answer, told by the signal. */
static outcome say_signal(const struct run_facts *f, struct buf *b)
{
	int sig = (int)f->ended.code;
	bool used_all_cpu = f->ended.cpu_us / 1000 >= f->limits->cpu_ms;

	if (sig == SIGSYS) {
		buf_add_str(b, "the code made a forbidden system call (SIGSYS) and was ended");
		return OUTCOME(FORBIDDEN);
	}
	if (sig == SIGXCPU || (sig == SIGKILL && used_all_cpu)) {
		say_cpu(f, b);
		return OUTCOME(CPU);
	}
	buf_printf(b, "the process crashed (SIG%s)", sigabbrev_np(sig) ? sigabbrev_np(sig) : "?");
	return OUTCOME(CRASH);
}

static outcome say_end(const struct run_facts *f, struct buf *b)
{
	if (f->ended.how == WIRE_SIGNALED)
		return say_signal(f, b);
	if (f->ended.how == WIRE_NOT_STARTED) {
		buf_add_str(b, "no process could be started for the call; the tool did not run");
		return OUTCOME(INTERNAL);
	}
	if (f->ended.code >= SETUP_FAILED_FIRST && f->ended.code <= SETUP_FAILED_LAST) {
		buf_printf(b, "the sandbox could not be set up (step %u); the tool did not run",
			   f->ended.code - SETUP_FAILED_FIRST);
		return OUTCOME(INTERNAL);
	}
	buf_printf(b, "the process ended without an answer (exit status %u)", f->ended.code);
	return OUTCOME(CRASH);
}

/* ---- failures ---- */

static void add_part(struct buf *text, const char *heading, const struct buf *part)
{
	if (part->len == 0)
		return;
	buf_printf(text, "\n\n--- %s ---\n", heading);
	buf_add(text, part->data, part->len);
}

static void add_text_block(struct result *ret, const struct buf *text)
{
	buf_add_str(&ret->content, "[{\"type\":\"text\",\"text\":");
	json_add_string(&ret->content, text->data, text->len);
	buf_add_str(&ret->content, "}]");
}

/* One text block: the error, what was printed, the detail (contract 3.6). */
static void add_error_content(const struct run_facts *f, const struct buf *detail,
			      struct result *ret)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(1024 * 1024);

	buf_add(&text, ret->error_text.data, ret->error_text.len);
	if (!capture_is_blank(f->output))
		add_part(&text, "stdout", &ret->output);
	if (detail)
		add_part(&text, "detail", detail);
	add_text_block(ret, &text);
}

void result_fail(struct result *ret, outcome o, const char *text)
{
	ret->outcome = o;
	buf_add_str(&ret->error_text, text);
	add_text_block(ret, &ret->error_text);
}

static void fail(const struct run_facts *f, outcome o, struct result *ret)
{
	ret->outcome = o;
	add_error_content(f, NULL, ret);
}

/* ---- the frame ---- */

enum member {
	M_OK,
	M_KIND,
	M_TEXT,
	M_DETAIL,
	M_DETAIL_TEXT,
	M_CONTENT,
	M_STRUCTURED,
	M_INSPECT,
	M_COUNT
};
static const char *const member_names[M_COUNT] = {
	"ok", "kind", "text", "detail", "detail_text", "content", "structured", "inspect"
};

static bool span_is(struct json_span s, const char *text)
{
	return s.at && s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static void add_span_text(struct json_span s, struct buf *ret)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;

	if (s.at && *s.at == '"' && json_span_string(s, &text, &len) == 0)
		buf_add(ret, text, len);
}

/* What a tool's frame may claim about its failure. */
static const struct {
	const char *kind; /* raw JSON string */
	outcome outcome;
	bool is_exact; /* the text stands alone */
} kinds[] = {
	{ "\"tool\"", OUTCOME(TOOL_ERROR), false },   { "\"exact\"", OUTCOME(TOOL_ERROR), true },
	{ "\"memory\"", OUTCOME(MEMORY), false },     { "\"result\"", OUTCOME(RESULT), false },
	{ "\"internal\"", OUTCOME(INTERNAL), false },
};

static void judge_failure(const struct run_facts *f, const struct json_span *m, struct result *ret)
{
	BOX_CLEANUP(buf_done) struct buf detail = BUF_INIT(64 * 1024);
	size_t row = 0;

	while (row < ARRAY_LEN(kinds) && !span_is(m[M_KIND], kinds[row].kind))
		row++;
	ret->outcome = row < ARRAY_LEN(kinds) ? kinds[row].outcome : OUTCOME(CRASH);
	if (ret->outcome == OUTCOME(MEMORY))
		say_memory(f, &ret->error_text);
	else
		add_span_text(m[M_TEXT], &ret->error_text);
	if (m[M_DETAIL].at && *m[M_DETAIL].at == '{')
		buf_add(&ret->error_detail, m[M_DETAIL].at, m[M_DETAIL].len);
	if (ret->error_detail.is_over)
		buf_clear(&ret->error_detail);
	if (row < ARRAY_LEN(kinds) && kinds[row].is_exact) {
		add_text_block(ret, &ret->error_text);
		return;
	}
	add_span_text(m[M_DETAIL_TEXT], &detail);
	add_error_content(f, &detail, ret);
}

/* Blocks that MCP knows, each with what it must have. */
static const struct {
	const char *type;
	const char *strings[3];
	const char *object;
} blocks[] = {
	{ "text", { "text" }, NULL },
	{ "image", { "data", "mimeType" }, NULL },
	{ "audio", { "data", "mimeType" }, NULL },
	{ "resource", { NULL }, "resource" },
	{ "resource_link", { "uri", "name" }, NULL },
};

static bool has_strings(const json_t *block, const char *const *names)
{
	for (size_t i = 0; i < 3 && names[i]; i++) {
		if (!json_is_string(json_object_get(block, names[i])))
			return false;
	}
	return true;
}

static bool block_is_good(const json_t *block)
{
	const char *type = json_string_value(json_object_get(block, "type"));

	for (size_t i = 0; type && i < ARRAY_LEN(blocks); i++) {
		const json_t *inner =
			json_object_get(block, blocks[i].object ? blocks[i].object : "");

		if (strcmp(blocks[i].type, type) != 0)
			continue;
		if (blocks[i].object)
			return json_is_string(json_object_get(inner, "uri")) &&
			       (json_is_string(json_object_get(inner, "text")) ||
				json_is_string(json_object_get(inner, "blob")));
		return has_strings(block, blocks[i].strings);
	}
	return false;
}

static bool content_is_good(struct json_span content)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const json_t *block;
	size_t i;

	if (!content.at || *content.at != '[' ||
	    json_load(content.at, content.len, &tree, NULL) < 0)
		return false;
	json_array_foreach(tree, i, block)
	{
		if (!block_is_good(block))
			return false;
	}
	return true;
}

static void judge_success(const struct run_facts *f, const struct json_span *m, struct result *ret)
{
	uint64_t limit = (uint64_t)f->limits->result_kb << 10;

	/* The runtime measures before it writes; this is for a runtime that was tampered with. */
	if (m[M_STRUCTURED].len > limit || m[M_CONTENT].len > 6 * limit + 4096) {
		say_result(f, &ret->error_text);
		fail(f, OUTCOME(RESULT), ret);
		return;
	}
	if (!content_is_good(m[M_CONTENT])) {
		say_protocol(f, &ret->error_text);
		fail(f, OUTCOME(CRASH), ret);
		return;
	}
	ret->outcome = OUTCOME(OK);
	buf_add(&ret->content, m[M_CONTENT].at, m[M_CONTENT].len);
	if (m[M_STRUCTURED].at)
		buf_add(&ret->structured, m[M_STRUCTURED].at, m[M_STRUCTURED].len);
}

static int scan_frame(const struct run_facts *f, struct json_span *ret)
{
	return json_scan_members(f->frame.data, f->frame.len, member_names, M_COUNT, ret, NULL);
}

static void judge_frame(const struct run_facts *f, struct result *ret)
{
	struct json_span m[M_COUNT];

	if (scan_frame(f, m) < 0) {
		say_protocol(f, &ret->error_text);
		fail(f, OUTCOME(CRASH), ret);
	} else if (span_is(m[M_OK], "true")) {
		judge_success(f, m, ret);
	} else {
		judge_failure(f, m, ret);
	}
}

void result_judge(const struct run_facts *f, struct result *ret)
{
	capture_text(f->output, &ret->output);
	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		if (causes[i].cause == f->cause) {
			causes[i].say(f, &ret->error_text);
			fail(f, causes[i].outcome, ret);
			return;
		}
	}
	if (f->has_frame)
		judge_frame(f, ret);
	else
		fail(f, say_end(f, &ret->error_text), ret);
}

int result_judge_inspection(const struct run_facts *f, PB(InspectReply) * *ret, struct err *err)
{
	struct json_span m[M_COUNT];
	ProtobufCMessage *reply = NULL;

	if (f->cause == CAUSE_TIMEOUT)
		return err_set(err, ERR_INVALID, "the code takes too long to parse");
	if (f->cause != CAUSE_NONE || !f->has_frame)
		return err_set(err, ERR_UNAVAILABLE,
			       "the code could not be checked: the sandbox ended early");
	if (scan_frame(f, m) < 0 || !span_is(m[M_OK], "true") || !m[M_INSPECT].at ||
	    json_to_msg(&mcpbox__v1__inspect_reply__descriptor, m[M_INSPECT].at, m[M_INSPECT].len,
			NULL, &reply, err) < 0)
		return err_set(err, ERR_INTERNAL, "the code could not be checked");
	*ret = (PB(InspectReply) *)reply;
	return 0;
}
