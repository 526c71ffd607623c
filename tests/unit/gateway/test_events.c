#include "gateway_test.h"

#include "events.h"
#include "msg.h"

static bool convert(struct event_filter *f, const char *progress, const char *log, uint64_t now_ms,
		    char ret[400])
{
	PB(Event) e = MCPBOX__V1__EVENT__INIT;
	struct buf b = BUF_INIT(399);
	bool sent;

	e.progress_json = pb_text(progress);
	e.log_json = pb_text(log);
	sent = events_to_notification(f, &e, now_ms, &b);
	(void)snprintf(ret, 400, "%s", buf_str(&b));
	buf_done(&b);
	return sent;
}

static void progress_carries_the_token_as_it_was_written(void **state)
{
	struct event_filter f = { .progress_token = { "12345678901234567890", 20 },
				  .level = SEVERITY_NONE };
	char text[400];

	(void)state;
	assert_true(convert(&f, "{\"progress\":0.5,\"total\":2,\"message\":\"x\",\"more\":1}", NULL,
			    100, text));
	assert_string_equal(
		text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
		      "\"progressToken\":12345678901234567890,\"progress\":0.5,\"total\":2,"
		      "\"message\":\"x\"}}");
}

static void progress_only_increases_and_not_too_often(void **state)
{
	struct event_filter f = { .progress_token = { "1", 1 }, .level = SEVERITY_NONE };
	char text[400];

	(void)state;
	assert_true(convert(&f, "{\"progress\":-1}", NULL, 100, text));
	assert_false(convert(&f, "{\"progress\":-1}", NULL, 200, text));
	assert_false(convert(&f, "{\"progress\":-2}", NULL, 200, text));
	assert_true(convert(&f, "{\"progress\":0}", NULL, 200, text));
	assert_false(convert(&f, "{\"progress\":1}", NULL, 200 + EVENT_GAP_MS - 1, text));
	assert_true(convert(&f, "{\"progress\":1e2}", NULL, 200 + EVENT_GAP_MS, text));
}

static const char *const not_progress[] = { "{}", "[]", "{\"progress\":\"1\"}",
					    "{\"progress\":null}", "{" };

static void malformed_progress_is_dropped(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(not_progress); i++) {
		struct event_filter f = { .progress_token = { "1", 1 } };
		char text[400];

		assert_false(convert(&f, not_progress[i], NULL, 1, text));
	}
}

static void nothing_is_sent_that_was_not_asked_for(void **state)
{
	struct event_filter f = { .level = SEVERITY_NONE };
	char text[400];

	(void)state;
	assert_false(convert(&f, "{\"progress\":1}", NULL, 1, text));
	assert_false(convert(&f, NULL, "{\"level\":\"emergency\",\"data\":1}", 1, text));
	assert_false(convert(&f, NULL, NULL, 1, text));
}

static void log_messages_pass_at_or_above_the_level(void **state)
{
	struct event_filter f = { .level = SEVERITY_WARNING };
	char text[400];

	(void)state;
	assert_false(convert(&f, NULL, "{\"level\":\"info\",\"data\":1}", 1, text));
	assert_false(convert(&f, NULL, "{\"level\":\"loud\",\"data\":1}", 1, text));
	assert_false(convert(&f, NULL, "{\"level\":\"error\"}", 1, text));
	assert_true(convert(&f, NULL,
			    "{\"level\":\"warning\",\"data\":{\"a\": [1]},\"logger\":\"l\"}", 1,
			    text));
	assert_string_equal(text,
			    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{"
			    "\"level\":\"warning\",\"logger\":\"l\",\"data\":{\"a\":[1]}}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress_carries_the_token_as_it_was_written),
		cmocka_unit_test(progress_only_increases_and_not_too_often),
		cmocka_unit_test(malformed_progress_is_dropped),
		cmocka_unit_test(nothing_is_sent_that_was_not_asked_for),
		cmocka_unit_test(log_messages_pass_at_or_above_the_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
