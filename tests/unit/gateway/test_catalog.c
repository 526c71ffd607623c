#include "gateway_test.h"

#include <stdlib.h>
#include "catalog.h"
#include "mem.h"

/* ---- building ---- */

static uint8_t hash_of_spec[CRYPTO_HASH_SIZE], hash_of_grant[CRYPTO_HASH_SIZE];

static ProtobufCBinaryData packed_permit(const char *id)
{
	PB(Permit) p = MCPBOX__V1__PERMIT__INIT;
	size_t len = 0;
	uint8_t *data;

	p.permit_id = (char *)(uintptr_t)id;
	p.not_after_unix_ms = 5000;
	data = msg_pack(&p.base, &len);
	return pb_bytes(data, len);
}

struct entry {
	const char *server, *name, *published, *input, *output, *annotations;
};

static int add(struct catalog *c, const struct entry *e)
{
	PB(MapTool) t = MCPBOX__V1__MAP_TOOL__INIT;
	PB(SignedPermit) permit = MCPBOX__V1__SIGNED_PERMIT__INIT;
	int r;

	crypto_hash("spec", 4, hash_of_spec);
	crypto_hash("grant", 5, hash_of_grant);
	t.tool_id = (char *)(uintptr_t)e->name;
	t.server_id = (char *)(uintptr_t)e->server;
	t.server_name = (char *)(uintptr_t)e->server;
	t.tool_name = (char *)(uintptr_t)e->name;
	t.published_name = (char *)(uintptr_t)(e->published ? e->published : e->name);
	t.input_schema_json = pb_text(e->input);
	t.output_schema_json = pb_text(e->output);
	t.annotations_json = pb_text(e->annotations);
	t.spec_hash = pb_bytes(hash_of_spec, sizeof(hash_of_spec));
	t.grant_hash = pb_bytes(hash_of_grant, sizeof(hash_of_grant));
	permit.permit = packed_permit("p1");
	t.permit = &permit;
	r = catalog_add_tool(c, &t);
	free(permit.permit.data);
	return r;
}

static void add_server(struct catalog *c, const char *name, bool running)
{
	PB(MapServer) s = MCPBOX__V1__MAP_SERVER__INIT;

	s.id = (char *)(uintptr_t)name;
	s.name = (char *)(uintptr_t)name;
	s.running = running;
	catalog_add_server(c, &s);
}

static struct catalog *sample(void)
{
	static const struct entry entries[] = {
		{ .server = "b", .name = "zeta" },
		{ .server = "a", .name = "mid", .annotations = "{\"readOnlyHint\":true}" },
		{ .server = "b", .name = "mid", .published = "b__mid" },
		{ .server = "off", .name = "gone" },
	};
	struct catalog *c = catalog_new("epoch", 5, 7);

	add_server(c, "a", true);
	add_server(c, "b", true);
	add_server(c, "off", false);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		assert_int_equal(add(c, &entries[i]), 0);
	catalog_seal(c);
	return c;
}

/* Names of a list, in order, each behind a space. */
static const char *names(const struct catalog *c, const char *server, const char *after,
			 size_t limit, const char **next)
{
	static char text[500];
	struct buf b = BUF_INIT(100000);
	char *p;
	size_t len = 0;

	*next = catalog_list(c, server, LIST_MODERN, after, limit, &b);
	text[0] = '\0';
	for (p = strstr((char *)(uintptr_t)buf_str(&b), "\"name\":\""); p;
	     p = strstr(p + 1, "\"name\":\""))
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %.*s",
					(int)strcspn(p + 8, "\""), p + 8);
	buf_done(&b);
	return text;
}

/* ---- claims ---- */

static void lists_in_order_without_tools_of_stopped_servers(void **state)
{
	struct catalog *c = sample();
	const char *next;

	(void)state;
	assert_string_equal(names(c, NULL, NULL, 100, &next), " b__mid mid zeta");
	assert_null(next);
	assert_string_equal(names(c, "b", NULL, 100, &next), " mid zeta");
	assert_string_equal(names(c, "off", NULL, 100, &next), "");
	assert_int_equal(catalog_tool_count(c), 3);
	catalog_unref(c);
}

