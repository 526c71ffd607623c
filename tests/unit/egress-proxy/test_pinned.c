/* The operator's own resolution. */
#include "test.h"
#include "pinned.h"

static struct host name(const char *text)
{
	struct host h;

	assert_int_equal(host_parse(text, strlen(text), &h, NULL), 0);
	return h;
}

static void reads_every_form(void **state)
{
	struct pinned p;
	const struct pin *pins[4];
	struct host a = name("a.example.com");
	struct host v6 = name("v6.example.com");

	(void)state;
	assert_int_equal(pinned_parse(" a.example.com=127.0.0.1:8443 , A.Example.com:80=10.0.0.1,"
				      "v6.example.com=[::1]:9,v6.example.com=[::2]",
				      &p, NULL),
			 0);
	assert_int_equal(p.count, 4);
	assert_int_equal(pinned_find(&p, &a, 443, pins, 4), 1);
	assert_int_equal(pins[0]->to_port, 8443);
	assert_int_equal(pins[0]->address.bytes[0], 127);
	assert_int_equal(pinned_find(&p, &a, 80, pins, 4), 1);
	assert_int_equal(pins[0]->to_port, 0);
	assert_int_equal(pins[0]->address.bytes[0], 10);
	assert_int_equal(pinned_find(&p, &v6, 443, pins, 4), 2);
	assert_int_equal(pinned_find(&p, &v6, 443, pins, 1), 1);
	pinned_done(&p);
}

static void finds_nothing_for_other_names(void **state)
{
	struct pinned p;
	const struct pin *pins[1];
	struct host sub = name("x.a.example.com");

	(void)state;
	assert_int_equal(pinned_parse("a.example.com:443=127.0.0.1", &p, NULL), 0);
	assert_int_equal(pinned_find(&p, &sub, 443, pins, 1), 0);
	sub = name("a.example.com");
	assert_int_equal(pinned_find(&p, &sub, 80, pins, 1), 0);
	pinned_done(&p);
	assert_int_equal(pinned_parse(NULL, &p, NULL), 0);
	assert_int_equal(pinned_find(&p, &sub, 443, pins, 1), 0);
	pinned_done(&p);
}

static void refuses_bad_entries_and_names_them(void **state)
{
	static const char *const bad[] = { "a.example.com",
					   "=1.2.3.4",
					   "a.example.com=",
					   "a=b.example.com",
					   "a.example.com=1.2.3",
					   "a.example.com:0=1.2.3.4",
					   "a.example.com=1.2.3.4:x",
					   "a.example.com=1.2.3.4=5",
					   "*.example.com=1.2.3.4",
					   "a.example.com=::1",
					   "ok.example.com=1.2.3.4,,b" };
	struct pinned p;
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (pinned_parse(bad[i], &p, &err) == 0)
			fail_msg("took '%s'", bad[i]);
	assert_int_equal(pinned_parse("a.example.com=1.2.3", &p, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "a.example.com=1.2.3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_form),
		cmocka_unit_test(finds_nothing_for_other_names),
		cmocka_unit_test(refuses_bad_entries_and_names_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
