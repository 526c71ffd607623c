#include "test.h"
#include "crypto.h"
#include "inject.h"
#include "parse.h"

#define P_KEY   "mcpbox-secret-00000000000000000000000000000001"
#define P_ANY   "mcpbox-secret-00000000000000000000000000000002"
#define P_OTHER "mcpbox-secret-0000000000000000000000000000000f"
#define P_OPEN  "mcpbox-secret-00000000000000000000000000000003"

static const char value[] = "s3 \"c\\r&=/%t~+\xc3\xa9";

struct world {
	struct secret *key, *plain;
	struct inject_secret secrets[3];
};

static void fill(struct inject_secret *s, const char *key, const char *a, const char *b,
		 unsigned places, const struct secret *v)
{
	s->key = key;
	memcpy(s->placeholders[0], a, PLACEHOLDER_LEN + 1);
	memcpy(s->placeholders[1], b, PLACEHOLDER_LEN + 1);
	s->places = places;
	s->is_bound = v != NULL;
	s->value = v;
}

static void make(struct world *w, unsigned places)
{
	w->key = secret_new(value, strlen(value));
	w->plain = secret_new("plain-value", 11);
	memset(w->secrets, 0, sizeof(w->secrets));
	fill(&w->secrets[0], "KEY", P_KEY, P_ANY, places, w->key);
	fill(&w->secrets[1], "ELSEWHERE", P_OTHER, P_OTHER, 15, NULL);
	fill(&w->secrets[2], "PLAIN", P_OPEN, P_OPEN, 15, w->plain);
}

static void unmake(struct world *w)
{
	secret_free(w->key);
	secret_free(w->plain);
}

/* A request with one header, of the kind that a tool's comes as. */
static struct forward_request request(const char *path, const char *header, const char *field)
{
	struct forward_request rq = { .headers = HEADERS_INIT(HEADERS_REQUEST_COUNT) };

	rq.target.path = strdup(path);
	if (header)
		assert_int_equal(headers_add(&rq.headers, header, field, NULL), 0);
	return rq;
}

static void request_done(struct forward_request *rq)
{
	free(rq->target.path);
	headers_done(&rq->headers);
}

