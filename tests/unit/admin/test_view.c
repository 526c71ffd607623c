#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "msg.h"
#include "view.h"

static void shows(const struct view *view, const ProtobufCMessage *m, const char *want)
{
	struct buf b = BUF_INIT(64 * 1024);

	view_write(view, m, &b);
	assert_string_equal(buf_str(&b), want);
	buf_done(&b);
}

static void list_becomes_items_with_renamed_keys(void **state)
{
	static const struct view_key keys[] = {
		{ "id", "id" },
		{ "version_number", "version" },
		{ "is_live", "is_live" },
		{ 0 },
	};
	const struct view view = {
		.kind = VIEW_LIST,
		.member = "versions",
		.keys = keys,
		.total = "total_versions",
	};
	PB(VersionBrief)
	one = MCPBOX__V1__VERSION_BRIEF__INIT, two = MCPBOX__V1__VERSION_BRIEF__INIT;
	PB(VersionBrief) * versions[] = { &one, &two };
	PB(ListToolVersionsReply) reply = MCPBOX__V1__LIST_TOOL_VERSIONS_REPLY__INIT;

	(void)state;
	one.id = (char[]){ "a" };
	one.version = 2;
	one.is_live = 1;
	two.id = (char[]){ "b" };
	two.version = 1;
	reply.versions = versions;
	reply.n_versions = 2;
	reply.total_versions = 2;
	reply.page = 1;
	reply.page_size = 50;
	reply.pages = 1;
	shows(&view, &reply.base,
	      "{\"items\":[{\"id\":\"a\",\"version_number\":2,\"is_live\":true},"
	      "{\"id\":\"b\",\"version_number\":1,\"is_live\":false}],"
	      "\"total\":2,\"page\":1,\"page_size\":50,\"pages\":1}");
}

static void empty_list_has_an_empty_array(void **state)
{
	const struct view view = { .kind = VIEW_LIST, .member = "servers" };
	PB(ListServersReply) reply = MCPBOX__V1__LIST_SERVERS_REPLY__INIT;

	(void)state;
	shows(&view, &reply.base,
	      "{\"items\":[],\"total\":0,\"page\":0,\"page_size\":0,\"pages\":0}");
}

static void member_stands_for_the_reply(void **state)
{
	const struct view view = { .kind = VIEW_MEMBER, .member = "request" };
	PB(NetworkRequest) request = MCPBOX__V1__NETWORK_REQUEST__INIT;
	PB(NetworkDecisionReply) reply = MCPBOX__V1__NETWORK_DECISION_REPLY__INIT;
	struct buf b = BUF_INIT(4096);

	(void)state;
	request.id = (char[]){ "r1" };
	reply.request = &request;
	view_write(&view, &reply.base, &b);
	assert_memory_equal(buf_str(&b), "{\"id\":\"r1\",", 11);
	buf_done(&b);
}

static void chosen_keys_only(void **state)
{
	static const struct view_key keys[] = { { "status", "status" },
						{ "message", "message" },
						{ 0 } };
	const struct view view = { .kind = VIEW_WHOLE, .keys = keys };
	PB(ServerStateReply) reply = MCPBOX__V1__SERVER_STATE_REPLY__INIT;

	(void)state;
	reply.success = 1;
	reply.status = (char[]){ "running" };
	reply.message = pb_text("it \"runs\"");
	shows(&view, &reply.base, "{\"status\":\"running\",\"message\":\"it \\\"runs\\\"\"}");
}

static void answer_over_the_ceiling_is_known(void **state)
{
	const struct view view = { .kind = VIEW_WHOLE };
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	struct buf b = BUF_INIT(8);

	(void)state;
	view_write(&view, &reply.base, &b);
	assert_true(b.is_over);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_becomes_items_with_renamed_keys),
		cmocka_unit_test(empty_list_has_an_empty_array),
		cmocka_unit_test(member_stands_for_the_reply),
		cmocka_unit_test(chosen_keys_only),
		cmocka_unit_test(answer_over_the_ceiling_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
