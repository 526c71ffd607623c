/* JSON heads of forward mode. */
#include "test.h"
#include "forward.h"
#include "json.h"

static int parse(const char *json, struct forward_request *rq)
{
	return forward_parse(json, strlen(json), rq, NULL);
}

static void reads_a_whole_request(void **state)
{
	struct forward_request rq;

	(void)state;
	assert_int_equal(
		parse("{\"method\":\"POST\",\"url\":\"https://API.example.com/x?y=1\",\"headers\":"
		      "[[\"X-A\",\"1\"],[\"Host\",\"evil\"],[\"Accept-Encoding\",\"identity\"]],"
		      "\"timeout_ms\":1500,\"body_len\":7}",
		      &rq),
		0);
	assert_false(rq.is_refused);
	assert_string_equal(rq.method, "POST");
	assert_string_equal(rq.target.host.text, "api.example.com");
	assert_string_equal(rq.accept_encoding, "identity");
	assert_int_equal(rq.headers.count, 1);
	assert_int_equal(rq.timeout_ms, 1500);
	assert_int_equal(rq.body_len, 7);
	forward_done(&rq);
}

static void ends_the_stream_only_where_the_frame_is_unclear(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\"}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\",\"body_len\":-1}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\",\"body_len\":1.5}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\",\"body_len\":\"1\"}",
		"{\"method\":1,\"url\":\"https://a.example\",\"body_len\":0}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\",\"body_len\":0,\"x\":1}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\",\"body_len\":0,\"headers\":{}}",
		"{\"method\":\"GET\",\"url\":\"https://"
		"a.example\",\"body_len\":0,\"headers\":[[\"A\"]]}",
		"{\"method\":\"GET\",\"url\":\"https://"
		"a.example\",\"body_len\":0,\"headers\":[[\"A\",1]]}",
		"{\"method\":\"GET\",\"method\":\"PUT\",\"url\":\"https://"
		"a.example\",\"body_len\":0}",
		"{\"method\":\"GET\",\"url\":\"https://a.example\",\"body_len\":0} x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct forward_request rq;

		if (parse(bad[i], &rq) == 0)
			fail_msg("took %s", bad[i]);
		forward_done(&rq);
	}
}

static void refuses_single_requests_with_kind_and_rule(void **state)
{
	static const struct {
		const char *json;
		enum forward_kind kind;
		const char *rule;
	} rows[] = {
		{ "{\"method\":\"TRACE\",\"url\":\"https://a.example\",\"body_len\":3}",
		  FORWARD_DENIED, "method" },
		{ "{\"method\":\"get\",\"url\":\"https://a.example\",\"body_len\":3}",
		  FORWARD_DENIED, "method" },
		{ "{\"method\":\"GET\",\"url\":\"file:///etc/passwd\",\"body_len\":3}",
		  FORWARD_DENIED, "url" },
		{ "{\"method\":\"GET\",\"url\":\"https://"
		  "a.example\",\"headers\":[[\"A\",\"b\\nc\"]],"
		  "\"body_len\":3}",
		  FORWARD_PROTOCOL, "header" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forward_request rq;

		assert_int_equal(parse(rows[i].json, &rq), 0);
		assert_true(rq.is_refused);
		assert_int_equal(rq.refused_as, rows[i].kind);
		assert_string_equal(rq.refused_rule, rows[i].rule);
		assert_true(rq.refusal.text[0] != '\0');
		assert_int_equal(rq.body_len, 3);
		forward_done(&rq);
	}
}

/* Checks the length and gives the tree of the head. */
static json_t *open_frame(const struct buf *b)
{
	uint32_t len;
	json_t *root;

	memcpy(&len, b->data, 4);
	assert_int_equal(len + 4, b->len);
	assert_int_equal(json_load(b->data + 4, len, &root, NULL), 0);
	return root;
}

static void writes_answers_as_the_wire_has_them(void **state)
{
	struct headers h = HEADERS_INIT(4);
	struct buf b = BUF_INIT(100000);
	struct forward_answer a = { .status = 200,
				    .reason = "OK",
				    .http_version = "HTTP/2",
				    .headers = &h,
				    .url = "https://a.example:443/",
				    .body_len = 5 };
	json_t *root;
	json_t *pair;

	(void)state;
	assert_int_equal(headers_add(&h, "X-A", "\xc3\xbc\"", NULL), 0);
	assert_int_equal(forward_answer_frame(&a, &b), 0);
	root = open_frame(&b);
	assert_int_equal(json_integer_value(json_object_get(root, "status")), 200);
	assert_int_equal(json_integer_value(json_object_get(root, "body_len")), 5);
	pair = json_array_get(json_object_get(root, "headers"), 0);
	assert_string_equal(json_string_value(json_array_get(pair, 1)), "\xc3\xbc\"");
	json_decref(root);
	buf_done(&b);
	headers_done(&h);
}

static void writes_errors_as_the_wire_has_them(void **state)
{
	struct buf b = BUF_INIT(100000);
	struct forward_error e = {
		.kind = FORWARD_TOO_LARGE, .text = "a\nb", .host = "a.example", .port = 443
	};
	json_t *root;
	json_t *error;

	(void)state;
	forward_error_frame(&e, &b);
	root = open_frame(&b);
	error = json_object_get(root, "error");
	assert_string_equal(json_string_value(json_object_get(error, "kind")), "too_large");
	assert_int_equal(json_integer_value(json_object_get(error, "port")), 443);
	assert_true(json_is_null(json_object_get(error, "rule")));
	assert_true(json_is_null(json_object_get(error, "hint")));
	assert_int_equal(json_integer_value(json_object_get(root, "body_len")), 0);
	json_decref(root);
	buf_done(&b);
}

static void refuses_an_answer_head_beyond_64_kib(void **state)
{
	struct headers h = HEADERS_INIT(4);
	struct buf b = BUF_INIT(100000);
	struct forward_answer a = { .headers = &h, .reason = "", .http_version = "", .url = "" };
	char *quotes = calloc(1, 32001);

	(void)state;
	memset(quotes, '"', 32000);
	assert_int_equal(headers_add(&h, "A", quotes, NULL), 0);
	assert_int_equal(forward_answer_frame(&a, &b), 0);
	buf_clear(&b);
	headers_clear(&h);
	memset(quotes, '\x01', 32000);
	quotes[0] = 'A';
	quotes[1] = ':';
	assert_int_equal(headers_add_line(&h, quotes, 32000), 0);
	assert_int_equal(forward_answer_frame(&a, &b), -ERR_TOO_LARGE);
	assert_int_equal(b.len, 0);
	free(quotes);
	buf_done(&b);
	headers_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_whole_request),
		cmocka_unit_test(ends_the_stream_only_where_the_frame_is_unclear),
		cmocka_unit_test(refuses_single_requests_with_kind_and_rule),
		cmocka_unit_test(writes_answers_as_the_wire_has_them),
		cmocka_unit_test(writes_errors_as_the_wire_has_them),
		cmocka_unit_test(refuses_an_answer_head_beyond_64_kib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
