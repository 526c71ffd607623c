/* Address classes: each refused range has a row, and so have its nearest allowed neighbours. */
#include "test.h"
#include "address.h"
#include "err.h"

struct row {
	const char *text;
	enum address_class class;
};

static const struct row rows[] = {
	{ "0.0.0.0", ADDRESS_UNSPECIFIED },
	{ "0.255.255.255", ADDRESS_UNSPECIFIED },
	{ "1.0.0.0", ADDRESS_GLOBAL },
	{ "9.255.255.255", ADDRESS_GLOBAL },
	{ "10.0.0.0", ADDRESS_PRIVATE },
	{ "10.255.255.255", ADDRESS_PRIVATE },
	{ "11.0.0.0", ADDRESS_GLOBAL },
	{ "100.63.255.255", ADDRESS_GLOBAL },
	{ "100.64.0.0", ADDRESS_SHARED },
	{ "100.100.100.200", ADDRESS_METADATA },
	{ "100.127.255.255", ADDRESS_SHARED },
	{ "100.128.0.0", ADDRESS_GLOBAL },
	{ "126.255.255.255", ADDRESS_GLOBAL },
	{ "127.0.0.0", ADDRESS_LOOPBACK },
	{ "127.255.255.255", ADDRESS_LOOPBACK },
	{ "128.0.0.0", ADDRESS_GLOBAL },
	{ "168.63.129.15", ADDRESS_GLOBAL },
	{ "168.63.129.16", ADDRESS_METADATA },
	{ "169.253.255.255", ADDRESS_GLOBAL },
	{ "169.254.0.0", ADDRESS_LINK_LOCAL },
	{ "169.254.169.254", ADDRESS_METADATA },
	{ "169.254.170.2", ADDRESS_METADATA },
	{ "169.255.0.0", ADDRESS_GLOBAL },
	{ "172.15.255.255", ADDRESS_GLOBAL },
	{ "172.16.0.0", ADDRESS_PRIVATE },
	{ "172.31.255.255", ADDRESS_PRIVATE },
	{ "172.32.0.0", ADDRESS_GLOBAL },
	{ "191.255.255.255", ADDRESS_GLOBAL },
	{ "192.0.0.8", ADDRESS_RESERVED },
	{ "192.0.0.192", ADDRESS_METADATA },
	{ "192.0.1.0", ADDRESS_GLOBAL },
	{ "192.0.2.1", ADDRESS_RESERVED },
	{ "192.0.3.0", ADDRESS_GLOBAL },
	{ "192.88.98.255", ADDRESS_GLOBAL },
	{ "192.88.99.1", ADDRESS_RESERVED },
	{ "192.167.255.255", ADDRESS_GLOBAL },
	{ "192.168.0.0", ADDRESS_PRIVATE },
	{ "192.169.0.0", ADDRESS_GLOBAL },
	{ "198.17.255.255", ADDRESS_GLOBAL },
	{ "198.18.0.0", ADDRESS_RESERVED },
	{ "198.19.255.255", ADDRESS_RESERVED },
	{ "198.20.0.0", ADDRESS_GLOBAL },
	{ "198.51.100.7", ADDRESS_RESERVED },
	{ "203.0.113.7", ADDRESS_RESERVED },
	{ "203.0.114.0", ADDRESS_GLOBAL },
	{ "223.255.255.255", ADDRESS_GLOBAL },
	{ "224.0.0.1", ADDRESS_MULTICAST },
	{ "239.255.255.255", ADDRESS_MULTICAST },
	{ "240.0.0.1", ADDRESS_RESERVED },
	{ "255.255.255.255", ADDRESS_RESERVED },

	{ "::", ADDRESS_UNSPECIFIED },
	{ "::1", ADDRESS_LOOPBACK },
	{ "::2", ADDRESS_EMBEDDED },
	{ "::127.0.0.1", ADDRESS_EMBEDDED },
	{ "::ffff:127.0.0.1", ADDRESS_EMBEDDED },
	{ "::ffff:93.184.215.14", ADDRESS_EMBEDDED },
	{ "::ffff:0:127.0.0.1", ADDRESS_RESERVED },
	{ "64:ff9b::a00:5", ADDRESS_EMBEDDED },
	{ "64:ff9b:1::a00:5", ADDRESS_EMBEDDED },
	{ "100::1", ADDRESS_RESERVED },
	{ "1fff:ffff::", ADDRESS_RESERVED },
	{ "2000::", ADDRESS_GLOBAL },
	{ "2001:0:4136:e378:8000:63bf:f5ff:fffa", ADDRESS_EMBEDDED },
	{ "2001:20::1", ADDRESS_RESERVED },
	{ "2001:1ff:ffff::", ADDRESS_RESERVED },
	{ "2001:200::", ADDRESS_GLOBAL },
	{ "2001:db7:ffff::", ADDRESS_GLOBAL },
	{ "2001:db8::1", ADDRESS_RESERVED },
	{ "2001:db9::", ADDRESS_GLOBAL },
	{ "2002:7f00:1::", ADDRESS_EMBEDDED },
	{ "2003::", ADDRESS_GLOBAL },
	{ "2606:2800:21f:cb07:6820:80da:af6b:8b2c", ADDRESS_GLOBAL },
	{ "2606:2800::5efe:a00:5", ADDRESS_EMBEDDED },
	{ "2606:2800::200:5efe:a00:5", ADDRESS_EMBEDDED },
	{ "3ffe:ffff::", ADDRESS_GLOBAL },
	{ "3fff::1", ADDRESS_RESERVED },
	{ "3fff:1000::", ADDRESS_GLOBAL },
	{ "3fff:fff::1", ADDRESS_RESERVED },
	{ "4000::", ADDRESS_RESERVED },
	{ "5f00::1", ADDRESS_RESERVED },
	{ "fc00::1", ADDRESS_PRIVATE },
	{ "fd00::1", ADDRESS_PRIVATE },
	{ "fd00:ec2::254", ADDRESS_METADATA },
	{ "fd20:ce::254", ADDRESS_METADATA },
	{ "fe00::1", ADDRESS_RESERVED },
	{ "fe80::1", ADDRESS_LINK_LOCAL },
	{ "fec0::1", ADDRESS_RESERVED },
	{ "ff02::1", ADDRESS_MULTICAST },
};

