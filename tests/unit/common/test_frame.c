#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crypto.h"
#include "err.h"
#include "frame.h"
#include "msg.h"
#include "test_keys.h"

static struct keys *gateway, *registry, *executor;

static int setup(void **state)
{
	(void)state;
	gateway = test_keys(ROLE_GATEWAY, 1);
	registry = test_keys(ROLE_REGISTRY, 1);
	executor = test_keys(ROLE_EXECUTOR, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	keys_free(gateway);
	keys_free(registry);
	keys_free(executor);
	return 0;
}

static struct frame_header question(void)
{
	struct frame_header h = {
		.kind = FRAME_REQUEST,
		.msg = MSG_LIST_SERVERS,
		.key_generation = 1,
		.from = ROLE_GATEWAY,
		.to = ROLE_REGISTRY,
		.counter = 0x1122334455667788,
	};

	memset(h.from_boot, 0xaa, sizeof(h.from_boot));
	memset(h.to_boot, 0xbb, sizeof(h.to_boot));
	memset(h.request_id, 0xcc, sizeof(h.request_id));
	return h;
}

static void seal(const struct keys *keys, const struct frame_header *h, const char *text,
		 struct buf *frame)
{
	assert_int_equal(frame_seal(keys, h, text, strlen(text), frame), 0);
}

static int open_as(const struct keys *keys, const void *data, size_t len)
{
	struct buf payload = BUF_INIT(FRAME_MAX);
	struct frame_header h;
	int r = frame_open(keys, keys_role(keys), data, len, &h, &payload);

	buf_done(&payload);
	return r;
}

static void opens_what_was_sealed(void **state)
{
	struct frame_header in = question(), out;
	struct buf frame = BUF_INIT(FRAME_MAX), payload = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(gateway, &in, "hello", &frame);
	assert_int_equal(frame.len, FRAME_OVERHEAD + 5);
	assert_int_equal(frame_open(registry, ROLE_REGISTRY, frame.data, frame.len, &out, &payload),
			 0);
	assert_string_equal(buf_str(&payload), "hello");
	assert_int_equal(out.kind, in.kind);
	assert_int_equal(out.msg, in.msg);
	assert_int_equal(out.from, in.from);
	assert_int_equal(out.to, in.to);
	assert_true(out.counter == in.counter);
	assert_memory_equal(out.from_boot, in.from_boot, BOOT_ID_SIZE);
	assert_memory_equal(out.to_boot, in.to_boot, BOOT_ID_SIZE);
	assert_memory_equal(out.request_id, in.request_id, REQUEST_ID_SIZE);
	buf_done(&frame);
	buf_done(&payload);
}

static void header_lies_where_the_layout_says(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(gateway, &h, "", &frame);
	assert_memory_equal(frame.data, "MBX1\x01\x01\x02\x00\x01\x00\x00\x00\x02\x01\x00\x00", 16);
	assert_int_equal(frame.data[16], 0xaa);
	assert_int_equal(frame.data[32], 0xbb);
	assert_memory_equal(frame.data + 48, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_int_equal(frame.data[56], 0xcc);
	buf_done(&frame);
}

static void any_changed_byte_is_refused(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(gateway, &h, "payload", &frame);
	for (size_t i = 0; i < frame.len; i++) {
		frame.data[i] ^= 0x40;
		assert_int_not_equal(open_as(registry, frame.data, frame.len), 0);
		frame.data[i] ^= 0x40;
	}
	assert_int_equal(open_as(registry, frame.data, frame.len), 0);
	buf_done(&frame);
}

static void any_shortened_frame_is_refused(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(gateway, &h, "payload", &frame);
	for (size_t len = 0; len < frame.len; len++)
		assert_int_not_equal(open_as(registry, frame.data, len), 0);
	buf_done(&frame);
}

static void another_role_cannot_open_it(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(gateway, &h, "x", &frame);
	assert_int_equal(open_as(executor, frame.data, frame.len), -ERR_INVALID);
	buf_done(&frame);
}

static void a_role_cannot_speak_as_another(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	assert_int_equal(frame_seal(executor, &h, "x", 1, &frame), -ERR_DENIED);
	h.from = ROLE_EXECUTOR;
	seal(executor, &h, "x", &frame);
	frame.data[12] = ROLE_GATEWAY;
	assert_int_equal(open_as(registry, frame.data, frame.len), -ERR_DENIED);
	buf_done(&frame);
}

static void a_request_is_not_its_own_reply(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	/* Reflected to its sender it does not open: the key of the other direction is another. */
	seal(gateway, &h, "x", &frame);
	frame.data[12] = ROLE_REGISTRY;
	frame.data[13] = ROLE_GATEWAY;
	assert_int_equal(open_as(gateway, frame.data, frame.len), -ERR_DENIED);
	buf_done(&frame);
}

static void another_version_is_told_apart(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(gateway, &h, "x", &frame);
	frame.data[4] = 2;
	assert_int_equal(open_as(registry, frame.data, frame.len), -ERR_UNSUPPORTED);
	buf_done(&frame);
}

static void another_generation_needs_its_key(void **state)
{
	struct keys *next = test_keys(ROLE_GATEWAY, 2), *last = test_keys(ROLE_REGISTRY, 3);
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	h.key_generation = 2;
	assert_int_equal(frame_seal(gateway, &h, "x", 1, &frame), -ERR_DENIED);
	seal(next, &h, "x", &frame);
	assert_int_equal(open_as(registry, frame.data, frame.len), -ERR_DENIED);
	/* One generation back is still good, during a rotation. */
	assert_int_equal(open_as(last, frame.data, frame.len), 0);
	buf_done(&frame);
	keys_free(next);
	keys_free(last);
}

static struct frame_header news(uint16_t msg)
{
	struct frame_header h = question();

	h.kind = FRAME_NEWS;
	h.msg = msg;
	h.from = ROLE_REGISTRY;
	h.to = ROLE_NONE;
	memset(h.to_boot, 0, sizeof(h.to_boot));
	return h;
}

static void news_open_for_the_roles_of_their_topic(void **state)
{
	struct keys *admin = test_keys(ROLE_ADMIN, 1);
	struct frame_header status = news(MSG_NEWS_STATUS), audit = news(MSG_NEWS_AUDIT);
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	seal(registry, &status, "s", &frame);
	assert_int_equal(open_as(gateway, frame.data, frame.len), 0);
	assert_int_equal(open_as(admin, frame.data, frame.len), 0);
	buf_clear(&frame);
	seal(registry, &audit, "a", &frame);
	assert_int_equal(open_as(gateway, frame.data, frame.len), -ERR_DENIED);
	assert_int_equal(open_as(admin, frame.data, frame.len), 0);
	buf_done(&frame);
	keys_free(admin);
}

static void news_come_from_the_registry_only(void **state)
{
	struct frame_header h = news(MSG_NEWS_STATUS);
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	h.from = ROLE_GATEWAY;
	assert_int_equal(frame_seal(gateway, &h, "x", 1, &frame), -ERR_DENIED);
	buf_done(&frame);
}

static void payload_up_to_the_ceiling_and_not_beyond(void **state)
{
	struct frame_header h = question();
	size_t max = FRAME_MAX - FRAME_OVERHEAD;
	uint8_t *big = calloc(1, max + 1);
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	assert_non_null(big);
	assert_int_equal(frame_seal(gateway, &h, big, max + 1, &frame), -ERR_TOO_LARGE);
	assert_int_equal(frame_seal(gateway, &h, big, max, &frame), 0);
	assert_int_equal(open_as(registry, frame.data, frame.len), 0);
	free(big);
	buf_done(&frame);
}

static void a_counter_of_zero_is_refused(void **state)
{
	struct frame_header h = question();
	struct buf frame = BUF_INIT(FRAME_MAX);

	(void)state;
	h.counter = 0;
	seal(gateway, &h, "x", &frame);
	assert_int_equal(open_as(registry, frame.data, frame.len), -ERR_INVALID);
	buf_done(&frame);
}

static void role_names_read_back(void **state)
{
	(void)state;
	for (unsigned role = 1; role < ROLE_COUNT; role++)
		assert_int_equal(role_from_name(role_name((enum bus_role)role)), role);
	assert_int_equal(role_from_name("none"), ROLE_NONE);
	assert_int_equal(role_from_name("root"), ROLE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_what_was_sealed),
		cmocka_unit_test(header_lies_where_the_layout_says),
		cmocka_unit_test(any_changed_byte_is_refused),
		cmocka_unit_test(any_shortened_frame_is_refused),
		cmocka_unit_test(another_role_cannot_open_it),
		cmocka_unit_test(a_role_cannot_speak_as_another),
		cmocka_unit_test(a_request_is_not_its_own_reply),
		cmocka_unit_test(another_version_is_told_apart),
		cmocka_unit_test(another_generation_needs_its_key),
		cmocka_unit_test(news_open_for_the_roles_of_their_topic),
		cmocka_unit_test(news_come_from_the_registry_only),
		cmocka_unit_test(payload_up_to_the_ceiling_and_not_beyond),
		cmocka_unit_test(a_counter_of_zero_is_refused),
		cmocka_unit_test(role_names_read_back),
	};

	if (crypto_start() < 0)
		return 2;
	return cmocka_run_group_tests(tests, setup, teardown);
}
