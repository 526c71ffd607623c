#include "test.h"
#include "json_proto.h"
#include "mem.h"
#include "msg.h"

typedef PB(CreateToolRequest) create_tool;

static int read_as(const ProtobufCMessageDescriptor *type, const char *text, void *ret,
		   struct err *err)
{
	return json_to_msg(type, text, strlen(text), NULL, ret, err);
}

static void reads_each_kind_of_field(void **state)
{
	BOX_CLEANUP(msg_freep) create_tool *m = NULL;
	struct err err = { 0 };
	static const char text[] =
		"{\"server_id\":\"s1\",\"name\":\"add\",\"python_code\":\"async def "
		"main():\\n\\treturn 1\","
		"\"timeout_ms\":5000,\"limits\":{ \"memory_mb\" : 1.50 },\"title\":null,"
		"\"code_dependencies\":[\"json\",\"re\"]}";

	(void)state;
	assert_int_equal(read_as(&mcpbox__v1__create_tool_request__descriptor, text, &m, &err), 0);
	assert_string_equal(m->server_id, "s1");
	assert_memory_equal(m->python_code.data, "async def main():\n\treturn 1", 27);
	assert_int_equal(m->timeout_ms_opt_case,
			 MCPBOX__V1__CREATE_TOOL_REQUEST__TIMEOUT_MS_OPT_TIMEOUT_MS);
	assert_int_equal(m->timeout_ms, 5000);
	assert_int_equal(m->limits_json.len, 22);
	assert_memory_equal(m->limits_json.data, "{ \"memory_mb\" : 1.50 }", 22);
	assert_int_equal(m->title.len, 0);
	assert_int_equal(m->n_code_dependencies, 2);
	assert_string_equal(m->code_dependencies[1], "re");
}

static void refuses_by_field(void **state)
{
	static const struct {
		const char *text, *field;
	} rows[] = {
		{ "{\"nmae\":\"x\"}", "nmae" },
		{ "{\"name\":1}", "name" },
		{ "{\"name\":\"a\\nb\"}", "name" },
		{ "{\"name\":\"a\",\"name\":\"b\"}", "name" },
		{ "{\"python_code\":[]}", "python_code" },
		{ "{\"python_code\":\"a\\u0000b\"}", "python_code" },
		{ "{\"timeout_ms\":\"5\"}", "timeout_ms" },
		{ "{\"timeout_ms\":-1}", "timeout_ms" },
		{ "{\"timeout_ms\":1.5}", "timeout_ms" },
		{ "{\"timeout_ms\":4294967296}", "timeout_ms" },
		{ "{\"timeout_ms\":true}", "timeout_ms" },
		{ "{\"code_dependencies\":\"json\"}", "code_dependencies" },
		{ "{\"code_dependencies\":[1]}", "code_dependencies" },
		{ "{\"code_dependencies\":[\"a\",null]}", "code_dependencies" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BOX_CLEANUP(msg_freep) create_tool *m = NULL;
		struct err err = { 0 };

		assert_int_equal(read_as(&mcpbox__v1__create_tool_request__descriptor, rows[i].text,
					 &m, &err),
				 -ERR_INVALID);
		assert_string_equal(err.field, rows[i].field);
		assert_non_null(strstr(err.text, rows[i].field));
	}
}

static void refuses_what_is_no_object(void **state)
{
	static const char *const rows[] = { "[]", "1", "{", "{}x", "null" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		create_tool *m = NULL;

		assert_true(read_as(&mcpbox__v1__create_tool_request__descriptor, rows[i], &m,
				    NULL) < 0);
		assert_null(m);
	}
}

static void takes_no_text_for_an_empty_object(void **state)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;

	(void)state;
	assert_int_equal(
		json_to_msg(&mcpbox__v1__create_tool_request__descriptor, NULL, 0, NULL, &m, NULL),
		0);
	assert_string_equal(((create_tool *)m)->name, "");
}

