#include "gateway_test.h"

#include "jsonrpc.h"

static struct json_span span(const char *s)
{
	return (struct json_span){ s, strlen(s) };
}

static bool token_is(struct json_span s, const char *text)
{
	return s.at && s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

/* ---- the rows of "before JSON-RPC" that concern the text ---- */

static const struct {
	const char *text;
	int code;       /* 0: fine */
	const char *id; /* readable id, or NULL */
	enum jsonrpc_kind kind;
} messages[] = {
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", 0, "1", JSONRPC_REQUEST },
	{ " {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\",\"params\":{}} ", 0, "\"a\"",
	  JSONRPC_REQUEST },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}", 0, NULL, JSONRPC_NOTIFICATION },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"extra\":[1]}", 0, NULL, JSONRPC_NOTIFICATION },
	{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", 0, "7", JSONRPC_RESPONSE },
	{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":1}}", 0, "7", JSONRPC_RESPONSE },
	/* refused */
	{ "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", -32600, NULL, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", -32600, NULL, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1e3,\"method\":\"ping\"}", -32600, NULL, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"ping\"}", -32600, NULL, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"ping\"}", -32600, NULL, 0 },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", -32600, "1", 0 },
	{ "{\"id\":1,\"method\":\"ping\"}", -32600, "1", 0 },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}", -32600, "1", 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}", -32600, "1", 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0000b\"}", -32600, "1", 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[1]}", -32600, "1", 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":null}", -32600, "1", 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}", -32600, NULL, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1}", -32600, "1", 0 },
	{ "{\"jsonrpc\":\"2.0\",\"result\":{}}", -32600, NULL, 0 },
	{ "{}", -32600, NULL, 0 },
	{ "\"text\"", -32600, NULL, 0 },
	{ "5", -32600, NULL, 0 },
	{ "null", -32600, NULL, 0 },
};

static void judges_each_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		struct jsonrpc_message m;
		struct rpc_error err = { 0 };
		int r = jsonrpc_parse(span(messages[i].text), &m, &err);

		if ((r < 0) != (messages[i].code != 0))
			fail_msg("%s: %d", messages[i].text, r);
		if (r < 0) {
			assert_int_equal(err.status, 400);
			assert_int_equal(err.code, messages[i].code);
		} else {
			assert_int_equal(m.kind, messages[i].kind);
		}
		if (messages[i].id && !token_is(m.id, messages[i].id))
			fail_msg("%s: id lost", messages[i].text);
		if (!messages[i].id)
			assert_null(m.id.at);
		jsonrpc_message_done(&m);
	}
}

static const char *const broken[] = {
	"",           " ",       "{",   "{]",       "[1,]",
	"{\"a\":1}x", "{'a':1}", "nul", "\"\xff\"", "\"\xed\xa0\x80\"",
	"01",         "[1 2]",
};

static void refuses_what_is_no_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct rpc_error err = { 0 };

		if (jsonrpc_check_text(broken[i], strlen(broken[i]), &err) == 0)
			fail_msg("accepted: %s", broken[i]);
		assert_int_equal(err.status, 400);
		assert_int_equal(err.code, -32700);
	}
}

static void bounds_the_depth(void **state)
{
	char deep[400];
	struct rpc_error err;

	(void)state;
	memset(deep, '[', 200);
	memset(deep + 200, ']', 200);
	assert_int_equal(jsonrpc_check_text(deep, sizeof(deep), &err), -1);
	assert_int_equal(err.code, -32700);
	assert_int_equal(jsonrpc_check_text(deep + 160, 80, &err), 0);
}

static void echoes_every_id_byte_for_byte(void **state)
{
	static const char *const ids[] = { "1",
					   "-5",
					   "1763800000000",
					   "9007199254740993",
					   "123456789012345678901234567890",
					   "\"caf\xc3\xa9 \\u00e9 \\\"q\\\"\"",
					   "\"\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char text[200], expected[200];
		struct buf b = BUF_INIT(1000);
		struct jsonrpc_message m;
		struct rpc_error err;

		(void)snprintf(text, sizeof(text),
			       "{\"id\":%s ,\"method\":\"m\",\"jsonrpc\":\"2.0\"}", ids[i]);
		assert_int_equal(jsonrpc_parse(span(text), &m, &err), 0);
		jsonrpc_add_result(&b, m.id, "{}", 2);
		(void)snprintf(expected, sizeof(expected),
			       "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}", ids[i]);
		assert_string_equal(buf_str(&b), expected);
		buf_done(&b);
		jsonrpc_message_done(&m);
	}
}

static void omits_an_unknown_id_in_errors(void **state)
{
	struct buf b = BUF_INIT(1000);
	struct rpc_error err;

	(void)state;
	rpc_error_set(&err, 400, -32700, "no \"quotes\"");
	jsonrpc_add_error(&b, (struct json_span){ 0 }, &err);
	assert_string_equal(buf_str(&b), "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,"
					 "\"message\":\"no \\\"quotes\\\"\"}}");
	buf_done(&b);
}

static void writes_error_data_as_it_is(void **state)
{
	struct buf b = BUF_INIT(1000);
	struct rpc_error err;

	(void)state;
	rpc_error_set(&err, 400, -32022, "x");
	(void)strcpy(err.data, "{\"supported\":[]}");
	jsonrpc_add_error(&b, span("3"), &err);
	assert_string_equal(
		buf_str(&b),
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32022,\"message\":\"x\","
		"\"data\":{\"supported\":[]}}}");
	buf_done(&b);
}

static void splits_a_batch_into_its_elements(void **state)
{
	struct json_span found[4];
	struct rpc_error err;
	size_t n = 9;

	(void)state;
	assert_true(jsonrpc_is_batch(span(" [] ")));
	assert_false(jsonrpc_is_batch(span("{}")));
	assert_int_equal(jsonrpc_split(span(" [ ] "), found, 4, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(jsonrpc_split(span("[{\"a\":[1,2],\"b\":\"],{\\\"\"} , 5,\"x,y\"]"), found,
				       4, &n, &err),
			 0);
	assert_int_equal(n, 3);
	assert_true(token_is(found[0], "{\"a\":[1,2],\"b\":\"],{\\\"\"}"));
	assert_true(token_is(found[1], "5"));
	assert_true(token_is(found[2], "\"x,y\""));
	assert_int_equal(jsonrpc_split(span("[1,2,3,4,5]"), found, 4, &n, &err), -1);
	assert_int_equal(err.code, -32600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_each_message),
		cmocka_unit_test(refuses_what_is_no_json),
		cmocka_unit_test(bounds_the_depth),
		cmocka_unit_test(echoes_every_id_byte_for_byte),
		cmocka_unit_test(omits_an_unknown_id_in_errors),
		cmocka_unit_test(writes_error_data_as_it_is),
		cmocka_unit_test(splits_a_batch_into_its_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