static void each_place_writes_a_value_in_its_own_way(void **state)
{
	static const struct {
		const char *path, *header, *field, *body;
		const char *ret_path, *ret_field, *ret_body;
	} rows[] = {
		{ "/a?b=c", "X", "Bearer " P_KEY, "", "/a?b=c", "Bearer s3 \"c\\r&=/%t~+\xe9",
		  NULL },
		{ "/a?b=c", "X", P_KEY P_ANY, "", "/a?b=c",
		  "s3 \"c\\r&=/%t~+\xe9s3 \"c\\r&=/%t~+\xe9", NULL },
		{ "/a/" P_KEY "/b", NULL, NULL, "", "/a/s3%20%22c%5Cr%26%3D%2F%25t~%2B%C3%A9/b",
		  NULL, NULL },
		{ "/a?x=" P_KEY "&y=1", NULL, NULL, "",
		  "/a?x=s3%20%22c%5Cr%26%3D%2F%25t~%2B%C3%A9&y=1", NULL, NULL },
		{ "/", "Content-Type", "application/x-www-form-urlencoded", "a=1&b=" P_KEY, "/",
		  "application/x-www-form-urlencoded",
		  "a=1&b=s3%20%22c%5Cr%26%3D%2F%25t~%2B%C3%A9" },
		{ "/", "content-type", "Application/JSON; charset=utf-8", "{\"k\":\"<" P_KEY ">\"}",
		  "/", "Application/JSON; charset=utf-8",
		  "{\"k\":\"<s3 \\\"c\\\\r&=/%t~+\xc3\xa9>\"}" },
		{ "/", "Content-Type", "application/vnd.x+json", "[\"" P_OPEN "\"]", "/",
		  "application/vnd.x+json", "[\"plain-value\"]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forward_request rq = request(rows[i].path, rows[i].header, rows[i].field);
		struct injected out;
		struct world w;

		make(&w, 15);
		assert_true(inject_is_needed(&rq, rows[i].body, strlen(rows[i].body)));
		assert_int_equal(inject(w.secrets, 3, &rq, rows[i].body, strlen(rows[i].body),
					1 << 20, &out, NULL),
				 0);
		assert_true(out.is_changed);
		assert_string_equal(out.path, rows[i].ret_path);
		if (rows[i].ret_field)
			assert_string_equal(out.headers.items[0].value, rows[i].ret_field);
		assert_int_equal(out.has_body, rows[i].ret_body != NULL);
		if (rows[i].ret_body)
			assert_string_equal(buf_str(&out.body), rows[i].ret_body);
		injected_done(&out);
		request_done(&rq);
		unmake(&w);
	}
}

static void basic_is_opened_and_closed_again(void **state)
{
	char *coded = format_base64("user:" P_KEY, strlen("user:" P_KEY)), *wanted;
	char field[256], expected[256];
	struct forward_request rq;
	struct injected out;
	struct world w;

	(void)state;
	make(&w, PLACE_HEADER);
	(void)snprintf(field, sizeof(field), "basic %s", coded);
	rq = request("/", "Authorization", field);
	assert_true(inject_is_needed(&rq, "", 0));
	assert_int_equal(inject(w.secrets, 3, &rq, "", 0, 0, &out, NULL), 0);
	(void)snprintf(field, sizeof(field), "user:%s", value);
	wanted = format_base64(field, strlen(field));
	(void)snprintf(expected, sizeof(expected), "Basic %s", wanted);
	assert_string_equal(out.headers.items[0].value, expected);
	assert_true(out.used[0] && !out.used[1] && !out.used[2]);
	injected_done(&out);
	request_done(&rq);

	/* without a placeholder in it, or not base64 at all: as it came */
	for (size_t i = 0; i < 2; i++) {
		rq = request("/", "Authorization", i ? "Basic ???" : "Basic dXNlcjpwYXNz");
		assert_int_equal(inject(w.secrets, 3, &rq, "", 0, 0, &out, NULL), 0);
		assert_false(out.is_changed);
		assert_string_equal(out.headers.items[0].value, rq.headers.items[0].value);
		injected_done(&out);
		request_done(&rq);
	}
	free(coded);
	free(wanted);
	unmake(&w);
}

static void a_placeholder_goes_nowhere_else(void **state)
{
	static const struct {
		unsigned places;
		const char *path, *header, *field, *body, *text;
		int code;
	} rows[] = {
		{ 15, "/", "X", P_OTHER, "", "'ELSEWHERE' may not be sent to this host",
		  -ERR_DENIED },
		{ 15, "/?" P_OTHER, NULL, NULL, "", "'ELSEWHERE' may not be sent", -ERR_DENIED },
		{ 15, "/", NULL, NULL, P_OTHER, "'ELSEWHERE' may not be sent", -ERR_DENIED },
		{ PLACE_QUERY, "/", "X", P_KEY, "", "stand in the header", -ERR_DENIED },
		{ PLACE_HEADER, "/?" P_KEY, NULL, NULL, "", "stand in the query", -ERR_DENIED },
		{ PLACE_QUERY, "/" P_KEY "?", NULL, NULL, "", "stand in the path", -ERR_DENIED },
		{ PLACE_HEADER, "/", "Content-Type", "application/json", "\"" P_KEY "\"",
		  "stand in the body", -ERR_DENIED },
		{ 15, "/", "Content-Type", "multipart/form-data; boundary=x", P_KEY, "form",
		  -ERR_DENIED },
		{ 15, "/", NULL, NULL, P_KEY, "form", -ERR_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forward_request rq = request(rows[i].path, rows[i].header, rows[i].field);
		struct injected out;
		struct err err = { 0 };
		struct world w;

		make(&w, rows[i].places);
		assert_int_equal(inject(w.secrets, 3, &rq, rows[i].body, strlen(rows[i].body),
					1 << 20, &out, &err),
				 rows[i].code);
		assert_non_null(strstr(err.text, rows[i].text));
		assert_null(strstr(err.text, "s3 "));
		injected_done(&out);
		request_done(&rq);
		unmake(&w);
	}
}

static void values_that_a_place_cannot_hold_are_refused(void **state)
{
	static const struct {
		const char *value, *path, *field;
		int code;
	} rows[] = {
		{ "a\r\nX-Injected: 1", "/", P_KEY, -ERR_INVALID },
		{ "a\nb", "/", P_KEY, -ERR_INVALID },
		{ "\xe2\x82\xac", "/", P_KEY, -ERR_INVALID },
		{ "..", "/a/" P_KEY "/b", "", -ERR_INVALID },
		{ ".", "/a/" P_KEY, "", -ERR_INVALID },
		{ "../etc", "/a/" P_KEY, "", 0 },
		{ "a\r\nb", "/?" P_KEY, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forward_request rq = request(rows[i].path, "X", rows[i].field);
		struct secret *v = secret_new(rows[i].value, strlen(rows[i].value));
		struct injected out;
		struct err err = { 0 };
		struct world w;

		make(&w, 15);
		w.secrets[0].value = v;
		assert_int_equal(inject(w.secrets, 3, &rq, "", 0, 0, &out, &err), rows[i].code);
		if (rows[i].code == 0)
			assert_null(strpbrk(out.path, "\r\n"));
		injected_done(&out);
		request_done(&rq);
		unmake(&w);
		secret_free(v);
	}
}

static void what_stands_for_nothing_is_left_and_counted(void **state)
{
	static const char body[] = "mcpbox-secret- mcpbox-secret-0000000000000000000000000000000 "
				   "mcpbox-secret-000000000000000000000000000000aa";
	struct forward_request rq = request("/", "X", "mcpbox-secret-x");
	struct injected out;
	struct world w;

	(void)state;
	make(&w, 15);
	assert_int_equal(inject(w.secrets, 3, &rq, body, strlen(body), 1 << 20, &out, NULL), 0);
	assert_false(out.is_changed);
	assert_int_equal(out.unknown, 4);
	injected_done(&out);
	assert_int_equal(inject(NULL, 0, &rq, body, strlen(body), 1 << 20, &out, NULL), 0);
	assert_int_equal(out.unknown, 4);
	injected_done(&out);
	request_done(&rq);
	unmake(&w);
}

static void ceilings_hold_with_values_in_it(void **state)
{
	struct forward_request rq = request("/", "Content-Type", "application/json");
	struct secret *large = secret_new(NULL, 10000);
	struct injected out;
	struct err err = { 0 };
	struct world w;

	(void)state;
	memset(large->data, 'x', large->len);
	make(&w, 15);
	w.secrets[0].value = large;
	assert_int_equal(
		inject(w.secrets, 3, &rq, P_KEY P_KEY, 2 * PLACEHOLDER_LEN, 19999, &out, &err),
		-ERR_TOO_LARGE);
	injected_done(&out);
	assert_int_equal(
		inject(w.secrets, 3, &rq, P_KEY P_KEY, 2 * PLACEHOLDER_LEN, 20000, &out, &err), 0);
	injected_done(&out);
	for (int i = 0; i < 4; i++)
		assert_int_equal(headers_add(&rq.headers, "X", P_KEY, NULL), 0);
	assert_int_equal(inject(w.secrets, 3, &rq, "", 0, 0, &out, &err), -ERR_TOO_LARGE);
	injected_done(&out);
	request_done(&rq);
	unmake(&w);
	secret_free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_place_writes_a_value_in_its_own_way),
		cmocka_unit_test(basic_is_opened_and_closed_again),
		cmocka_unit_test(a_placeholder_goes_nowhere_else),
		cmocka_unit_test(values_that_a_place_cannot_hold_are_refused),
		cmocka_unit_test(what_stands_for_nothing_is_left_and_counted),
		cmocka_unit_test(ceilings_hold_with_values_in_it),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
