/* Verdicts on what came out of a sandbox. */
#include "test.h"
#include "crypto.h"
#include "json.h"
#include "result.h"

#include <signal.h>

typedef Mcpbox__V1__Done__Outcome outcome;
#define OUTCOME(name) MCPBOX__V1__DONE__OUTCOME__OUTCOME_##name

struct case_row {
	const char *frame; /* NULL: none came */
	enum run_cause cause;
	struct wire_ended ended;
	uint64_t frame_size;
	Mcpbox__V1__Done__Outcome outcome;
	const char *error; /* the whole text; NULL: not looked at */
};

static const struct wire_ended exited_well = { .how = WIRE_EXITED };

static void judge(const struct case_row *row, const char *printed, struct result *ret)
{
	struct capture output = CAPTURE_INIT;
	struct job_limits limits = { .timeout_ms = 30000 };
	struct run_facts facts = { .cause = row->cause,
				   .has_frame = row->frame != NULL,
				   .frame = { row->frame, row->frame ? strlen(row->frame) : 0 },
				   .frame_size = row->frame_size,
				   .ended = row->ended,
				   .limits = &limits,
				   .output = &output };

	job_limits_complete(&limits);
	capture_add(&output, printed, strlen(printed));
	result_judge(&facts, ret);
	capture_done(&output);
}

static void check_rows(const struct case_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct result r = RESULT_INIT;

		judge(&rows[i], "", &r);
		if (r.outcome != rows[i].outcome ||
		    (rows[i].error && strcmp(buf_str(&r.error_text), rows[i].error) != 0))
			fail_msg("row %zu: %s, '%s'", i, result_outcome_name(r.outcome),
				 buf_str(&r.error_text));
		assert_int_equal(json_scan(r.content.data, r.content.len, NULL), 0);
		result_done(&r);
	}
}

