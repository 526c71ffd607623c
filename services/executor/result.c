#include "result.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "parse.h"
#include "hide.h"

#define SCRATCH_FILES 1024u /* nr_inodes of worker/rootfs.c */
#define SAID_MAX      300   /* of what is said about a source */

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
	static const char *const names[] = { "unspecified", "ok",      "tool_error", "timeout",
					     "cpu",         "memory",  "output",     "result",
					     "forbidden",   "crash",   "cancelled",  "internal",
					     "files",       "threads", "scratch" };

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

static void exceed(struct result *ret, const char *limit, uint64_t allowed, uint64_t used)
{
	ret->excess = (struct result_excess){ .limit = limit, .allowed = allowed, .used = used };
}

/* "memory limit 256 MiB exceeded" */
static void say_limit(struct buf *b, const char *what, uint64_t bytes)
{
	buf_printf(b, "%s limit ", what);
	add_size(b, bytes);
	buf_add_str(b, " exceeded");
}

static void say_used(struct buf *b, uint64_t bytes)
{
	if (bytes == 0)
		return;
	buf_add_str(b, " (");
	add_size(b, bytes);
	buf_add_str(b, " used)");
}

static void say_timeout(const struct run_facts *f, struct result *ret)
{
	struct buf *b = &ret->error_text;

	buf_add_str(b, "time limit ");
	add_seconds(b, f->limits->timeout_ms);
	buf_add_str(b, " exceeded");
	if (f->duration_ms > 0)
		buf_printf(b, " (%.1f s used)", f->duration_ms / 1000.0);
	exceed(ret, "timeout_ms", f->limits->timeout_ms, f->duration_ms);
}

static void say_cpu(const struct run_facts *f, struct result *ret)
{
	/* The kernel counts more finely than it reports: it was used up. */
	uint64_t limit_us = (uint64_t)f->limits->cpu_ms * 1000;
	uint64_t used_us = f->ended.cpu_us > limit_us ? f->ended.cpu_us : limit_us;

	buf_add_str(&ret->error_text, "CPU time limit ");
	add_seconds(&ret->error_text, f->limits->cpu_ms);
	buf_printf(&ret->error_text, " exceeded (%.1f s used)", (double)used_us / 1e6);
	exceed(ret, "cpu_ms", f->limits->cpu_ms, used_us / 1000);
}

/* What the call had in memory beside the interpreter.  0: not known, or so little that it was let go of before it
 * was read, or one piece was asked for that is larger than all. */
static uint64_t memory_used_kb(const struct run_facts *f)
{
	uint64_t limit_kb = (uint64_t)f->limits->memory_mb << 10;
	uint64_t used_kb = f->base_kb > 0 && f->ended.memory_kb > f->base_kb
				   ? f->ended.memory_kb - f->base_kb
				   : 0;

	return used_kb >= limit_kb / 2 ? used_kb : 0;
}

static void say_memory(const struct run_facts *f, struct result *ret)
{
	say_limit(&ret->error_text, "memory", (uint64_t)f->limits->memory_mb << 20);
	say_used(&ret->error_text, memory_used_kb(f) << 10);
	exceed(ret, "memory_mb", f->limits->memory_mb, memory_used_kb(f) >> 10);
}

static void say_output(const struct run_facts *f, struct result *ret)
{
	say_limit(&ret->error_text, "output", (uint64_t)f->limits->output_kb << 10);
	buf_add_str(&ret->error_text, " (");
	add_size(&ret->error_text, f->output->total);
	buf_add_char(&ret->error_text, ')');
	exceed(ret, "output_kb", f->limits->output_kb, f->output->total >> 10);
}

static void say_events(const struct run_facts *f, struct result *ret)
{
	buf_add_str(&ret->error_text, "output limit exceeded: too many progress and log messages");
	exceed(ret, "output_kb", f->limits->output_kb, 0);
	ret->excess.is_fixed = true;
}

static void say_result(const struct run_facts *f, struct result *ret)
{
	say_limit(&ret->error_text, "result", (uint64_t)f->limits->result_kb << 10);
	buf_add_str(&ret->error_text, " (");
	add_size(&ret->error_text, f->frame_size);
	buf_add_char(&ret->error_text, ')');
	exceed(ret, "result_kb", f->limits->result_kb, f->frame_size >> 10);
}

static void say_protocol(const struct run_facts *f, struct result *ret)
{
	(void)f;
	buf_add_str(&ret->error_text,
		    "the process wrote something else than an answer to its answer channel");
}