static void passes_over_the_keys_it_is_told_to(void **state)
{
	static const char *const ignore[] = { "revision", NULL };
	static const char text[] = "{\"revision\":{},\"name\":\"a\"}";
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;

	(void)state;
	assert_int_equal(json_to_msg(&mcpbox__v1__create_tool_request__descriptor, text,
				     sizeof(text) - 1, ignore, &m, NULL),
			 0);
	assert_string_equal(((create_tool *)m)->name, "a");
}

static void reads_nested_and_repeated_messages(void **state)
{
	BOX_CLEANUP(msg_freep) PB(Status) *m = NULL;
	BOX_CLEANUP(msg_freep) PB(Status) *none = NULL;
	static const char text[] =
		"{\"registry\":\"2026-11-22T16:00:00.123Z\",\"instances\":[{\"role\":\"gateway\","
		"\"instance\":\"gateway-1\",\"draining\":true},{\"role\":\"egress\",\"layers\":[1, "
		"2]}],"
		"\"audit_seq\":18446744073709551615}";
	struct err err = { 0 };

	(void)state;
	assert_int_equal(read_as(&mcpbox__v1__status__descriptor, text, &m, &err), 0);
	assert_int_equal(m->n_instances, 2);
	assert_int_equal(m->instances[0]->role, MCPBOX__V1__ROLE__ROLE_GATEWAY);
	assert_true(m->instances[0]->draining);
	assert_int_equal(m->instances[1]->role, MCPBOX__V1__ROLE__ROLE_EGRESS);
	assert_memory_equal(m->instances[1]->layers_json.data, "[1, 2]", 6);
	assert_true(m->registry_unix_ms == 1795363200123);
	assert_true(m->audit_seq == UINT64_MAX);

	assert_int_equal(
		read_as(&mcpbox__v1__status__descriptor,
			"{\"instances\":[{\"role\":\"gateway\"},{\"role\":\"unspecified\"}]}",
			&none, &err),
		-ERR_INVALID);
	assert_string_equal(err.field, "role");
}

static void writes_what_it_read(void **state)
{
	static const char text[] =
		"{\"server_id\":\"s1\",\"name\":\"add\",\"python_code\":\"\",\"description\":"
		"\"\xc3\xa9\\\"\","
		"\"timeout_ms\":null,\"limits\":{\"memory_mb\":1.50},\"input_schema\":null,"
		"\"output_schema\":null,\"title\":\"\",\"annotations\":null,"
		"\"code_dependencies\":[\"json\"]";
	BOX_CLEANUP(msg_freep) create_tool *m = NULL;
	BOX_CLEANUP(mem_freep) char *whole = mem_printf("%s}", text);
	struct buf out BOX_CLEANUP(buf_done) = BUF_INIT(4096);

	(void)state;
	assert_int_equal(read_as(&mcpbox__v1__create_tool_request__descriptor, whole, &m, NULL), 0);
	msg_to_json(&m->base, 0, &out);
	assert_memory_equal(buf_str(&out), text, sizeof(text) - 1);
	assert_int_equal(json_scan(out.data, out.len, NULL), 0);
}

static void indents_as_python_does(void **state)
{
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	PB(Empty) empty = MCPBOX__V1__EMPTY__INIT;
	struct buf out BOX_CLEANUP(buf_done) = BUF_INIT(4096);

	(void)state;
	reply.success = true;
	reply.message = pb_text("done");
	msg_to_json(&reply.base, 2, &out);
	assert_string_equal(buf_str(&out), "{\n  \"success\": true,\n  \"message\": \"done\"\n}");
	buf_clear(&out);
	msg_to_json(&empty.base, 2, &out);
	assert_string_equal(buf_str(&out), "{}");
}

