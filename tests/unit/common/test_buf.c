#include "test.h"
#include "buf.h"
#include "mem.h"

static void keeps_what_it_had_when_over(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	buf_add_str(&b, "12345678");
	assert_false(b.is_over);
	buf_add_char(&b, '9');
	assert_true(b.is_over);
	assert_string_equal(buf_str(&b), "12345678");
	buf_clear(&b);
	buf_add_str(&b, "ab");
	assert_string_equal(buf_str(&b), "ab");
	buf_done(&b);
}

static void ignores_everything_after_the_first_excess(void **state)
{
	struct buf b = BUF_INIT(4);

	(void)state;
	buf_add_str(&b, "12345");
	buf_add_str(&b, "1");
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void gives_empty_text_when_nothing_was_added(void **state)
{
	struct buf b = BUF_INIT(4);
	size_t len = 1;
	uint8_t *data;

	(void)state;
	assert_string_equal(buf_str(&b), "");
	data = buf_take(&b, &len);
	assert_non_null(data);
	assert_int_equal(len, 0);
	assert_int_equal(data[0], 0);
	free(data);
}

static void prints_and_grows_by_hand(void **state)
{
	struct buf b = BUF_INIT(100000);
	uint8_t *room;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%04d", i);
	assert_int_equal(b.len, 4000);
	assert_memory_equal(b.data + 3996, "0999", 5);
	room = buf_grow(&b, 3);
	memcpy(room, "xyz", 3);
	b.len += 3;
	assert_string_equal(buf_str(&b) + 4000, "xyz");
	buf_add_u32le(&b, 0x04030201);
	assert_memory_equal(b.data + 4003, "\1\2\3\4", 4);
	assert_null(buf_grow(&b, SIZE_MAX));
	buf_done(&b);
}

static void takes_leave_null_behind(void **state)
{
	char *p = mem_strdup("x"), *q = TAKE(p);

	(void)state;
	assert_null(p);
	assert_string_equal(q, "x");
	free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_it_had_when_over),
		cmocka_unit_test(ignores_everything_after_the_first_excess),
		cmocka_unit_test(gives_empty_text_when_nothing_was_added),
		cmocka_unit_test(prints_and_grows_by_hand),
		cmocka_unit_test(takes_leave_null_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
