#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "client.h"

static void only_numbers_without_room_become_strings(void **state)
{
	static const struct {
		const char *json, *want;
	} rows[] = {
		{ "{}", "{}" },
		{ "[1,-2.5e3,true]", "[1,-2.5e3,true]" },
		{ "[9223372036854775807]", "[9223372036854775807]" },
		{ "[9223372036854775808]", "[\"9223372036854775808\"]" },
		{ "{\"a\":1e400,\"b\":-1e400}", "{\"a\":\"1e400\",\"b\":\"-1e400\"}" },
		{ "[\"1e400 \\\" 1e400\",1]", "[\"1e400 \\\" 1e400\",1]" },
		{ "[\"open", "[\"open" },
		{ "[\"open\\", "[\"open\\" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(4096);

		client_tame_numbers(rows[i].json, &b);
		assert_string_equal(buf_str(&b), rows[i].want);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_numbers_without_room_become_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