static void writes_times_hashes_enums_and_absence(void **state)
{
	PB(Instance) instance = MCPBOX__V1__INSTANCE__INIT;
	PB(Instance) * list[] = { &instance };
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	PB(Blob) blob = MCPBOX__V1__BLOB__INIT;
	PB(Server) server = MCPBOX__V1__SERVER__INIT;
	PB(Permit) permit = MCPBOX__V1__PERMIT__INIT;
	struct buf out BOX_CLEANUP(buf_done) = BUF_INIT(8192);

	(void)state;
	instance.role = MCPBOX__V1__ROLE__ROLE_EXECUTOR;
	status.instances = list;
	status.n_instances = 1;
	status.registry_unix_ms = 1795363200123;
	msg_to_json(&status.base, 0, &out);
	assert_non_null(strstr(buf_str(&out), "\"registry\":\"2026-11-22T16:00:00.123Z\""));
	assert_non_null(strstr(buf_str(&out), "\"role\":\"executor\""));
	assert_non_null(strstr(buf_str(&out), "\"since\":null"));
	assert_non_null(strstr(buf_str(&out), "\"revoked_permit_ids\":[]"));

	buf_clear(&out);
	permit.spec_hash = pb_bytes("\x01\xff", 2);
	permit.purpose = MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE;
	msg_to_json(&permit.base, 0, &out);
	assert_non_null(strstr(buf_str(&out), "\"spec_hash\":\"01ff\",\"grant_hash\":null"));
	assert_non_null(strstr(buf_str(&out), "\"purpose\":\"live\""));

	buf_clear(&out);
	msg_to_json(&server.base, 0, &out);
	assert_non_null(strstr(buf_str(&out), "\"description\":null"));
	assert_non_null(strstr(buf_str(&out), "\"pending_requests\":null"));

	buf_clear(&out);
	blob.data = pb_bytes("\xff", 1);
	msg_to_json(&blob.base, 0, &out);
	assert_non_null(strstr(buf_str(&out), "\"data\":\"\xef\xbf\xbd\""));
}

static void sets_scalars_from_paths_and_queries(void **state)
{
	BOX_CLEANUP(msg_freep) PB(UpdateServerRequest) *m = NULL;
	BOX_CLEANUP(msg_freep) PB(ListServersRequest) *list = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(read_as(&mcpbox__v1__update_server_request__descriptor,
				 "{\"server_id\":\"from body\"}", &m, NULL),
			 0);
	assert_int_equal(json_set_from_text(&m->base, "server_id", "from path", NULL), 0);
	assert_string_equal(m->server_id, "from path");
	assert_int_equal(json_set_from_text(&m->base, "name", "n", NULL), 0);
	assert_int_equal(json_set_from_text(&m->base, "name", "n2", NULL), 0);
	assert_string_equal(m->name, "n2");
	assert_int_equal(m->name_opt_case, MCPBOX__V1__UPDATE_SERVER_REQUEST__NAME_OPT_NAME);
	assert_int_equal(json_set_from_text(&m->base, "revision", "-7", NULL), 0);
	assert_true(m->revision == -7);

	assert_int_equal(read_as(&mcpbox__v1__list_servers_request__descriptor, "{}", &list, NULL),
			 0);
	assert_int_equal(json_set_from_text(&list->base, "page", "2", NULL), 0);
	assert_int_equal(list->page, 2);
	assert_int_equal(json_set_from_text(&list->base, "page", "two", &err), -ERR_INVALID);
	assert_string_equal(err.field, "page");
	assert_int_equal(json_set_from_text(&list->base, "pages", "2", &err), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_each_kind_of_field),
		cmocka_unit_test(refuses_by_field),
		cmocka_unit_test(refuses_what_is_no_object),
		cmocka_unit_test(takes_no_text_for_an_empty_object),
		cmocka_unit_test(passes_over_the_keys_it_is_told_to),
		cmocka_unit_test(reads_nested_and_repeated_messages),
		cmocka_unit_test(writes_what_it_read),
		cmocka_unit_test(indents_as_python_does),
		cmocka_unit_test(writes_times_hashes_enums_and_absence),
		cmocka_unit_test(sets_scalars_from_paths_and_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