static void say_threads(const struct run_facts *f, struct result *ret)
{
	buf_printf(&ret->error_text, "thread limit %u exceeded", f->limits->threads);
	if (f->threads > 0)
		buf_printf(&ret->error_text, " (%u)", f->threads);
	exceed(ret, "threads", f->limits->threads, f->threads);
}

static void say_cancelled(const struct run_facts *f, struct result *ret)
{
	buf_add_str(&ret->error_text, "cancelled");
	if (f->cancel_reason && f->cancel_reason[0])
		buf_printf(&ret->error_text, ": %s", f->cancel_reason);
}

static void say_lost(const struct run_facts *f, struct result *ret)
{
	(void)f;
	buf_add_str(&ret->error_text,
		    "the sandbox went away during the call; the tool may have run");
}

/* What the supervisor decided itself. */
static const struct {
	enum run_cause cause;
	outcome outcome;
	void (*say)(const struct run_facts *f, struct result *ret);
} causes[] = {
	{ CAUSE_TIMEOUT, OUTCOME(TIMEOUT), say_timeout },
	{ CAUSE_CPU, OUTCOME(CPU), say_cpu },
	{ CAUSE_OUTPUT, OUTCOME(OUTPUT), say_output },
	{ CAUSE_EVENTS, OUTCOME(OUTPUT), say_events },
	{ CAUSE_RESULT, OUTCOME(RESULT), say_result },
	{ CAUSE_PROTOCOL, OUTCOME(CRASH), say_protocol },
	{ CAUSE_THREADS, OUTCOME(THREADS), say_threads },
	{ CAUSE_CANCELLED, OUTCOME(CANCELLED), say_cancelled },
	{ CAUSE_LOST, OUTCOME(INTERNAL), say_lost },
};

/* C code that gets no memory seldom says so: it crashes, or the kernel picks the process. */
static bool ended_for_memory(const struct run_facts *f)
{
	uint64_t limit_kb = (uint64_t)f->limits->memory_mb << 10;

	return f->ran_out_of_memory || memory_used_kb(f) >= limit_kb / 10 * 9;
}

/* What the kernel kills for has no honest use, so there is nothing that the author could ask for. */
#define FORBIDDEN_TEXT                                                                    \
	"the code made a forbidden system call (SIGSYS) and was ended: tracing, mounts, " \
	"namespaces, kernel keys, modules and clocks are closed to tools"

/* Ends of the process without an answer, told by the signal. */
static outcome say_signal(const struct run_facts *f, struct result *ret)
{
	int sig = (int)f->ended.code;
	bool used_all_cpu = f->ended.cpu_us / 1000 >= f->limits->cpu_ms;
	const char *name = sigabbrev_np(sig);

	if (sig == SIGSYS) {
		buf_add_str(&ret->error_text, FORBIDDEN_TEXT);
		return OUTCOME(FORBIDDEN);
	}
	if (sig == SIGXCPU || (sig == SIGKILL && used_all_cpu)) {
		say_cpu(f, ret);
		return OUTCOME(CPU);
	}
	if (ended_for_memory(f)) {
		say_memory(f, ret);
		return OUTCOME(MEMORY);
	}
	buf_printf(&ret->error_text, "the process crashed (SIG%s)", name ? name : "?");
	if (sig == SIGSEGV)
		buf_add_str(&ret->error_text,
			    ": a wild pointer, or recursion too deep in a C library");
	return OUTCOME(CRASH);
}

static outcome say_end(const struct run_facts *f, struct result *ret)
{
	struct buf *b = &ret->error_text;

	if (f->ended.how == WIRE_SIGNALED)
		return say_signal(f, ret);
	if (f->ended.how == WIRE_NOT_STARTED) {
		buf_add_str(b, "no process could be started for the call; the tool did not run");
		return OUTCOME(INTERNAL);
	}
	/* Whatever the status: a tool may exit with that of a process that was not confined. */
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

/* What the author can do about a limit. */
static const struct {
	const char *limit, *advice;
} advices[] = {
	{ "timeout_ms", "do less in a call, or in several at once" },
	{ "cpu_ms", "do less in a call" },
	{ "memory_mb", "hold less at once, for example one part after the other" },
	{ "output_kb", "print, log and report less" },
	{ "result_kb", "return less: a part, a page, a summary" },
	{ "files", "close what is no longer used (with open(...) as f)" },
	{ "threads", "start fewer at once; the main thread counts too" },
	{ "scratch_mb", "remove files that are no longer used" },
};

static void add_advice(struct buf *b, const struct result_excess *excess)
{
	for (size_t i = 0; excess->limit && i < ARRAY_LEN(advices); i++) {
		if (strcmp(advices[i].limit, excess->limit) != 0)
			continue;
		buf_printf(b, "\nWhat helps: %s", advices[i].advice);
		if (!excess->is_fixed)
			buf_printf(b, "; or a higher %s, set with mcpbox_update_tool",
				   advices[i].limit);
		buf_add_char(b, '.');
	}
}

/* One text block: the error, what was printed, the detail (contract 3.6). */
static void add_error_content(const struct run_facts *f, const struct buf *detail,
			      struct result *ret)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(1024 * 1024);

	buf_add(&text, ret->error_text.data, ret->error_text.len);
	add_advice(&text, &ret->excess);
	if (!capture_is_blank(f->output)) {
		BOX_CLEANUP(buf_done) struct buf printed = BUF_INIT(16 * 1024);

		/* Of a value that is to be hidden, the kept end could hold one half. */
		capture_shorten(f->output, &ret->output, !f->mask, &printed);
		add_part(&text, "stdout", &printed);
	}
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
	M_USED,
	M_COUNT
};
static const char *const member_names[M_COUNT] = { "ok",         "kind",        "text",
						   "detail",     "detail_text", "content",
						   "structured", "inspect",     "used" };

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

