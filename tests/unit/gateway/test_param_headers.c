#include "gateway_test.h"

#include "param_headers.h"

#define SCHEMA                                                                                \
	"{\"type\":\"object\",\"properties\":{"                                               \
	"\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"                       \
	"\"level\":{\"type\":\"integer\",\"x-mcp-header\":\"Level\"},"                        \
	"\"in\":{\"type\":\"object\",\"properties\":{\"deep\":{\"type\":\"boolean\",\"x-mcp-" \
	"header\":\"Deep\"}}}}}"

struct given {
	const char *region, *level, *deep;
};

static const char *header(void *arg, const char *name)
{
	const struct given *g = arg;

	if (strcmp(name, "Mcp-Param-Region") == 0)
		return g->region;
	if (strcmp(name, "Mcp-Param-Level") == 0)
		return g->level;
	return strcmp(name, "Mcp-Param-Deep") == 0 ? g->deep : NULL;
}

static const struct {
	const char *arguments;
	struct given given;
	bool passes;
} rows[] = {
	{ NULL, { NULL, NULL, NULL }, true },
	{ "{}", { NULL, NULL, NULL }, true },
	{ "{\"region\":null}", { NULL, NULL, NULL }, true },
	{ "{\"region\":\"eu\"}", { "eu", NULL, NULL }, true },
	{ "{\"region\":\"\"}", { "", NULL, NULL }, true },
	{ "{\"region\":\"caf\xc3\xa9\"}", { "=?base64?Y2Fmw6k=?=", NULL, NULL }, true },
	{ "{\"level\":42}", { NULL, "42", NULL }, true },
	{ "{\"level\":42}", { NULL, "42.0", NULL }, true },
	{ "{\"level\":-1}", { NULL, "-1", NULL }, true },
	{ "{\"in\":{\"deep\":true}}", { NULL, NULL, "true" }, true },
	/* refused */
	{ "{\"region\":\"eu\"}", { NULL, NULL, NULL }, false },
	{ "{\"region\":\"eu\"}", { "us", NULL, NULL }, false },
	{ "{\"region\":\"eu\"}", { "EU", NULL, NULL }, false },
	{ "{}", { "eu", NULL, NULL }, false },
	{ "{\"region\":null}", { "eu", NULL, NULL }, false },
	{ "{\"region\":\"x\"}", { "=?base64?!?=", NULL, NULL }, false },
	{ "{\"level\":42}", { NULL, "43", NULL }, false },
	{ "{\"level\":42}", { NULL, "42.5", NULL }, false },
	{ "{\"level\":42}", { NULL, "42.", NULL }, false },
	{ "{\"level\":42}", { NULL, "0x2a", NULL }, false },
	{ "{\"in\":{\"deep\":true}}", { NULL, NULL, "True" }, false },
	{ "{\"in\":{\"deep\":true}}", { NULL, NULL, "false" }, false },
};

static void header_and_argument_agree(void **state)
{
	struct param_headers *p = param_headers_new(SCHEMA, strlen(SCHEMA));

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_span a = { rows[i].arguments,
				       rows[i].arguments ? strlen(rows[i].arguments) : 0 };
		struct given g = rows[i].given;
		struct rpc_error err = { 0 };
		int r = param_headers_check(p, a, header, &g, &err);

		if ((r == 0) != rows[i].passes)
			fail_msg("row %zu: %s", i, err.text);
		if (r < 0) {
			assert_int_equal(err.status, 400);
			assert_int_equal(err.code, RPC_HEADER_MISMATCH);
		}
	}
	param_headers_free(p);
}

#define PROPERTY(x) "{\"type\":\"object\",\"properties\":{" x "}}"

#define TWICE                                                          \
	PROPERTY("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"X\"}," \
		 "\"b\":{\"type\":\"string\",\"x-mcp-header\":\"x\"}")
#define IN_ITEMS                                    \
	"{\"type\":\"object\",\"items\":" PROPERTY( \
		"\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}") "}"

static const char *const invalid[] = {
	"{\"type\":\"object\"}",
	PROPERTY("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}"),
	PROPERTY("\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a b\"}"),
	PROPERTY("\"a\":{\"type\":\"string\",\"x-mcp-header\":5}"),
	PROPERTY("\"a\":{\"type\":\"number\",\"x-mcp-header\":\"A\"}"),
	TWICE,
	IN_ITEMS,
	"not json x-mcp-header",
};

static void an_invalid_annotation_mirrors_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
		struct param_headers *p = param_headers_new(invalid[i], strlen(invalid[i]));

		if (p)
			fail_msg("%s", invalid[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_argument_agree),
		cmocka_unit_test(an_invalid_annotation_mirrors_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