static void takes_content_that_mcp_knows(void **state)
{
	static const struct case_row rows[] = {
		{ "{\"ok\":true,\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(OK),
		  "" },
		{ "{\"ok\":true,\"content\":[]}", 0, { 0 }, 0, OUTCOME(OK), "" },
		{ "{\"ok\":true,\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000b\"}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(OK),
		  "" },
		{ "{\"ok\":true,\"content\":[{\"type\":\"image\",\"data\":\"eA==\",\"mimeType\":"
		  "\"a/b\"}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(OK),
		  "" },
		{ "{\"ok\":true,\"content\":[{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\","
		  "\"text\":\"\"}}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(OK),
		  "" },
		{ "{\"ok\":true,\"content\":[{\"type\":\"resource_link\",\"uri\":\"a:b\",\"name\":"
		  "\"n\"}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(OK),
		  "" },
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void refuses_frames_that_are_no_answer(void **state)
{
	static const struct case_row rows[] = {
		{ "", 0, { 0 }, 0, OUTCOME(CRASH), NULL },
		{ "[]", 0, { 0 }, 0, OUTCOME(CRASH), NULL },
		{ "{\"ok\":true}", 0, { 0 }, 0, OUTCOME(CRASH), NULL },
		{ "{\"ok\":true,\"content\":{}}", 0, { 0 }, 0, OUTCOME(CRASH), NULL },
		{ "{\"ok\":true,\"content\":[1]}", 0, { 0 }, 0, OUTCOME(CRASH), NULL },
		{ "{\"ok\":true,\"content\":[{\"type\":\"text\"}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(CRASH),
		  NULL },
		{ "{\"ok\":true,\"content\":[{\"type\":\"html\",\"text\":\"x\"}]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(CRASH),
		  NULL },
		{ "{\"ok\":true,\"content\":[],\"content\":[]}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(CRASH),
		  NULL },
		{ "{\"ok\":true,\"content\":[]} x", 0, { 0 }, 0, OUTCOME(CRASH), NULL },
		{ "{\"ok\":true,\"content\":[],\"structured\":\"\xff\"}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(CRASH),
		  NULL },
		{ "{\"ok\":false,\"kind\":\"nonsense\",\"text\":\"t\"}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(CRASH),
		  "t" },
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void each_limit_gives_its_own_text(void **state)
{
	static const struct case_row rows[] = {
		{ NULL, CAUSE_TIMEOUT, { 0 }, 0, OUTCOME(TIMEOUT), "time limit 30 s exceeded" },
		{ NULL, CAUSE_OUTPUT, { 0 }, 0, OUTCOME(OUTPUT), NULL },
		{ NULL,
		  CAUSE_RESULT,
		  { 0 },
		  8388608,
		  OUTCOME(RESULT),
		  "result limit 1 MiB exceeded (8 MiB)" },
		{ NULL, CAUSE_THREADS, { 0 }, 0, OUTCOME(THREADS), "thread limit 64 exceeded" },
		{ NULL, CAUSE_CANCELLED, { 0 }, 0, OUTCOME(CANCELLED), "cancelled" },
		{ NULL, CAUSE_LOST, { 0 }, 0, OUTCOME(INTERNAL), NULL },
		{ NULL, 0, { .how = WIRE_SIGNALED, .code = SIGSYS }, 0, OUTCOME(FORBIDDEN), NULL },
		{ NULL,
		  0,
		  { .how = WIRE_SIGNALED, .code = SIGXCPU, .cpu_us = 30100000 },
		  0,
		  OUTCOME(CPU),
		  "CPU time limit 30 s exceeded (30.1 s used)" },
		{ NULL,
		  0,
		  { .how = WIRE_SIGNALED, .code = SIGKILL, .cpu_us = 31000000 },
		  0,
		  OUTCOME(CPU),
		  NULL },
		{ NULL,
		  0,
		  { .how = WIRE_SIGNALED, .code = SIGKILL, .cpu_us = 1000 },
		  0,
		  OUTCOME(CRASH),
		  "the process crashed (SIGKILL)" },
		{ NULL,
		  0,
		  { .how = WIRE_SIGNALED, .code = SIGSEGV },
		  0,
		  OUTCOME(CRASH),
		  "the process crashed (SIGSEGV): a wild pointer, or recursion too deep in a C "
		  "library" },
		{ NULL,
		  0,
		  { .how = WIRE_EXITED, .code = 0 },
		  0,
		  OUTCOME(CRASH),
		  "the process ended without an answer (exit status 0)" },
		/* Not a claim of the sandbox: a tool may exit with any status. */
		{ NULL, 0, { .how = WIRE_EXITED, .code = 123 }, 0, OUTCOME(CRASH), NULL },
		{ NULL, 0, { .how = WIRE_NOT_STARTED, .code = 11 }, 0, OUTCOME(INTERNAL), NULL },
		{ "{\"ok\":false,\"kind\":\"memory\",\"text\":\"\"}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(MEMORY),
		  "memory limit 256 MiB exceeded" },
		{ "{\"ok\":false,\"kind\":\"files\",\"text\":\"ignored\"}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(FILES),
		  "descriptor limit 128 exceeded" },
		{ "{\"ok\":false,\"kind\":\"threads\",\"used\":64}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(THREADS),
		  "thread limit 64 exceeded" },
		{ "{\"ok\":false,\"kind\":\"threads\",\"used\":9}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(MEMORY),
		  "memory limit 256 MiB exceeded" },
		{ "{\"ok\":false,\"kind\":\"scratch\"}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(SCRATCH),
		  "scratch space limit 16 MiB exceeded (16 MiB used)" },
		{ "{\"ok\":false,\"kind\":\"inodes\"}",
		  0,
		  { 0 },
		  0,
		  OUTCOME(SCRATCH),
		  "scratch space limit of 1024 files exceeded" },
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* Which limit, its value and what was used: what the audit says of it. */
static void each_excess_names_limit_and_use(void **state)
{
	static const struct {
		enum run_cause cause;
		const char *frame;
		struct wire_ended ended;
		const char *limit;
		uint64_t allowed, used;
	} rows[] = {
		{ CAUSE_TIMEOUT, NULL, { 0 }, "timeout_ms", 30000, 30012 },
		{ CAUSE_OUTPUT, NULL, { 0 }, "output_kb", 4096, 0 },
		{ CAUSE_RESULT, NULL, { 0 }, "result_kb", 1024, 2048 },
		{ CAUSE_THREADS, NULL, { 0 }, "threads", 64, 80 },
		{ 0,
		  NULL,
		  { .how = WIRE_SIGNALED, .code = SIGXCPU, .cpu_us = 30100000 },
		  "cpu_ms",
		  30000,
		  30100 },
		{ 0,
		  "{\"ok\":false,\"kind\":\"memory\"}",
		  { .memory_kb = 20480 + 204800 },
		  "memory_mb",
		  256,
		  200 },
		{ 0, "{\"ok\":false,\"kind\":\"files\"}", { 0 }, "files", 128, 128 },
		{ 0, "{\"ok\":false,\"kind\":\"scratch\"}", { 0 }, "scratch_mb", 16, 16 },
		{ 0,
		  "{\"ok\":false,\"kind\":\"result\",\"used\":3276}",
		  { 0 },
		  "result_kb",
		  1024,
		  3276 },
		{ 0,
		  "{\"ok\":false,\"kind\":\"result\",\"used\":\"9\"}",
		  { 0 },
		  "result_kb",
		  1024,
		  0 },
		{ CAUSE_CANCELLED, NULL, { 0 }, NULL, 0, 0 },
		{ 0, "{\"ok\":false,\"kind\":\"tool\",\"used\":7}", { 0 }, NULL, 0, 0 },
		{ 0, NULL, { .how = WIRE_SIGNALED, .code = SIGSYS }, NULL, 0, 0 },
	};
	struct capture output = CAPTURE_INIT;
	struct job_limits limits = { .timeout_ms = 30000 };

	(void)state;
	job_limits_complete(&limits);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *frame = rows[i].frame;
		struct run_facts facts = { .cause = rows[i].cause,
					   .has_frame = frame != NULL,
					   .frame = { frame, frame ? strlen(frame) : 0 },
					   .frame_size = 2u << 20,
					   .ended = rows[i].ended,
					   .threads = 80,
					   .base_kb = 20480,
					   .duration_ms = 30012,
					   .limits = &limits,
					   .output = &output };
		struct result r = RESULT_INIT;

		result_judge(&facts, &r);
		if (rows[i].limit)
			assert_string_equal(r.excess.limit, rows[i].limit);
		else
			assert_null(r.excess.limit);
		assert_int_equal(r.excess.allowed, rows[i].allowed);
		assert_int_equal(r.excess.used, rows[i].used);
		result_done(&r);
	}
	capture_done(&output);
}

/* C code that gets no memory crashes instead of saying so. */
static void a_crash_at_the_memory_limit_is_the_limit(void **state)
{
	static const struct {
		uint64_t memory_kb;
		outcome outcome;
		const char *error;
	} rows[] = {
		{ 20480 + 250 * 1024, OUTCOME(MEMORY),
		  "memory limit 256 MiB exceeded (250 MiB used)" },
		{ 20480 + 100 * 1024, OUTCOME(CRASH), "the process crashed (SIGABRT)" },
	};
	struct capture output = CAPTURE_INIT;
	struct job_limits limits = { 0 };

	(void)state;
	job_limits_complete(&limits);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct run_facts facts = { .ended = { .how = WIRE_SIGNALED,
						      .code = SIGABRT,
						      .memory_kb = rows[i].memory_kb },
					   .base_kb = 20480,
					   .limits = &limits,
					   .output = &output };
		struct result r = RESULT_INIT;

		result_judge(&facts, &r);
		assert_int_equal(r.outcome, rows[i].outcome);
		assert_string_equal(buf_str(&r.error_text), rows[i].error);
		result_done(&r);
	}
	capture_done(&output);
}

static void tool_error_shows_exactly_its_text(void **state)
{
	struct case_row row = {
		.frame = "{\"ok\":false,\"kind\":\"exact\",\"text\":\"just this\",\"detail\":{}}",
		.ended = exited_well
	};
	struct result r = RESULT_INIT;

	(void)state;
	judge(&row, "printed\n", &r);
	assert_int_equal(r.outcome, OUTCOME(TOOL_ERROR));
	assert_string_equal(buf_str(&r.content), "[{\"type\":\"text\",\"text\":\"just this\"}]");
	assert_string_equal(buf_str(&r.output), "printed\n");
	result_done(&r);
}

static void other_errors_show_output_and_detail(void **state)
{
	struct case_row row = {
		.frame = "{\"ok\":false,\"kind\":\"tool\",\"text\":\"E: m\",\"detail\":{\"a\":1},"
			 "\"detail_text\":\"D\"}",
		.ended = exited_well
	};
	struct result r = RESULT_INIT;

	(void)state;
	judge(&row, "out", &r);
	assert_string_equal(buf_str(&r.content),
			    "[{\"type\":\"text\",\"text\":\"E: m\\n\\n--- stdout ---\\nout\\n\\n"
			    "--- detail ---\\nD\"}]");
	assert_string_equal(buf_str(&r.error_detail), "{\"a\":1}");
	result_done(&r);
	r = (struct result)RESULT_INIT;
	judge(&row, " \n\t", &r);
	assert_null(strstr(buf_str(&r.content), "stdout"));
	result_done(&r);
}

static void structured_value_keeps_every_digit(void **state)
{
	struct case_row row = {
		.frame =
			"{\"ok\":true,\"content\":[],\"structured\":123456789012345678901234567890}"
	};
	struct result r = RESULT_INIT;

	(void)state;
	judge(&row, "", &r);
	assert_string_equal(buf_str(&r.structured), "123456789012345678901234567890");
	result_done(&r);
}

static void structured_value_over_the_limit_is_refused(void **state)
{
	size_t len = 1024 * 1024 + 100;
	char *frame = calloc(1, len + 64);
	struct case_row row = { .frame = frame };
	struct result r = RESULT_INIT;
	int n = sprintf(frame, "{\"ok\":true,\"content\":[],\"structured\":\"");

	(void)state;
	memset(frame + n, 'x', len);
	(void)strcpy(frame + (size_t)n + len, "\"}");
	judge(&row, "", &r);
	assert_int_equal(r.outcome, OUTCOME(RESULT));
	result_done(&r);
	free(frame);
}

static void capture_keeps_the_first_part_and_says_so(void **state)
{
	struct capture c = CAPTURE_INIT;
	struct buf text = BUF_INIT(1024 * 1024);
	char chunk[1000];

	(void)state;
	memset(chunk, 'y', sizeof(chunk));
	for (int i = 0; i < 100; i++)
		capture_add(&c, chunk, sizeof(chunk));
	capture_text(&c, &text);
	capture_mark(&c, &text);
	assert_int_equal(c.total, 100000);
	assert_true(text.len > CAPTURE_KEPT && text.len < CAPTURE_KEPT + 100);
	assert_non_null(strstr(buf_str(&text), "[output cut: 65536 of 100000 bytes are shown]"));
	buf_done(&text);
	capture_done(&c);
}

static void capture_repairs_foreign_bytes(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} rows[] = {
		{ "a\xff"
		  "b",
		  3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xc3\xa9", 2, "\xc3\xa9" },
		{ "x\0y", 3, "x\xef\xbf\xbdy" },
		{ "\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct capture c = CAPTURE_INIT;
		struct buf text = BUF_INIT(1024);

		capture_add(&c, rows[i].in, rows[i].len);
		capture_text(&c, &text);
		capture_mark(&c, &text);
		assert_string_equal(buf_str(&text), rows[i].out);
		buf_done(&text);
		capture_done(&c);
	}
}

static void shorten(struct capture *c, bool with_tail, struct buf *ret)
{
	struct buf whole = BUF_INIT(1024 * 1024);

	buf_clear(ret);
	capture_text(c, &whole);
	capture_shorten(c, &whole, with_tail, ret);
	buf_done(&whole);
}

static void an_error_shows_the_first_and_the_last_that_was_printed(void **state)
{
	static const char last[] = "\xa9\n[output cut: the first 2048 of 146010 bytes are shown]\n";
	struct capture c = CAPTURE_INIT;
	struct buf text = BUF_INIT(1024 * 1024);

	(void)state;
	capture_add(&c, "few", 3);
	shorten(&c, true, &text);
	assert_string_equal(buf_str(&text), "few");
	for (int i = 0; i < 3000; i++) /* the cuts go through a character */
		capture_add(&c, "\xc3\xa9", 2);
	shorten(&c, false, &text);
	assert_non_null(strstr(buf_str(&text),
			       "\xa9\n[output cut: the first and the last 2048 of 6003 bytes "
			       "are shown]\n\xc3"));
	for (int i = 0; i < 70000; i++)
		capture_add(&c, "\xc3\xa9", 2);
	capture_add(&c, "the end", 7);
	shorten(&c, true, &text);
	assert_non_null(strstr(buf_str(&text), "are shown]\n\xc3\xa9"));
	assert_string_equal(buf_str(&text) + text.len - 9, "\xc3\xa9the end");
	assert_null(strstr(buf_str(&text), "\xef\xbf\xbd"));
	assert_true(text.len < 2 * CAPTURE_TAIL + 100);
	shorten(&c, false, &text);
	assert_string_equal(buf_str(&text) + text.len - (sizeof(last) - 1), last);
	buf_done(&text);
	capture_done(&c);
}

/* Where something is to be hidden, half of it could stand at the beginning of the kept end. */
static void an_error_shows_no_end_that_was_not_searched_for_secrets(void **state)
{
	struct mask *mask = mask_new();
	struct capture output = CAPTURE_INIT;
	struct job_limits limits = { .timeout_ms = 30000 };
	struct run_facts facts = {
		.cause = CAUSE_TIMEOUT, .limits = &limits, .output = &output, .mask = mask
	};
	struct result r = RESULT_INIT;

	(void)state;
	mask_add(mask, "the-secret-value", 16, 6, "[REDACTED]");
	job_limits_complete(&limits);
	for (size_t i = 0; i < CAPTURE_KEPT / 16; i++)
		capture_add(&output, "the-secret-value", 16);
	for (size_t i = 0; i < CAPTURE_TAIL / 16; i++)
		capture_add(&output, "the-secret-value", 16);
	capture_add(&output, "12345", 5);
	result_judge(&facts, &r);
	assert_non_null(strstr(buf_str(&r.content), "[REDACTED]"));
	assert_null(strstr(buf_str(&r.content), "value"));
	result_done(&r);
	capture_done(&output);
	mask_free(mask);
}

static void a_limit_says_what_helps(void **state)
{
	static const struct {
		struct case_row row;
		const char *there, *absent;
	} rows[] = {
		{ { .frame = "{\"ok\":false,\"kind\":\"memory\"}" },
		  "exceeded\\nWhat helps: hold less at once, for example one part after the other; "
		  "or a "
		  "higher memory_mb, set with mcpbox_update_tool.\"",
		  NULL },
		{ { .cause = CAUSE_TIMEOUT }, "a higher timeout_ms", NULL },
		{ { .cause = CAUSE_EVENTS }, "print, log and report less.", "mcpbox_update_tool" },
		{ { .frame = "{\"ok\":false,\"kind\":\"inodes\"}" },
		  "What helps",
		  "mcpbox_update_tool" },
		{ { .frame = "{\"ok\":false,\"kind\":\"tool\",\"text\":\"E\"}" },
		  "\"E\"",
		  "What helps" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct result r = RESULT_INIT;

		judge(&rows[i].row, "", &r);
		assert_non_null(strstr(buf_str(&r.content), rows[i].there));
		if (rows[i].absent)
			assert_null(strstr(buf_str(&r.content), rows[i].absent));
		assert_null(strstr(buf_str(&r.error_text), "helps"));
		result_done(&r);
	}
}

/* With warm reuse such a process would fail all calls to come. */
static void a_process_that_ran_into_a_limit_is_spent(void **state)
{
	static const struct {
		const char *frame;
		uint64_t memory_mb;
		bool is_spent;
	} rows[] = {
		{ "{\"ok\":true,\"content\":[]}", 250, false },
		{ "{\"ok\":false,\"kind\":\"tool\",\"text\":\"E\"}", 10, false },
		{ "{\"ok\":false,\"kind\":\"exact\",\"text\":\"E\"}", 10, false },
		{ "{\"ok\":false,\"kind\":\"result\",\"text\":\"E\"}", 10, false },
		{ "{\"ok\":false,\"kind\":\"tool\",\"text\":\"E\"}", 200, true },
		{ "{\"ok\":false,\"kind\":\"memory\"}", 10, true },
		{ "{\"ok\":false,\"kind\":\"files\"}", 10, true },
		{ "{\"ok\":false,\"kind\":\"threads\"}", 10, true },
		{ "{\"ok\":false,\"kind\":\"scratch\"}", 10, true },
		{ "{\"ok\":false,\"kind\":\"other\"}", 10, true },
		{ "nonsense", 10, true },
	};
	struct job_limits limits = { 0 };

	(void)state;
	job_limits_complete(&limits);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct run_facts facts = { .has_frame = true,
					   .frame = { rows[i].frame, strlen(rows[i].frame) },
					   .ended = { .memory_kb =
							      20480 + rows[i].memory_mb * 1024 },
					   .base_kb = 20480,
					   .limits = &limits };

		if (result_is_spent(&facts) != rows[i].is_spent)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_content_that_mcp_knows),
		cmocka_unit_test(refuses_frames_that_are_no_answer),
		cmocka_unit_test(each_limit_gives_its_own_text),
		cmocka_unit_test(each_excess_names_limit_and_use),
		cmocka_unit_test(a_crash_at_the_memory_limit_is_the_limit),
		cmocka_unit_test(tool_error_shows_exactly_its_text),
		cmocka_unit_test(other_errors_show_output_and_detail),
		cmocka_unit_test(structured_value_keeps_every_digit),
		cmocka_unit_test(structured_value_over_the_limit_is_refused),
		cmocka_unit_test(capture_keeps_the_first_part_and_says_so),
		cmocka_unit_test(capture_repairs_foreign_bytes),
		cmocka_unit_test(an_error_shows_the_first_and_the_last_that_was_printed),
		cmocka_unit_test(an_error_shows_no_end_that_was_not_searched_for_secrets),
		cmocka_unit_test(a_limit_says_what_helps),
		cmocka_unit_test(a_process_that_ran_into_a_limit_is_spent),
	};

	if (crypto_start() < 0)
		return 1;
	json_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