/* A count in the frame; 0 when there is none. */
static uint32_t span_count(struct json_span s)
{
	uint32_t n = 0;

	if (!s.at || s.len > 9)
		return 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return 0;
		n = n * 10 + (uint32_t)(s.at[i] - '0');
	}
	return n;
}

static outcome claim_memory(const struct run_facts *f, uint32_t used, struct result *ret)
{
	(void)used;
	say_memory(f, ret);
	return OUTCOME(MEMORY);
}

static outcome claim_files(const struct run_facts *f, uint32_t used, struct result *ret)
{
	(void)used; /* it is the limit: the kernel refused one more */
	buf_printf(&ret->error_text, "descriptor limit %u exceeded", f->limits->files);
	exceed(ret, "files", f->limits->files, f->limits->files);
	return OUTCOME(FILES);
}

/* A thread that cannot be started may have lacked memory for its stack. */
static outcome claim_threads(const struct run_facts *f, uint32_t used, struct result *ret)
{
	if (used > 0 && used < f->limits->threads / 2)
		return claim_memory(f, 0, ret);
	buf_printf(&ret->error_text, "thread limit %u exceeded", f->limits->threads);
	exceed(ret, "threads", f->limits->threads, f->limits->threads);
	return OUTCOME(THREADS);
}

static outcome claim_scratch(const struct run_facts *f, uint32_t used, struct result *ret)
{
	uint64_t bytes = (uint64_t)f->limits->scratch_mb << 20;

	(void)used;
	say_limit(&ret->error_text, "scratch space", bytes);
	say_used(&ret->error_text, bytes);
	exceed(ret, "scratch_mb", f->limits->scratch_mb, f->limits->scratch_mb);
	return OUTCOME(SCRATCH);
}

static outcome claim_inodes(const struct run_facts *f, uint32_t used, struct result *ret)
{
	(void)used;
	buf_printf(&ret->error_text, "scratch space limit of %u files exceeded", SCRATCH_FILES);
	exceed(ret, "scratch_mb", f->limits->scratch_mb, 0);
	ret->excess.is_fixed = true;
	return OUTCOME(SCRATCH);
}

/* What a tool's frame may claim about its failure.  It concerns nobody but its caller. */
static const struct {
	const char *kind; /* raw JSON string */
	outcome outcome;
	bool is_exact; /* the text stands alone */
	/* NULL: the text is the frame's */
	outcome (*claim)(const struct run_facts *f, uint32_t used, struct result *ret);
} kinds[] = {
	{ "\"tool\"", OUTCOME(TOOL_ERROR), false, NULL },
	{ "\"exact\"", OUTCOME(TOOL_ERROR), true, NULL },
	{ "\"result\"", OUTCOME(RESULT), false, NULL },
	{ "\"internal\"", OUTCOME(INTERNAL), false, NULL },
	{ "\"memory\"", OUTCOME(MEMORY), false, claim_memory },
	{ "\"files\"", OUTCOME(FILES), false, claim_files },
	{ "\"threads\"", OUTCOME(THREADS), false, claim_threads },
	{ "\"scratch\"", OUTCOME(SCRATCH), false, claim_scratch },
	{ "\"inodes\"", OUTCOME(SCRATCH), false, claim_inodes },
};