static void pages_end_where_the_next_begins(void **state)
{
	struct catalog *c = sample();
	const char *next;

	(void)state;
	assert_string_equal(names(c, NULL, NULL, 2, &next), " b__mid mid");
	assert_string_equal(next, "mid");
	assert_string_equal(names(c, NULL, "mid", 2, &next), " zeta");
	assert_null(next);
	assert_string_equal(names(c, NULL, "mie", 2, &next),
			    " zeta"); /* the tool behind the cursor may be gone */
	catalog_unref(c);
}

static void finds_by_published_name_alias_and_server(void **state)
{
	struct catalog *c = sample();

	(void)state;
	assert_string_equal(catalog_find(c, NULL, "mid")->server_name, "a");
	assert_string_equal(catalog_find(c, NULL, "a__mid")->server_name, "a");
	assert_string_equal(catalog_find(c, NULL, "b__mid")->server_name, "b");
	assert_string_equal(catalog_find(c, "b", "mid")->server_name, "b");
	assert_null(catalog_find(c, "b", "b__mid"));
	assert_null(catalog_find(c, "a", "zeta"));
	assert_null(catalog_find(c, NULL, "gone"));
	assert_null(catalog_find(c, NULL, ""));
	assert_true(catalog_has_server(c, "a"));
	assert_false(catalog_has_server(c, "off"));
	assert_false(catalog_has_server(c, "none"));
	catalog_unref(c);
}

static void an_empty_catalog_answers(void **state)
{
	struct catalog *c = catalog_new(NULL, 0, 0);
	const char *next;

	(void)state;
	catalog_seal(c);
	assert_false(catalog_is_loaded(c));
	assert_null(catalog_find(c, NULL, "x"));
	assert_string_equal(names(c, NULL, NULL, 10, &next), "");
	assert_true(catalog_first_expiry(c) == INT64_MAX);
	catalog_unref(c);
}

static void view_hash_changes_with_the_view_alone(void **state)
{
	struct catalog *one = sample(), *same = sample(), *less = catalog_new("e", 1, 9);
	uint8_t a[CRYPTO_HASH_SIZE], b[CRYPTO_HASH_SIZE];

	(void)state;
	catalog_view_hash(one, NULL, a);
	catalog_view_hash(same, NULL, b);
	assert_memory_equal(a, b, sizeof(a));
	add_server(less, "a", true);
	add_server(less, "b", true);
	assert_int_equal(add(less, &(struct entry){ .server = "a",
						    .name = "mid",
						    .annotations = "{\"readOnlyHint\":true}" }),
			 0);
	catalog_seal(less);
	catalog_view_hash(less, NULL, b);
	assert_memory_not_equal(a, b, sizeof(a));
	catalog_view_hash(one, "a", a);
	catalog_view_hash(less, "a", b);
	assert_memory_equal(a, b, sizeof(a));
	catalog_view_hash(one, "b", a);
	catalog_view_hash(less, "b", b);
	assert_memory_not_equal(a, b, sizeof(a));
	catalog_unref(one);
	catalog_unref(same);
	catalog_unref(less);
}

static void blobs_are_asked_for_once_and_shared(void **state)
{
	const uint8_t *hashes[8];
	struct catalog *old = sample(), *fresh = sample();
	size_t len = 0;

	(void)state;
	assert_int_equal(catalog_missing(old, hashes, 8), 2);
	catalog_give_blob(old, "spec", 4);
	catalog_give_blob(old, "something else", 14);
	assert_int_equal(catalog_missing(old, hashes, 8), 1);
	assert_memory_equal(hashes[0], hash_of_grant, CRYPTO_HASH_SIZE);
	catalog_give_blob(old, "grant", 5);
	catalog_share_blobs(fresh, old);
	catalog_unref(old);
	assert_int_equal(catalog_missing(fresh, hashes, 8), 0);
	assert_memory_equal(blob_data(catalog_find(fresh, NULL, "mid")->spec, &len), "spec", 4);
	assert_int_equal(len, 4);
	catalog_unref(fresh);
}

static void unusable_tools_are_refused(void **state)
{
	struct catalog *c = catalog_new("e", 1, 1);

	(void)state;
	assert_int_equal(add(c, &(struct entry){ .server = "a", .name = "x", .input = "[]" }),
			 -ERR_INVALID);
	assert_int_equal(add(c, &(struct entry){ .server = "a", .name = "x", .input = "{" }),
			 -ERR_INVALID);
	assert_int_equal(add(c, &(struct entry){ .server = "a", .name = "x", .output = "5" }),
			 -ERR_INVALID);
	assert_int_equal(
		add(c, &(struct entry){ .server = "a", .name = "x", .annotations = "{,}" }),
		-ERR_INVALID);
	assert_int_equal(catalog_tool_count(c), 0);
	catalog_seal(c);
	catalog_unref(c);
}

