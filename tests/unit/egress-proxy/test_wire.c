/* Framing of streams. */
#include "test.h"
#include "wire.h"

/* Feeds at most step bytes at a time; stops at the first event. */
static enum wire_event feed(struct wire *w, const uint8_t **data, size_t *len, size_t step)
{
	while (*len > 0) {
		size_t room;
		void *space = wire_space(w, &room);
		size_t n = room < step ? room : step;
		enum wire_event e;

		assert_non_null(space);
		if (n > *len)
			n = *len;
		memcpy(space, *data, n);
		*data += n;
		*len -= n;
		e = wire_advance(w, n);
		if (e != WIRE_MORE)
			return e;
	}
	return WIRE_MORE;
}

static void reads_head_and_body_at_any_step(void **state)
{
	static const uint8_t bytes[] = "\x02\0\0\0{}hello\x01\0\0\0xrest";

	(void)state;
	for (size_t step = 1; step < sizeof(bytes); step++) {
		const uint8_t *p = bytes;
		size_t len = sizeof(bytes) - 1;
		struct wire w;

		wire_init(&w, WIRE_HEAD_MAX, 100);
		assert_int_equal(feed(&w, &p, &len, step), WIRE_HEAD);
		assert_memory_equal(w.head.data, "{}", 2);
		assert_int_equal(wire_expect_body(&w, 5), WIRE_MORE);
		assert_int_equal(feed(&w, &p, &len, step), WIRE_BODY);
		assert_int_equal(w.body.len, 5);
		assert_memory_equal(w.body.data, "hello", 5);
		wire_next(&w);
		assert_int_equal(feed(&w, &p, &len, step), WIRE_HEAD);
		assert_int_equal(w.head.len, 1);
		assert_int_equal(wire_expect_body(&w, 0), WIRE_BODY);
		assert_int_equal(len, 4); /* nothing of what follows was taken in */
		wire_done(&w);
	}
}

static void refuses_lengths_of_zero_and_beyond_the_ceiling(void **state)
{
	static const struct {
		uint8_t bytes[5];
		enum wire_event event;
	} rows[] = {
		{ { 0, 0, 0, 0 }, WIRE_BAD },
		{ { 1, 0, 1, 0 }, WIRE_BAD },
		{ { 0, 0, 1, 0 }, WIRE_MORE },
		{ { 0xff, 0xff, 0xff, 0xff }, WIRE_BAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t *p = rows[i].bytes;
		size_t len = 4;
		size_t room;
		struct wire w;

		wire_init(&w, WIRE_HEAD_MAX, 0);
		assert_int_equal(feed(&w, &p, &len, 4), rows[i].event);
		assert_true((wire_space(&w, &room) == NULL) == (rows[i].event == WIRE_BAD));
		wire_done(&w);
	}
}

static void takes_memory_for_what_arrived_not_for_what_was_announced(void **state)
{
	static const uint8_t head[] = "\x01\0\0\0x";
	const uint8_t *p = head;
	size_t len = 5;
	size_t room;
	struct wire w;

	(void)state;
	wire_init(&w, WIRE_HEAD_MAX, 10u * 1024 * 1024);
	assert_int_equal(feed(&w, &p, &len, 5), WIRE_HEAD);
	assert_int_equal(wire_expect_body(&w, 10u * 1024 * 1024), WIRE_MORE);
	assert_non_null(wire_space(&w, &room));
	assert_true(w.body.cap <= 128u * 1024);
	wire_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_head_and_body_at_any_step),
		cmocka_unit_test(refuses_lengths_of_zero_and_beyond_the_ceiling),
		cmocka_unit_test(takes_memory_for_what_arrived_not_for_what_was_announced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
