#include "gateway_test.h"
#include "mgmt_args.h"

static const struct mgmt_param params[] = {
	{ "tool_id", MGMT_STRING, true, "" },   { "page", MGMT_INTEGER, false, "" },
	{ "enabled", MGMT_BOOLEAN, false, "" }, { "limits", MGMT_OBJECT, false, "" },
	{ "modules", MGMT_STRINGS, false, "" }, { 0 },
};

static const struct {
	const char *arguments;
	const char *refusal; /* NULL: fine */
} cases[] = {
	{ "{\"tool_id\":\"a\"}", NULL },
	{ "{ \"tool_id\" : \"a\" , \"page\" : -1 }", NULL },
	{ "{\"tool_id\":\"a\",\"page\":null,\"limits\":null}", NULL },
	{ "{\"tool_id\":\"a\",\"enabled\":false,\"limits\":{},\"modules\":[\"x\"]}", NULL },
	{ "{\"tool\\u005fid\":\"a\"}", NULL },
	{ "{}", "missing argument 'tool_id'" },
	{ "{\"tool_id\":null}", "missing argument 'tool_id'" },
	{ "{\"tool_id\":\"\"}", "missing argument 'tool_id'" },
	{ "{\"tool_id\":5}", "'tool_id' must be text" },
	{ "{\"tool_id\":\"a\",\"page\":\"1\"}", "'page' must be a number" },
	{ "{\"tool_id\":\"a\",\"enabled\":1}", "'enabled' must be true or false" },
	{ "{\"tool_id\":\"a\",\"limits\":[]}", "'limits' must be an object" },
	{ "{\"tool_id\":\"a\",\"modules\":\"x\"}", "'modules' must be a list of texts" },
	{ "{\"tool_id\":\"a\",\"modules\":[1]}", "'modules' must be a list of texts" },
	{ "{\"tool_id\":\"a\",\"colour\":\"red\"}", "unknown argument \"colour\"" },
	{ "{\"tool_id\":\"a\",\"colour\":null}", "unknown argument \"colour\"" },
};

static void takes_what_the_schema_describes_and_names_what_it_does_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_span span = { cases[i].arguments, strlen(cases[i].arguments) };
		struct err err = { 0 };
		int r = mgmt_args_check(params, span, &err);

		assert_int_equal(r, cases[i].refusal ? -ERR_INVALID : 0);
		if (cases[i].refusal)
			assert_string_equal(err.text, cases[i].refusal);
		err_done(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_the_schema_describes_and_names_what_it_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
