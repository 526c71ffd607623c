/* URLs and authorities: what is refused, and what canonical form the rest takes. */
#include "test.h"
#include "target.h"

struct good_row {
	const char *url, *host;
	uint16_t port;
	const char *path;
};
static const struct good_row good[] = {
	{ "https://api.example.com/v1", "api.example.com", 443, "/v1" },
	{ "http://api.example.com", "api.example.com", 80, "/" },
	{ "HTTPS://API.Example.COM./", "api.example.com", 443, "/" },
	{ "https://api.example.com:8443?x=1#frag", "api.example.com", 8443, "/?x=1" },
	{ "https://api.example.com/@user/x", "api.example.com", 443, "/@user/x" },
	{ "http://api.example.com/%0d%0aX:1", "api.example.com", 80, "/%0d%0aX:1" },
	{ "http://a.example/a/../b//c", "a.example", 80, "/a/../b//c" },
	{ "http://a.example/a b\\c\"d", "a.example", 80, "/a%20b%5Cc%22d" },
	{ "http://a.example/\xc3\xbc", "a.example", 80, "/%C3%BC" },
	{ "http://my_host.example.com/", "my_host.example.com", 80, "/" },
	{ "http://b\xc3\xbc"
	  "cher.example.com/",
	  "xn--bcher-kva.example.com", 80, "/" },
	{ "http://stra\xc3\x9f"
	  "e.example.com/",
	  "xn--strae-oqa.example.com", 80, "/" },
	{ "http://api\xe3\x80\x82"
	  "example.com/",
	  "api.example.com", 80, "/" },
	{ "http://93.184.215.14:81/", "93.184.215.14", 81, "/" },
	{ "http://[2606:2800:21F::0:1]/", "2606:2800:21f::1", 80, "/" },
	{ "http://[::ffff:7f00:1]:8080/", "::ffff:127.0.0.1", 8080, "/" },
};

static void brings_each_url_into_its_canonical_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct target t;
		struct err err = { 0 };

		if (target_parse_url(good[i].url, strlen(good[i].url), &t, &err) < 0)
			fail_msg("refused %s: %s", good[i].url, err.text);
		assert_string_equal(t.host.text, good[i].host);
		assert_int_equal(t.port, good[i].port);
		assert_string_equal(t.path, good[i].path);
		target_done(&t);
	}
}

static const char *const bad[] = {
	"",
	"api.example.com",
	"//api.example.com/",
	"http:/api.example.com/",
	"http:///api.example.com/",
	"http://",
	"file:///etc/passwd",
	"ftp://api.example.com/",
	"ws://api.example.com/",
	"data:text/plain,x",
	" http://api.example.com/",
	"http://user@api.example.com/",
	"http://user:pass@api.example.com/",
	"http://a@api.example.com@127.0.0.1/",
	"http://127.0.0.1\\@api.example.com/",
	"http://api.example.com\\@127.0.0.1/",
	"http://api.example.com%00.evil.example.net/",
	"http://api.example.com%2eevil.example.net/",
	"http://api.example.com .evil.example.net/",
	"http://api.example.com\t/",
	"http://api.example.com/\r\nHost: evil",
	"http://api.example.com/\x01",
	"http://api..example.com/",
	"http://.api.example.com/",
	"http://api.example.com../",
	"http://./",
	"http://../",
	"http://api.example.com:/",
	"http://api.example.com:0/",
	"http://api.example.com:0443/",
	"http://api.example.com:65536/",
	"http://api.example.com:65979/",
	"http://api.example.com:+443/",
	"http://api.example.com: 443/",
	"http://api.example.com:443:80/",
	"http://0/",
	"http://127.1/",
	"http://127.0.1/",
	"http://2130706433/",
	"http://4294967297/",
	"http://0x7f000001/",
	"http://0X7F000001/",
	"http://0x7f.0x0.0x0.0x1/",
	"http://0x7f.1/",
	"http://0x/",
	"http://017700000001/",
	"http://0177.0.0.01/",
	"http://127.0.0.1./",
	"http://256.256.256.256/",
	"http://1.2.3.4.5/",
	"http://example.0x7f/",
	"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
	"http://127\343\200\2020.0.1/",
	"http://[::1/",
	"http://[::1]x/",
	"http://[fe80::1%25eth0]/",
	"http://[api.example.com]/",
	"http://::1/",
	"http://api.example.com;x/",
	"http://api*.example.com/",
	"http://\xff\xfe.example.com/",
	"http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com/",
};

static void refuses_each_trick_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct target t = { 0 };

		if (target_parse_url(bad[i], strlen(bad[i]), &t, NULL) == 0)
			fail_msg("took '%s' as %s:%u", bad[i], t.host.text, t.port);
	}
}

static void refuses_a_nul_inside(void **state)
{
	static const char url[] = "http://api.example.com\0.evil.example.net/";
	struct target t;

	(void)state;
	assert_int_equal(target_parse_url(url, sizeof(url) - 1, &t, NULL), -ERR_INVALID);
}

static void refuses_names_beyond_253_and_takes_253(void **state)
{
	char name[256];
	struct host h;

	(void)state;
	memset(name, 'a', sizeof(name));
	for (size_t i = 50; i < sizeof(name); i += 51)
		name[i] = '.';
	assert_int_equal(host_parse(name, 253, &h, NULL), 0);
	assert_int_equal(host_parse(name, 254, &h, NULL), -ERR_INVALID);
	name[253] = '.';
	assert_int_equal(host_parse(name, 254, &h, NULL), 0);
	assert_int_equal(strlen(h.text), 253);
}

static void needs_the_port_in_a_tunnel(void **state)
{
	static const char *const refused[] = { "api.example.com",
					       "api.example.com:",
					       "api.example.com:+443",
					       "api.example.com: 443",
					       "https://api.example.com:443",
					       "a@api.example.com:443",
					       "" };
	struct target t;

	(void)state;
	assert_int_equal(target_parse_authority("[::1]:443", 9, &t, NULL), 0);
	assert_string_equal(t.host.text, "::1");
	assert_int_equal(target_parse_authority("API.example.com.:443", 20, &t, NULL), 0);
	assert_string_equal(t.host.text, "api.example.com");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (target_parse_authority(refused[i], strlen(refused[i]), &t, NULL) == 0)
			fail_msg("took '%s'", refused[i]);
}

static void makes_the_url_of_its_parts(void **state)
{
	static const char url[] = "HTTPS://[2606:2800::0:1]:8443/a?token=secret#f";
	struct target t;
	char *text;

	(void)state;
	assert_int_equal(target_parse_url(url, sizeof(url) - 1, &t, NULL), 0);
	text = target_url(&t);
	assert_string_equal(text, "https://[2606:2800::1]:8443/a?token=secret");
	free(text);
	text = target_path_redacted(&t);
	assert_string_equal(text, "/a?(redacted)");
	free(text);
	target_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brings_each_url_into_its_canonical_form),
		cmocka_unit_test(refuses_each_trick_of_the_table),
		cmocka_unit_test(refuses_a_nul_inside),
		cmocka_unit_test(refuses_names_beyond_253_and_takes_253),
		cmocka_unit_test(needs_the_port_in_a_tunnel),
		cmocka_unit_test(makes_the_url_of_its_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
