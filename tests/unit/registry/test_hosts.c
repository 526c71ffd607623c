#include "test.h"
#include "hosts.h"

static struct host_entry parsed(const char *text)
{
	struct host_entry h = { 0 };
	struct err err = { 0 };

	if (host_parse(text, strlen(text), &h, &err) < 0)
		fail_msg("'%s' was refused: %s", text, err.text);
	return h;
}

static void takes_and_normalises(void **state)
{
	static const struct {
		const char *text, *host;
		uint32_t port;
		bool is_private, needs_private;
	} rows[] = {
		{ "api.example.com", "api.example.com", 0, false, false },
		{ " api.example.com ", "api.example.com", 0, false, false },
		{ "API.EXAMPLE.COM.", "api.example.com", 0, false, false },
		{ "api.example.com:8443", "api.example.com", 8443, false, false },
		{ "my_host.example.com", "my_host.example.com", 0, false, false },
		{ "*.hooks.example.com", "*.hooks.example.com", 0, false, false },
		{ "*.hooks.example.com:443", "*.hooks.example.com", 443, false, false },
		{ "*.example.com", "*.example.com", 0, false, false },
		{ "bücher.example.com", "xn--bcher-kva.example.com", 0, false, false },
		{ "xn--bcher-kva.example.com", "xn--bcher-kva.example.com", 0, false, false },
		{ "straße.example.com", "xn--strae-oqa.example.com", 0, false, false },
		{ "printer.lan+private", "printer.lan", 0, true, true },
		{ "printer.lan:80+private", "printer.lan", 80, true, true },
		{ "printer.lan", "printer.lan", 0, false, true },
		{ "postgres:5432", "postgres", 5432, false, true },
		{ "93.184.215.14", "93.184.215.14", 0, false, false },
		{ "10.0.0.5+private", "10.0.0.5", 0, true, true },
		{ "172.16.0.1", "172.16.0.1", 0, false, true },
		{ "192.168.1.1:9100", "192.168.1.1", 9100, false, true },
		{ "[fd00::1]:80+private", "fd00::1", 80, true, true },
		{ "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
		  "2606:2800:21f:cb07:6820:80da:af6b:8b2c", 0, false, false },
		{ "loop.example.com+private", "loop.example.com", 0, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host_entry h = parsed(rows[i].text);

		assert_string_equal(h.host, rows[i].host);
		assert_int_equal(h.port, rows[i].port);
		assert_int_equal(h.is_private, rows[i].is_private);
		assert_int_equal(h.needs_private, rows[i].needs_private);
	}
}

static void refuses_what_can_never_be_granted(void **state)
{
	static const char *const rows[] = {
		/* malformed */
		"",
		" ",
		"-",
		".",
		"..",
		"+private",
		":443",
		"*",
		"*.",
		"a..b.example.com",
		".api.example.com",
		"api.example.com..",
		"-a.example.com",
		"a-.example.com",
		"a.*.example.com",
		"api*.example.com",
		"*.*.example.com",
		"https://api.example.com/",
		"api.example.com/",
		"93.184.215.0/24",
		"user@api.example.com",
		"a%00.example.com",
		"api.example.com:0",
		"api.example.com:65536",
		"api.example.com:",
		"api.example.com:+443",
		"api.example.com:0443",
		"api.example.com: 443",
		"api.example.com:443:80",
		"127.0.0.1#@api.example.com",
		"127.0.0.1?@api.example.com",
		"a b.example.com",
		"a\\b.example.com",
		"[::1",
		"[api.example.com]",
		"[::1]x",
		"\xff.example.com",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com",
		/* numbers in disguise */
		"0",
		"0177.0.0.01",
		"017700000001",
		"0x7f.0x0.0x0.0x1",
		"0x7f.1",
		"0x7f000001",
		"127.1",
		"127.0.1",
		"2130706433",
		"256.256.256.256",
		"4294967297",
		"2852039166",
		"1.2.3.04",
		/* never reachable */
		"127.0.0.1",
		"127.0.0.1.",
		"127.8.9.10+private",
		"0.0.0.0",
		"169.254.169.254",
		"169.254.1.1+private",
		"100.64.0.1",
		"100.100.100.200",
		"192.0.0.8",
		"192.0.2.1",
		"192.88.99.1",
		"198.18.0.1",
		"224.0.0.1",
		"240.0.0.1",
		"255.255.255.255",
		"[::1]",
		"[::]",
		"[0:0:0:0:0:0:0:1]",
		"[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]",
		"[64:ff9b::7f00:1]",
		"[2002:7f00:1::]",
		"[2001:db8::1]",
		"[2001:20::1]",
		"[100::1]",
		"[fe80::1]",
		"[ff02::1]",
		"[fd00:ec2::254]+private",
		"localhost",
		"LOCALHOST.",
		"a.localhost",
		"metadata.google.internal",
		"kubernetes.default.svc",
		/* wildcards over strangers */
		"*.net",
		"*.co.uk",
		"*.github.io",
		"*.10.0.0.5",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host_entry h = { 0 };
		struct err err = { 0 };

		if (host_parse(rows[i], strlen(rows[i]), &h, &err) == 0)
			fail_msg("'%s' was taken as '%s'", rows[i], h.host);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.field, "host");
		assert_string_equal(h.host, "");
	}
}

static void refuses_a_name_longer_than_253(void **state)
{
	char name[320];
	struct host_entry h;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	(void)snprintf(name + 300, sizeof(name) - 300, "example.com");
	assert_int_equal(host_parse(name, strlen(name), &h, NULL), -ERR_INVALID);
}

static void writes_entries_as_people_do(void **state)
{
	static const char *const rows[] = { "api.example.com", "api.example.com:8443",
					    "[fd00::1]:80+private", "*.hooks.example.com:443" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host_entry h = parsed(rows[i]);
		char text[300];

		host_format(&h, h.is_private, text);
		assert_string_equal(text, rows[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_and_normalises),
		cmocka_unit_test(refuses_what_can_never_be_granted),
		cmocka_unit_test(refuses_a_name_longer_than_253),
		cmocka_unit_test(writes_entries_as_people_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
