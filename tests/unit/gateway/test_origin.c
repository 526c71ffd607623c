#include "gateway_test.h"

#include "origin.h"

static const struct origin_policy local = { .is_loopback = true };
static const struct origin_policy shared = { .is_loopback = false,
					     .hosts = "mcp.example.com, box",
					     .origins = "https://app.example.com,http://ide:99" };

static const struct {
	const struct origin_policy *policy;
	const char *host;
	bool allowed;
} hosts[] = {
	{ &local, "localhost", true },
	{ &local, "LOCALHOST:8000", true },
	{ &local, "127.0.0.1:1234", true },
	{ &local, "[::1]:8000", true },
	{ &local, "[::1]", true },
	{ &local, NULL, false },
	{ &local, "", false },
	{ &local, "evil.example", false },
	{ &local, "localhost.evil.example", false },
	{ &local, "127.0.0.1.evil", false },
	{ &local, "localhost:80x", false },
	{ &local, "[::1", false },
	{ &local, "[::1]x", false },
	{ &local, "mcp.example.com", false },
	{ &shared, "mcp.example.com:443", true },
	{ &shared, "Box", true },
	{ &shared, "127.0.0.1", true },
	{ &shared, "mcp.example", false },
	{ &shared, "evil", false },
};

static void host_is_a_known_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		if (origin_host_allowed(hosts[i].policy, hosts[i].host) != hosts[i].allowed)
			fail_msg("row %zu: %s", i, hosts[i].host ? hosts[i].host : "(none)");
	}
}

static const struct {
	const struct origin_policy *policy;
	const char *origin, *host;
	bool allowed;
} origins[] = {
	{ &local, NULL, "localhost:8000", true },
	{ &local, "http://localhost:8000", "localhost:8000", true },
	{ &local, "http://localhost:5173", "127.0.0.1:8000", true },
	{ &local, "https://[::1]:1", "localhost", true },
	{ &local, "http://evil.example", "localhost:8000", false },
	{ &local, "http://evil.example", "evil.example",
	  false }, /* rebound: its Host is refused too */
	{ &local, "null", "localhost", false },
	{ &local, "", "localhost", false },
	{ &local, "file://localhost", "localhost", false },
	{ &local, "http://localhost.evil.example", "localhost", false },
	{ &local, "http://", "localhost", false },
	{ &shared, "https://app.example.com", "box", true },
	{ &shared, "http://ide:99", "box", true },
	{ &shared, "http://ide:98", "box", false },
	{ &shared, "http://localhost:3000", "box", false }, /* not its own machine */
	{ &shared, "https://mcp.example.com", "mcp.example.com", true },
	{ &shared, "https://mcp.example.com:1", "mcp.example.com", false },
};

static void origin_is_own_loopback_or_configured(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		if (origin_allowed(origins[i].policy, origins[i].origin, origins[i].host) !=
		    origins[i].allowed)
			fail_msg("row %zu: %s", i,
				 origins[i].origin ? origins[i].origin : "(none)");
	}
}

static void list_holds_what_browsers_send(void **state)
{
	static const char *const good[] = { NULL, "", "https://app.example.com",
					    "http://ide:99, https://[::1]:8443" };
	static const char *const bad[] = { "app.example.com",     "https://app.example.com/",
					   "https://a, https://", "*",
					   "https://user@app",    "ws://app",
					   "https://app:port" };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(origin_list_check(good[i], &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (origin_list_check(bad[i], &err) != -ERR_INVALID)
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_is_a_known_name),
		cmocka_unit_test(origin_is_own_loopback_or_configured),
		cmocka_unit_test(list_holds_what_browsers_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