static void hints_decide_what_may_be_repeated(void **state)
{
	struct catalog *c = catalog_new("e", 1, 1);

	(void)state;
	add_server(c, "a", true);
	assert_int_equal(add(c, &(struct entry){ .server = "a",
						 .name = "r",
						 .annotations = "{\"readOnlyHint\":true}" }),
			 0);
	assert_int_equal(add(c, &(struct entry){ .server = "a",
						 .name = "i",
						 .annotations = "{\"idempotentHint\":true}" }),
			 0);
	assert_int_equal(add(c, &(struct entry){ .server = "a",
						 .name = "n",
						 .annotations = "{\"readOnlyHint\":\"true\"}" }),
			 0);
	assert_int_equal(add(c, &(struct entry){ .server = "a", .name = "o" }), 0);
	catalog_seal(c);
	assert_true(catalog_find(c, NULL, "r")->may_repeat);
	assert_true(catalog_find(c, NULL, "i")->may_repeat);
	assert_false(catalog_find(c, NULL, "n")->may_repeat);
	assert_false(catalog_find(c, NULL, "o")->may_repeat);
	catalog_unref(c);
}

static const struct {
	const char *input, *output;
	enum list_form form;
	const char *holds, *lacks; /* either may be NULL */
} shapes[] = {
	{ NULL, NULL, LIST_MODERN,
	  "\"inputSchema\":{\"type\":\"object\",\"additionalProperties\":false}", "outputSchema" },
	{ "{ \"type\":\"object\", \"$defs\":{\"z\":{},\"a\":{}} }", NULL, LIST_MODERN,
	  "{\"type\":\"object\",\"$defs\":{\"z\":{},\"a\":{}}}", NULL },
	{ "{\"type\":\"object\",\"properties\":{\"x\":true,\"y\":false}}", NULL, LIST_MODERN,
	  "\"x\":true", NULL },
	{ "{\"type\":\"object\",\"properties\":{\"x\":true,\"y\":false}}", NULL, LIST_LEGACY,
	  "\"x\":{},\"y\":{\"not\":{}}", NULL },
	{ "{\"type\":\"object\",\"maximum\":1.50}", NULL, LIST_LEGACY, "\"maximum\":1.50", NULL },
	{ NULL, "{\"type\":\"object\"}", LIST_LEGACY, "\"outputSchema\":{\"type\":\"object\"}",
	  "result" },
	{ NULL, "{\"type\":\"array\"}", LIST_MODERN, "\"outputSchema\":{\"type\":\"array\"}",
	  NULL },
	{ NULL, "{\"type\":\"array\"}", LIST_LEGACY, "{\"result\":{\"type\":\"array\"}}", NULL },
	{ NULL, "{\"items\":{\"$ref\":\"#/$defs/a\"}}", LIST_LEGACY, NULL, "outputSchema" },
	{ NULL, "{\"type\":\"object\"}", LIST_OLD, NULL, "outputSchema" },
};

static void each_era_gets_its_shape(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct catalog *c = catalog_new("e", 1, 1);
		const char *text;

		add_server(c, "a", true);
		assert_int_equal(add(c, &(struct entry){ .server = "a",
							 .name = "t",
							 .input = shapes[i].input,
							 .output = shapes[i].output }),
				 0);
		catalog_seal(c);
		text = catalog_find(c, NULL, "t")->entry[shapes[i].form];
		if (shapes[i].holds && !strstr(text, shapes[i].holds))
			fail_msg("row %zu: %s", i, text);
		if (shapes[i].lacks && strstr(text, shapes[i].lacks))
			fail_msg("row %zu: %s", i, text);
		catalog_unref(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_in_order_without_tools_of_stopped_servers),
		cmocka_unit_test(pages_end_where_the_next_begins),
		cmocka_unit_test(finds_by_published_name_alias_and_server),
		cmocka_unit_test(an_empty_catalog_answers),
		cmocka_unit_test(view_hash_changes_with_the_view_alone),
		cmocka_unit_test(blobs_are_asked_for_once_and_shared),
		cmocka_unit_test(unusable_tools_are_refused),
		cmocka_unit_test(hints_decide_what_may_be_repeated),
		cmocka_unit_test(each_era_gets_its_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
