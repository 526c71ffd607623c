#include "test.h"
#include "buf.h"
#include "err.h"
#include "mem.h"
#include "msg.h"
#include "msg_check.h"

static const ProtobufCMessageDescriptor *const server_type = &mcpbox__v1__server__descriptor;

static void knows_each_message_by_number(void **state)
{
	(void)state;
	assert_string_equal(msg_row(MSG_CREATE_SERVER)->name, "CREATE_SERVER");
	assert_ptr_equal(msg_row(MSG_EXECUTE)->request, &mcpbox__v1__execute_request__descriptor);
	assert_ptr_equal(msg_row(MSG_WHO_AM_I)->reply, &mcpbox__v1__who_am_ireply__descriptor);
	assert_null(msg_row(0));
	assert_null(msg_row(65535));
}

static void unpacks_what_it_packed(void **state)
{
	PB(Server) server = MCPBOX__V1__SERVER__INIT;
	BOX_CLEANUP(msg_freep) PB(Server) *again = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *data = NULL;
	size_t len;

	(void)state;
	server.name = (char *)"weather";
	server.tool_count = 3;
	data = msg_pack(&server.base, &len);
	assert_int_equal(msg_unpack(server_type, data, len, (ProtobufCMessage **)&again), 0);
	assert_string_equal(again->name, "weather");
	assert_int_equal(again->tool_count, 3);
}

static void takes_no_bytes_for_a_default_message(void **state)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;

	(void)state;
	assert_int_equal(msg_unpack(server_type, NULL, 0, &m), 0);
	assert_string_equal(((PB(Server) *)m)->name, "");
}

static void judges_the_wire(void **state)
{
	static const struct {
		const char *what, *data;
		size_t len;
		bool is_good;
	} rows[] = {
		{ "a name",
		  "\x12\x02"
		  "ab",
		  4, true },
		{ "a hidden NUL",
		  "\x12\x03"
		  "a\0b",
		  5, false },
		{ "a control byte",
		  "\x12\x02"
		  "a\n",
		  4, false },
		{ "bad UTF-8", "\x12\x01\xff", 3, false },
		{ "a NUL in bytes",
		  "\x1a\x03"
		  "a\0b",
		  5, true },
		{ "a string cut off",
		  "\x12\x05"
		  "ab",
		  4, false },
		{ "a string as number", "\x10\x01", 2, false },
		{ "a number as string",
		  "\x32\x01"
		  "a",
		  3, false },
		{ "a nested name",
		  "\x4a\x04\x12\x02"
		  "ab",
		  6, true },
		{ "a nested hidden NUL",
		  "\x4a\x04\x12\x02"
		  "a\0",
		  6, false },
		{ "an unknown field",
		  "\xf8\x3f\x01\x12\x01"
		  "a",
		  6, true },
		{ "a group", "\x13", 1, false },
		{ "field number 0", "\x02\x00", 2, false },
		{ "a varint without end", "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 12,
		  false },
		{ "a varint beyond 64 bits", "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11,
		  false },
		{ "a length beyond the end", "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((msg_check(server_type, rows[i].data, rows[i].len) == 0) != rows[i].is_good)
			fail_msg("misjudged: %s", rows[i].what);
}

static void refuses_unknown_enum_numbers(void **state)
{
	static const ProtobufCMessageDescriptor *const type = &mcpbox__v1__permit__descriptor;

	(void)state;
	assert_int_equal(msg_check(type, "\x40\x02", 2), 0);
	assert_int_equal(msg_check(type, "\x40\x63", 2), -ERR_INVALID);
	assert_int_equal(msg_check(type, "\x3a\x02\x02\x03", 4), 0); /* audience, packed */
	assert_int_equal(msg_check(type, "\x3a\x02\x02\x63", 4), -ERR_INVALID);
	assert_int_equal(msg_check(type, "\x40\x81\x80\x80\x80\x10", 6),
			 -ERR_INVALID); /* 2^32 + 1 */
}

static void bounds_strings(void **state)
{
	char data[3 + MSG_STRING_MAX + 1];

	(void)state;
	memset(data, 'a', sizeof(data));
	memcpy(data, "\x12\x80\x04", 3);
	assert_int_equal(msg_check(server_type, data, 3 + MSG_STRING_MAX), 0);
	memcpy(data, "\x12\x81\x04", 3);
	assert_int_equal(msg_check(server_type, data, sizeof(data)), -ERR_INVALID);
}

/* 100 000 empty submessages: 200 kB that would become about 10 MB. */
static void refuses_submessage_bombs(void **state)
{
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	ProtobufCMessage *m = NULL;

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_add(&b, "\x4a\x00", 2);
	assert_int_equal(msg_unpack(server_type, b.data, b.len, &m), -ERR_TOO_LARGE);
	assert_null(m);
}

static void refuses_more_than_a_frame_can_hold(void **state)
{
	BOX_CLEANUP(mem_freep) uint8_t *data = mem_alloc(MSG_MAX + 1);
	ProtobufCMessage *m;

	(void)state;
	assert_int_equal(msg_unpack(server_type, data, MSG_MAX + 1, &m), -ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_each_message_by_number),
		cmocka_unit_test(unpacks_what_it_packed),
		cmocka_unit_test(takes_no_bytes_for_a_default_message),
		cmocka_unit_test(judges_the_wire),
		cmocka_unit_test(refuses_unknown_enum_numbers),
		cmocka_unit_test(bounds_strings),
		cmocka_unit_test(refuses_submessage_bombs),
		cmocka_unit_test(refuses_more_than_a_frame_can_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
