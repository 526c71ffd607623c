#include "gateway_test.h"

#include <stdlib.h>
#include "era.h"
#include "err.h"

#define V      "\"io.modelcontextprotocol/protocolVersion\":"
#define C      "\"io.modelcontextprotocol/clientCapabilities\":"
#define I      "\"io.modelcontextprotocol/clientInfo\":"
#define MODERN "\"_meta\":{" V "\"2026-07-28\"," C "{}}"

/* A message of that method and params, through the same steps as the endpoint. */
struct parsed {
	char text[1024];
	struct jsonrpc_message m;
	struct mcp_meta meta;
};

static void parse(struct parsed *p, const char *method, const char *params, bool is_notification)
{
	struct rpc_error err;

	(void)snprintf(p->text, sizeof(p->text), "{\"jsonrpc\":\"2.0\",%s\"method\":\"%s\"%s%s}",
		       is_notification ? "" : "\"id\":1,", method, params[0] ? ",\"params\":" : "",
		       params);
	assert_int_equal(jsonrpc_parse((struct json_span){ p->text, strlen(p->text) }, &p->m, &err),
			 0);
	assert_int_equal(era_read_meta(p->m.params, &p->meta, &err), 0);
}

/* ---- which era ---- */

static const struct {
	const char *method, *params, *header;
	bool is_notification;
	int expected; /* enum era, or a JSON-RPC code */
} eras[] = {
	/* 4: the key decides, whatever method and value */
	{ "tools/list", "{" MODERN "}", NULL, false, ERA_MODERN },
	{ "initialize", "{" MODERN "}", NULL, false, ERA_MODERN },
	{ "tools/list", "{\"_meta\":{" V "\"2025-11-25\"}}", "2025-11-25", false, ERA_MODERN },
	{ "tools/list", "{\"_meta\":{" V "5}}", NULL, false, ERA_MODERN },
	/* 5 */
	{ "initialize", "{\"protocolVersion\":\"2025-11-25\"}", NULL, false, ERA_LEGACY },
	{ "initialize", "{\"protocolVersion\":\"2025-11-25\"}", "2025-11-25", false, ERA_LEGACY },
	{ "initialize", "{\"protocolVersion\":\"2026-07-28\"}", "2026-07-28", false,
	  RPC_HEADER_MISMATCH },
	/* 6 */
	{ "tools/list", "", "2026-07-28", false, RPC_INVALID_PARAMS },
	{ "tools/list", "{\"_meta\":{}}", "2027-01-01", false, RPC_INVALID_PARAMS },
	{ "tools/list", "{\"_meta\":5}", " 2026-07-28 ", false, RPC_INVALID_PARAMS },
	/* 7 */
	{ "notifications/cancelled", "{" MODERN "}", NULL, true, ERA_MODERN },
	{ "notifications/cancelled", "", "2026-07-28", true, ERA_MODERN },
	{ "notifications/cancelled", "", NULL, true, ERA_LEGACY },
	{ "notifications/initialized", "", "2025-06-18", true, ERA_LEGACY },
	/* 8 */
	{ "tools/list", "", NULL, false, ERA_LEGACY },
	{ "tools/list", "{\"_meta\":{}}", "2025-11-25", false, ERA_LEGACY },
	{ "tools/list", "", "v999.0.0", false, ERA_LEGACY },
	{ "tools/list", "", "2026-07-27", false, ERA_LEGACY },
};

static void decides_the_era_by_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(eras); i++) {
		const struct mcp_headers headers = { .protocol_version = eras[i].header,
						     .method = "other/method",
						     .session_id = "x" };
		struct rpc_error err = { 0 };
		struct parsed p;
		enum era era;
		int r;

		parse(&p, eras[i].method, eras[i].params, eras[i].is_notification);
		r = era_decide(&p.m, &p.meta, &headers, &era, &err);
		if ((r < 0 ? err.code : (int)era) != eras[i].expected)
			fail_msg("row %zu: %d", i, r < 0 ? err.code : (int)era);
		if (r < 0)
			assert_int_equal(err.status, 400);
		jsonrpc_message_done(&p.m);
	}
}

static void names_the_missing_meta_keys(void **state)
{
	const struct mcp_headers headers = { .protocol_version = "2026-07-28" };
	struct rpc_error err;
	struct parsed p;
	enum era era;

	(void)state;
	parse(&p, "tools/list", "", false);
	assert_int_equal(era_decide(&p.m, &p.meta, &headers, &era, &err), -1);
	assert_non_null(strstr(err.text, "io.modelcontextprotocol/protocolVersion"));
	assert_non_null(strstr(err.text, "io.modelcontextprotocol/clientCapabilities"));
	jsonrpc_message_done(&p.m);
}