static struct address parse(const char *text)
{
	struct address a;
	size_t len = strlen(text);
	int r = strchr(text, ':') ? address_parse_v6(text, len, &a)
				  : address_parse_v4(text, len, &a);

	assert_int_equal(r, 0);
	return a;
}

static void puts_each_address_into_its_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address a = parse(rows[i].text);

		if (address_classify(&a) != rows[i].class)
			fail_msg("%s is taken for %s", rows[i].text,
				 address_class_name(address_classify(&a)));
	}
}

static void allows_private_only_with_the_grant_and_nothing_else_ever(void **state)
{
	(void)state;
	assert_true(address_class_is_allowed(ADDRESS_GLOBAL, false));
	assert_false(address_class_is_allowed(ADDRESS_PRIVATE, false));
	assert_true(address_class_is_allowed(ADDRESS_PRIVATE, true));
	for (int c = ADDRESS_LOOPBACK; c < ADDRESS_CLASS_COUNT; c++)
		assert_false(address_class_is_allowed((enum address_class)c, true));
}

static void refuses_an_address_without_family(void **state)
{
	struct address none = { 0 };

	(void)state;
	assert_int_equal(address_classify(&none), ADDRESS_RESERVED);
}

static void takes_only_strict_dotted_quads(void **state)
{
	static const char *const bad[] = { "",           "127.1",    "0177.0.0.1", "127.0.0.01",
					   "0x7f.0.0.1", "1.2.3.4.", "256.1.1.1",  "1.2.3.4 ",
					   " 1.2.3.4",   "1.2.3.-4", "1.2.3",      "1.2.3.4.5" };
	struct address a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (address_parse_v4(bad[i], strlen(bad[i]), &a) == 0)
			fail_msg("took '%s'", bad[i]);
	assert_int_equal(address_parse_v4("1.2.3.4\0x", 9, &a), -ERR_INVALID);
}

static void refuses_zones_and_brackets_in_v6(void **state)
{
	static const char *const bad[] = { "fe80::1%eth0", "[::1]", "::1::", "1:2:3:4:5:6:7:8:9",
					   "::g" };
	struct address a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (address_parse_v6(bad[i], strlen(bad[i]), &a) == 0)
			fail_msg("took '%s'", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_each_address_into_its_class),
		cmocka_unit_test(allows_private_only_with_the_grant_and_nothing_else_ever),
		cmocka_unit_test(refuses_an_address_without_family),
		cmocka_unit_test(takes_only_strict_dotted_quads),
		cmocka_unit_test(refuses_zones_and_brackets_in_v6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
