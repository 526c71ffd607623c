/* Messages between supervisor and worker. */
#include "test.h"
#include "wire.h"

static void every_kind_comes_back_as_it_was(void **state)
{
	static struct wire_message messages[] = {
		{ .kind = WIRE_CONFIG,
		  .u.config = { .with_http = 1,
				.without = LAYER_SECCOMP,
				.runtime_dir = "/r",
				.module_dirs = "/a:/b" } },
		{ .kind = WIRE_TOOL,
		  .u.tool = { .flags = TOOL_WARM,
			      .memory_mb = 256,
			      .cpu_ms = 3,
			      .files = 4,
			      .threads = 5,
			      .scratch_mb = 6,
			      .shared_nproc = 7 } },
		{ .kind = WIRE_FORK, .u.fork = { .number = 1ull << 40 } },
		{ .kind = WIRE_READY,
		  .u.ready = { .layers = LAYER_SECCOMP, .landlock_abi = 7, .base_kb = 9 } },
		{ .kind = WIRE_FAILED, .u.failed = { .error_number = 13, .step = "namespaces" } },
		{ .kind = WIRE_BOUND, .u.bound = { .base_kb = 10, .bind_us = 11 } },
		{ .kind = WIRE_STARTED, .u.started = { .number = 3 } },
		{ .kind = WIRE_ENDED,
		  .u.ended = { .number = 4,
			       .how = WIRE_SIGNALED,
			       .code = 9,
			       .cpu_us = 1ull << 33,
			       .memory_kb = 12 } },
	};
	static struct wire_message back;
	uint8_t packet[WIRE_PACKET_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		size_t len = wire_pack(&messages[i], packet);

		assert_true(len > 2);
		assert_int_equal(wire_unpack(packet, len, &back), 0);
		assert_memory_equal(&back, &messages[i], sizeof(back));
	}
}

static void refuses_cut_and_lengthened_messages(void **state)
{
	static struct wire_message m = { .kind = WIRE_FAILED, .u.failed = { .step = "x" } }, back;
	uint8_t packet[WIRE_PACKET_MAX];
	size_t len = wire_pack(&m, packet);

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(wire_unpack(packet, cut, &back), -1);
	packet[len] = 0;
	assert_int_equal(wire_unpack(packet, len + 1, &back), -1);
}

static void refuses_foreign_version_and_kind(void **state)
{
	static struct wire_message back;
	uint8_t packet[] = { WIRE_VERSION, WIRE_STARTED, 1, 0, 0, 0, 0, 0, 0, 0 };

	(void)state;
	assert_int_equal(wire_unpack(packet, sizeof(packet), &back), 0);
	packet[0] = WIRE_VERSION - 1;
	assert_int_equal(wire_unpack(packet, sizeof(packet), &back), -1);
	packet[0] = WIRE_VERSION;
	packet[1] = WIRE_KIND_END;
	assert_int_equal(wire_unpack(packet, sizeof(packet), &back), -1);
	packet[1] = 0;
	assert_int_equal(wire_unpack(packet, sizeof(packet), &back), -1);
}

static void refuses_text_longer_than_its_room_or_with_nul(void **state)
{
	static struct wire_message back;
	uint8_t packet[WIRE_PACKET_MAX] = { WIRE_VERSION, WIRE_FAILED, 0, 0, 0, 0, 0, 1 };

	(void)state;
	memset(packet + 8, 'x', 256);
	assert_int_equal(wire_unpack(packet, 8 + 256, &back),
			 -1); /* 256 = WIRE_TEXT_MAX: no room for its NUL */
	packet[6] = 255;
	packet[7] = 0;
	assert_int_equal(wire_unpack(packet, 8 + 255, &back), 0);
	packet[100] = 0;
	assert_int_equal(wire_unpack(packet, 8 + 255, &back), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_comes_back_as_it_was),
		cmocka_unit_test(refuses_cut_and_lengthened_messages),
		cmocka_unit_test(refuses_foreign_version_and_kind),
		cmocka_unit_test(refuses_text_longer_than_its_room_or_with_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
