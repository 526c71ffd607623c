#include "test.h"
#include "err.h"
#include "http_parse.h"
#include "mem.h"

static void decodes_paths_once_and_one_way(void **state)
{
	static const struct {
		const char *raw, *path; /* NULL: refused */
	} rows[] = {
		{ "/", "/" },
		{ "/api/tools/", "/api/tools/" },
		{ "/a%20b/%c3%a9", "/a b/\xc3\xa9" },
		{ "/a%2541", "/a%41" },
		{ "/a/..b/.c/...", "/a/..b/.c/..." },
		{ "", NULL },
		{ "a", NULL },
		{ "*", NULL },
		{ "http://x/", NULL },
		{ "//", NULL },
		{ "/a//b", NULL },
		{ "/.", NULL },
		{ "/a/../b", NULL },
		{ "/a/%2e%2E/b", NULL },
		{ "/a%2fb", NULL },
		{ "/a\\b", NULL },
		{ "/a%5cb", NULL },
		{ "/a%00b", NULL },
		{ "/a%0ab", NULL },
		{ "/a%", NULL },
		{ "/a%4", NULL },
		{ "/a%zz", NULL },
		{ "/a%ff", NULL },
		{ "/a#b", NULL },
		{ "/a?b", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BOX_CLEANUP(mem_freep) char *path = NULL;
		int r = http_parse_path(rows[i].raw, &path);

		if ((r == 0) != (rows[i].path != NULL))
			fail_msg("misjudged: %s", rows[i].raw);
		if (r == 0)
			assert_string_equal(path, rows[i].path);
	}
}

static void decodes_queries(void **state)
{
	struct http_query q;

	(void)state;
	assert_int_equal(http_parse_query("a=1&b=x+y%26&c&=d&a=2&e=", &q), 0);
	assert_int_equal(q.count, 6);
	assert_string_equal(q.pairs[1].name, "b");
	assert_string_equal(q.pairs[1].value, "x y&");
	assert_string_equal(q.pairs[2].name, "c");
	assert_string_equal(q.pairs[2].value, "");
	assert_string_equal(q.pairs[3].value, "d");
	assert_string_equal(q.pairs[5].name, "e");
	http_query_done(&q);
	assert_int_equal(http_parse_query(NULL, &q), 0);
	assert_int_equal(q.count, 0);
	http_query_done(&q);
	assert_int_equal(http_parse_query("last", &q), 0);
	assert_string_equal(q.pairs[0].name, "last");
	http_query_done(&q);
}

static void refuses_bad_queries(void **state)
{
	static const char *const rows[] = { "a=%", "a=%4", "%zz=1", "a=%00", "a=%ff" };
	char many[2 * (HTTP_PAIRS_MAX + 1) + 1] = "";
	struct http_query q;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(http_parse_query(rows[i], &q), -ERR_INVALID);
	for (size_t i = 0; i < HTTP_PAIRS_MAX + 1; i++)
		memcpy(many + 2 * i, "a&", 3);
	assert_int_equal(http_parse_query(many, &q), -ERR_TOO_LARGE);
}

static void matches_patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool is_match;
		const char *param;
	} rows[] = {
		{ "/", "/", true, NULL },
		{ "/api", "/api", true, NULL },
		{ "/api", "/api/", false, NULL },
		{ "/api", "/apix", false, NULL },
		{ "/a/{id}", "/a/7", true, "7" },
		{ "/a/{id}/b", "/a/7/b", true, "7" },
		{ "/a/{id}/b", "/a/7", false, NULL },
		{ "/a/{id}", "/a/", false, NULL },
		{ "/a/{id}", "/a/7/b", false, NULL },
		{ "/{id...}", "/", true, "" },
		{ "/w/{id...}", "/w/a/b.js", true, "a/b.js" },
		{ "/w/{id...}", "/v/a", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_match m = { 0 };

		assert_int_equal(http_match_path(rows[i].pattern, rows[i].path, &m),
				 rows[i].is_match);
		if (rows[i].param)
			assert_string_equal(http_match_param(&m, "id"), rows[i].param);
		else
			assert_null(http_match_param(&m, "id"));
		http_match_done(&m);
	}
}

#define HOST                \
	{                   \
		"Host", "x" \
	}

static void judges_framing(void **state)
{
	static const struct {
		struct http_pair headers[4];
		bool is_good;
	} rows[] = {
		{ { HOST }, true },
		{ { HOST, { "Content-Length", "36" } }, true },
		{ { HOST, { "transfer-encoding", "Chunked" } }, true },
		{ { { "A", "1" } }, false },
		{ { HOST, HOST }, false },
		{ { HOST, { "Content-Length", "3" }, { "content-length", "3" } }, false },
		{ { HOST, { "Content-Length", "3" }, { "Transfer-Encoding", "chunked" } }, false },
		{ { HOST, { "Content-Length", "3abc" } }, false },
		{ { HOST, { "Content-Length", "+3" } }, false },
		{ { HOST, { "Content-Length", "-3" } }, false },
		{ { HOST, { "Content-Length", "3, 36" } }, false },
		{ { HOST, { "Content-Length", "" } }, false },
		{ { HOST, { "Content-Length", "9223372036854775807" } }, false },
		{ { HOST, { "Transfer-Encoding", "identity" } }, false },
		{ { HOST, { "Transfer-Encoding", "gzip, chunked" } }, false },
		{ { HOST, { "Transfer-Encoding", "chunked" }, { "Transfer-Encoding", "chunked" } },
		  false },
		{ { HOST, { "A b", "1" } }, false },
		{ { HOST, { "", "1" } }, false },
		{ { HOST, { "A", "1\v2" } }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_framing framing;
		size_t count = 0;

		while (count < 4 && rows[i].headers[count].name)
			count++;
		if ((http_judge_headers(rows[i].headers, count, &framing) == 0) != rows[i].is_good)
			fail_msg("misjudged: row %zu", i);
	}
}

static void knows_json_types(void **state)
{
	(void)state;
	assert_true(http_type_is_json("application/json"));
	assert_true(http_type_is_json("Application/JSON; charset=utf-8"));
	assert_true(http_type_is_json("application/merge-patch+json"));
	assert_false(http_type_is_json("text/plain"));
	assert_false(http_type_is_json("application/jsonx"));
	assert_false(http_type_is_json("application/+json"));
	assert_false(http_type_is_json("application/x-www-form-urlencoded"));
	assert_false(http_type_is_json(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_paths_once_and_one_way),
		cmocka_unit_test(decodes_queries),
		cmocka_unit_test(refuses_bad_queries),
		cmocka_unit_test(matches_patterns),
		cmocka_unit_test(judges_framing),
		cmocka_unit_test(knows_json_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