static void judge_failure(const struct run_facts *f, const struct json_span *m, struct result *ret)
{
	BOX_CLEANUP(buf_done) struct buf detail = BUF_INIT(64 * 1024);
	size_t row = 0;

	while (row < ARRAY_LEN(kinds) && !span_is(m[M_KIND], kinds[row].kind))
		row++;
	ret->outcome = row < ARRAY_LEN(kinds) ? kinds[row].outcome : OUTCOME(CRASH);
	if (row < ARRAY_LEN(kinds) && kinds[row].claim)
		ret->outcome = kinds[row].claim(f, span_count(m[M_USED]), ret);
	else
		add_span_text(m[M_TEXT], &ret->error_text);
	if (ret->outcome == OUTCOME(RESULT))
		exceed(ret, "result_kb", f->limits->result_kb, span_count(m[M_USED]));
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
	    json_load_with_nul(content.at, content.len, &tree, NULL) < 0)
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
		say_result(f, ret);
		fail(f, OUTCOME(RESULT), ret);
		return;
	}
	if (!content_is_good(m[M_CONTENT])) {
		say_protocol(f, ret);
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
		say_protocol(f, ret);
		fail(f, OUTCOME(CRASH), ret);
	} else if (span_is(m[M_OK], "true")) {
		judge_success(f, m, ret);
	} else {
		judge_failure(f, m, ret);
	}
}

bool result_is_spent(const struct run_facts *f)
{
	static const char good[] = "{\"ok\":true";
	struct json_span m[M_COUNT];

	if (f->frame.len >= sizeof(good) - 1 && memcmp(f->frame.data, good, sizeof(good) - 1) == 0)
		return false;
	if (scan_frame(f, m) < 0 || memory_used_kb(f) > 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (span_is(m[M_KIND], kinds[i].kind))
			return kinds[i].claim != NULL;
	}
	return true;
}

static void take_output(const struct run_facts *f, struct result *ret)
{
	capture_text(f->output, &ret->output);
	if (f->mask)
		(void)hide_text(f->mask, capture_is_cut(f->output), &ret->output);
	capture_mark(f->output, &ret->output);
}

static void judge(const struct run_facts *f, struct result *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		if (causes[i].cause == f->cause) {
			causes[i].say(f, ret);
			fail(f, causes[i].outcome, ret);
			return;
		}
	}
	if (f->has_frame)
		judge_frame(f, ret);
	else
		fail(f, say_end(f, ret), ret);
}

void result_judge(const struct run_facts *f, struct result *ret)
{
	take_output(f, ret);
	judge(f, ret);
	if (!f->mask)
		return;
	(void)hide_json(f->mask, &ret->content);
	(void)hide_json(f->mask, &ret->structured);
	(void)hide_json(f->mask, &ret->error_detail);
	(void)hide_text(f->mask, false, &ret->error_text);
}

/* What the source made of the process that read it is said of the source. */
static int blame_source(const struct run_facts *f, struct err *err)
{
	BOX_CLEANUP(result_done) struct result words = RESULT_INIT;
	int len;

	if (f->cause == CAUSE_LOST || f->cause == CAUSE_CANCELLED ||
	    (!f->has_frame && f->ended.how == 0))
		return err_set(err, ERR_UNAVAILABLE,
			       "the code could not be checked: the sandbox went away");
	judge(f, &words);
	len = words.error_text.len < SAID_MAX ? (int)words.error_text.len : SAID_MAX;
	return err_set_field(err, ERR_INVALID, NULL, "make it shorter or simpler",
			     "this cannot be checked: %.*s", len,
			     len > 0 ? (const char *)words.error_text.data : "");
}

int result_judge_inspection(const struct run_facts *f, PB(InspectReply) * *ret, struct err *err)
{
	struct json_span m[M_COUNT];
	ProtobufCMessage *reply = NULL;
	struct err unread = { 0 }; /* speaks of our own format, which is nothing to an author */
	int r = -ERR_INVALID;

	if (f->cause == CAUSE_TIMEOUT || f->cause == CAUSE_CPU)
		return err_set_field(err, ERR_INVALID, "python_code", "make it shorter or simpler",
				     "the code takes too long to parse");
	if (f->cause != CAUSE_NONE || !f->has_frame || scan_frame(f, m) < 0 ||
	    !span_is(m[M_OK], "true"))
		return blame_source(f, err);
	if (m[M_INSPECT].at)
		r = json_to_msg(&mcpbox__v1__inspect_reply__descriptor, m[M_INSPECT].at,
				m[M_INSPECT].len, NULL, &reply, &unread);
	err_done(&unread);
	if (r < 0)
		return err_set_field(err, ERR_INVALID, "python_code", NULL,
				     "what the code says of itself cannot be read");
	*ret = (PB(InspectReply) *)reply;
	return 0;
}