/* ---- rows 1 to 5 ---- */

#define CALL(name) "{\"name\":\"" name "\"," MODERN "}"

static const struct {
	const char *method, *params;
	struct mcp_headers headers;
	int code; /* 0: passes */
} checks[] = {
	{ "tools/list", "{" MODERN "}", { "2026-07-28", "tools/list", NULL, NULL }, 0 },
	{ "tools/list", "{" MODERN "}", { " 2026-07-28\t", " tools/list ", NULL, NULL }, 0 },
	/* row 1 */
	{ "tools/list",
	  "{\"_meta\":{" V "\"2026-07-28\"}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  -32602 },
	{ "tools/list",
	  "{\"_meta\":{" V "5," C "{}}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  -32602 },
	{ "tools/list",
	  "{\"_meta\":{" V "\"2026-07-28\"," C "[]}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  -32602 },
	{ "tools/list",
	  "{\"_meta\":{" V "\"2026-07-28\"," C "{}," I "{\"name\":\"c\",\"version\":\"1\"}}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  0 },
	{ "tools/list",
	  "{\"_meta\":{" V "\"2026-07-28\"," C "{}," I "{\"name\":\"c\"}}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  -32602 },
	{ "tools/list",
	  "{\"_meta\":{" V "\"2026-07-28\"," C "{}," I "5}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  -32602 },
	/* row 1 before row 3 */
	{ "tools/list", "{\"_meta\":{" V "\"v9\"}}", { "v9", "tools/list", NULL, NULL }, -32602 },
	/* row 2 */
	{ "tools/list", "{" MODERN "}", { "2027-01-01", "tools/list", NULL, NULL }, -32020 },
	{ "tools/list", "{" MODERN "}", { "2026-07-28", "Tools/list", NULL, NULL }, -32020 },
	{ "tools/list", "{" MODERN "}", { "2026-07-28", "tools/call", NULL, NULL }, -32020 },
	/* row 2 before row 3: different versions */
	{ "tools/list",
	  "{\"_meta\":{" V "\"v999.0.0\"," C "{}}}",
	  { "2026-07-28", "tools/list", NULL, NULL },
	  -32020 },
	/* row 3: the same unknown version, and a legacy one in modern form; before row 4 */
	{ "tools/list",
	  "{\"_meta\":{" V "\"v999.0.0\"," C "{}}}",
	  { "v999.0.0", "tools/list", NULL, NULL },
	  -32022 },
	{ "tools/list",
	  "{\"_meta\":{" V "\"2025-11-25\"," C "{}}}",
	  { "2025-11-25", "tools/list", NULL, NULL },
	  -32022 },
	{ "tools/list",
	  "{\"_meta\":{" V "\"v999.0.0\"," C "{}}}",
	  { NULL, NULL, NULL, NULL },
	  -32022 },
	/* row 4 */
	{ "tools/list", "{" MODERN "}", { NULL, "tools/list", NULL, NULL }, -32020 },
	{ "tools/list", "{" MODERN "}", { "2026-07-28", NULL, NULL, NULL }, -32020 },
	/* row 5 */
	{ "tools/call", CALL("a"), { "2026-07-28", "tools/call", "a", NULL }, 0 },
	{ "tools/call", CALL("a"), { "2026-07-28", "tools/call", " a ", NULL }, 0 },
	{ "tools/call", CALL("a"), { "2026-07-28", "tools/call", NULL, NULL }, -32020 },
	{ "tools/call", CALL("a"), { "2026-07-28", "tools/call", "A", NULL }, -32020 },
	{ "tools/call",
	  CALL("caf\xc3\xa9"),
	  { "2026-07-28", "tools/call", "=?base64?Y2Fmw6k=?=", NULL },
	  0 },
	{ "tools/call",
	  CALL("caf\xc3\xa9"),
	  { "2026-07-28", "tools/call", "=?base64?Y2Fmw6k?=", NULL },
	  -32020 },
	{ "tools/call", "{" MODERN "}", { "2026-07-28", "tools/call", "a", NULL }, -32020 },
	{ "resources/read",
	  "{\"uri\":\"x:y\"," MODERN "}",
	  { "2026-07-28", "resources/read", "x:y", NULL },
	  0 },
	{ "resources/read",
	  "{\"uri\":\"x:y\"," MODERN "}",
	  { "2026-07-28", "resources/read", "x:z", NULL },
	  -32020 },
	{ "tasks/get",
	  "{\"taskId\":\"t\"," MODERN "}",
	  { "2026-07-28", "tasks/get", "u", NULL },
	  -32020 },
};

static void checks_in_the_order_of_the_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct rpc_error err = { 0 };
		struct parsed p;
		int r;

		parse(&p, checks[i].method, checks[i].params, false);
		r = era_check_modern(&p.m, &p.meta, &checks[i].headers, &err);
		if ((r < 0 ? err.code : 0) != checks[i].code)
			fail_msg("row %zu: %d %s", i, r < 0 ? err.code : 0, r < 0 ? err.text : "");
		if (r < 0)
			assert_int_equal(err.status, 400);
		jsonrpc_message_done(&p.m);
	}
}

static void tells_the_served_versions(void **state)
{
	const struct mcp_headers headers = { .protocol_version = "v999.0.0",
					     .method = "server/discover" };
	struct rpc_error err;
	struct parsed p;

	(void)state;
	parse(&p, "server/discover", "{\"_meta\":{" V "\"v999.0.0\"," C "{}}}", false);
	assert_int_equal(era_check_modern(&p.m, &p.meta, &headers, &err), -1);
	assert_string_equal(err.data,
			    "{\"supported\":[\"2026-07-28\"],\"requested\":\"v999.0.0\"}");
	jsonrpc_message_done(&p.m);
}

static void survives_a_version_of_any_length(void **state)
{
	BOX_UNUSED struct rpc_error err;
	char params[900], version[700];
	struct mcp_headers headers = { .protocol_version = version, .method = "x" };
	struct parsed p;

	(void)state;
	memset(version, 'v', sizeof(version) - 1);
	version[sizeof(version) - 1] = '\0';
	(void)snprintf(params, sizeof(params), "{\"_meta\":{" V "\"%s\"," C "{}}}", version);
	parse(&p, "x", params, false);
	assert_int_equal(era_check_modern(&p.m, &p.meta, &headers, &err), -1);
	assert_int_equal(err.code, RPC_UNSUPPORTED_VERSION);
	assert_string_equal(err.data, "{\"supported\":[\"2026-07-28\"],\"requested\":\"\"}");
	jsonrpc_message_done(&p.m);
}

/* ---- encoding of header values ---- */

static const struct {
	const char *value, *decoded; /* NULL: refused */
} encodings[] = {
	{ "plain", "plain" },
	{ " with inner space ", "with inner space" },
	{ "", "" },
	{ "=?base64?aGFsbG8=?=", "hallo" },
	{ "=?base64?"
	  "?=",
	  "" },
	{ "=?base64?aGFsbG8=", "=?base64?aGFsbG8=" },     /* prefix alone: literal */
	{ "aGFsbG8=?=", "aGFsbG8=?=" },                   /* suffix alone: literal */
	{ "=?BASE64?aGFsbG8=?=", "=?BASE64?aGFsbG8=?=" }, /* markers are exact */
	{ "=?base64?aGFsbG8?=", NULL },                   /* padding missing */
	{ "=?base64?aGFsbG9=?=", NULL },                  /* bits that do not belong */
	{ "=?base64?aGFs bG8=?=", NULL },
	{ "=?base64?_-8=?=", NULL }, /* another alphabet */
	{ "=?base64?/w==?=", NULL }, /* not UTF-8 */
	{ "=?base64?AA==?=", NULL }, /* a NUL */
	{ "caf\xc3\xa9", NULL },
	{ "bell\x07", NULL },
};

static void decodes_header_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
		char *text = NULL;
		int r = era_decode_header(encodings[i].value, &text);

		if ((r < 0) != (encodings[i].decoded == NULL))
			fail_msg("%s: %d", encodings[i].value, r);
		if (r == 0)
			assert_string_equal(text, encodings[i].decoded);
		free(text);
	}
}

static void knows_versions_and_levels(void **state)
{
	(void)state;
	assert_int_equal(mcp_version_legacy("2025-03-26"), MCP_2025_03_26);
	assert_int_equal(mcp_version_legacy("2025-11-25"), MCP_2025_11_25);
	assert_int_equal(mcp_version_legacy("2026-07-28"), MCP_NONE);
	assert_int_equal(mcp_version_legacy(""), MCP_NONE);
	assert_int_equal(severity_parse((struct json_span){ "\"warning\"", 9 }), SEVERITY_WARNING);
	assert_int_equal(severity_parse((struct json_span){ "\"loud\"", 6 }), SEVERITY_NONE);
	assert_int_equal(severity_parse((struct json_span){ "5", 1 }), SEVERITY_NONE);
	assert_int_equal(severity_parse((struct json_span){ 0 }), SEVERITY_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_the_era_by_the_table),
		cmocka_unit_test(names_the_missing_meta_keys),
		cmocka_unit_test(checks_in_the_order_of_the_rows),
		cmocka_unit_test(tells_the_served_versions),
		cmocka_unit_test(survives_a_version_of_any_length),
		cmocka_unit_test(decodes_header_values),
		cmocka_unit_test(knows_versions_and_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
