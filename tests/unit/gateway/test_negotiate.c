#include "gateway_test.h"

#include "negotiate.h"

static const struct {
	const char *accept;
	bool json, sse;
} accepts[] = {
	{ NULL, true, true },
	{ "*/*", true, true },
	{ "application/json, text/event-stream", true, true },
	{ "application/json", true, false },
	{ "Application/JSON;charset=utf-8", true, false },
	{ "text/event-stream", false, true },
	{ "application/*", true, false },
	{ "text/*;q=0.5", false, true },
	{ "text/html", false, false },
	{ "", false, false },
	{ "application/json;q=0, text/event-stream", false, true },
	{ "application/json; q=0.0, */*;q=0.001", true, true },
	{ "application/jsonp", false, false },
	{ ",,,application/json", true, false },
};

static void reads_accept(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepts); i++) {
		struct accepts a = negotiate_accept(accepts[i].accept);

		if (a.json != accepts[i].json || a.sse != accepts[i].sse)
			fail_msg("%s: %d %d", accepts[i].accept ? accepts[i].accept : "(none)",
				 a.json, a.sse);
	}
}

static const struct {
	const char *type;
	bool is_json;
} types[] = {
	{ "application/json", true },
	{ "application/json; charset=utf-8", true },
	{ " Application/Json ;x=y", true },
	{ NULL, false },
	{ "", false },
	{ "text/plain", false },
	{ "application/json-rpc", false },
	{ "application/json, text/plain", false },
};

static void knows_json_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (negotiate_is_json(types[i].type) != types[i].is_json)
			fail_msg("%s", types[i].type ? types[i].type : "(none)");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_accept),
		cmocka_unit_test(knows_json_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
