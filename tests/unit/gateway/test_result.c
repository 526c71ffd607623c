#include "gateway_test.h"

#include "result.h"

static const struct {
	const char *json;
	bool is_content;
} contents[] = {
	{ "[]", true },
	{ "[{\"type\":\"text\",\"text\":\"\"}]", true },
	{ "[{\"type\":\"image\",\"data\":\"AAAA\",\"mimeType\":\"image/png\"}]", true },
	{ "[{\"type\":\"audio\",\"data\":\"\",\"mimeType\":\"audio/wav\"}]", true },
	{ "[{\"type\":\"resource_link\",\"uri\":\"a:b\",\"name\":\"n\"}]", true },
	{ "[{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\",\"text\":\"t\"}}]", true },
	{ "[{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\",\"blob\":\"AAAA\"}}]", true },
	{ "[{\"type\":\"text\",\"text\":\"a\\u0000b\"}]", true },
	{ "", false },
	{ "{}", false },
	{ "null", false },
	{ "[5]", false },
	{ "[{}]", false },
	{ "[{\"type\":\"text\"}]", false },
	{ "[{\"type\":\"text\",\"text\":5}]", false },
	{ "[{\"type\":\"video\",\"data\":\"\"}]", false },
	{ "[{\"type\":\"image\",\"data\":\"AAAA\"}]", false },
	{ "[{\"type\":\"image\",\"data\":\"A\",\"mimeType\":\"image/png\"}]", false },
	{ "[{\"type\":\"resource\",\"resource\":{\"uri\":\"a:b\"}}]", false },
	{ "[{\"type\":\"resource\",\"resource\":{\"text\":\"t\"}}]", false },
	{ "[{\"type\":\"text\",\"text\":\"a\"}] ]", false },
};

static void content_blocks_have_what_their_type_needs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		if (result_is_content(contents[i].json, strlen(contents[i].json)) !=
		    contents[i].is_content)
			fail_msg("%s", contents[i].json);
	}
}

static void modern_results_name_their_type_and_server(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	result_add(&b, LIST_MODERN, "", "");
	assert_string_equal(
		buf_str(&b),
		"{\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":"
		"{\"name\":\"mcpbox\",\"version\":\"" BOX_VERSION "\"}}}");
	buf_done(&b);
}

static void legacy_results_are_bare(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	result_add(&b, LIST_LEGACY, "", "");
	buf_add_char(&b, ' ');
	result_add(&b, LIST_LEGACY, "\"a\":1", "");
	buf_add_char(&b, ' ');
	result_add(&b, LIST_OLD, "\"a\":1", "\"m\":2");
	buf_add_char(&b, ' ');
	result_add(&b, LIST_OLD, "", "\"m\":2");
	assert_string_equal(buf_str(&b),
			    "{} {\"a\":1} {\"a\":1,\"_meta\":{\"m\":2}} {\"_meta\":{\"m\":2}}");
	buf_done(&b);
}

/* The structured part of a result, or "" */
static const char *structured(enum list_form form, const struct catalog_tool *tool,
			      const char *value)
{
	static char text[200];
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	struct buf b = BUF_INIT(2000);
	const char *at, *end;

	done.outcome = MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK;
	done.content_json = pb_text("[]");
	done.structured_json = pb_text(value);
	result_add_done(&b, form, tool, &done);
	at = strstr(buf_str(&b), "\"structuredContent\":");
	end = strstr(buf_str(&b), ",\"isError\"");
	text[0] = '\0';
	if (at && end)
		(void)snprintf(text, sizeof(text), "%.*s", (int)(end - at - 20), at + 20);
	buf_done(&b);
	return text;
}

static void structured_content_follows_era_and_schema(void **state)
{
	const struct catalog_tool none = { 0 };
	const struct catalog_tool object = { .has_output_schema = true };
	const struct catalog_tool other = { .has_output_schema = true, .wraps_structured = true };

	(void)state;
	assert_string_equal(structured(LIST_MODERN, &none, "[1]"), "[1]");
	assert_string_equal(structured(LIST_MODERN, &other, "5"), "5");
	assert_string_equal(structured(LIST_LEGACY, &none, "{\"a\":1}"), "{\"a\":1}");
	assert_string_equal(structured(LIST_LEGACY, &none, "[1]"), "{\"result\":[1]}");
	assert_string_equal(structured(LIST_LEGACY, &none, ""), "");
	assert_string_equal(structured(LIST_LEGACY, &object, "{\"a\":1}"), "{\"a\":1}");
	/* What the listed schema wraps is wrapped, also when the value happens to be an object. */
	assert_string_equal(structured(LIST_LEGACY, &other, "{\"a\":1}"), "{\"result\":{\"a\":1}}");
	assert_string_equal(structured(LIST_OLD, &none, "{\"a\":1}"), "");
}

static void errors_have_no_structure_and_keep_their_detail(void **state)
{
	const struct catalog_tool tool = { 0 };
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	struct buf b = BUF_INIT(2000);

	(void)state;
	done.outcome = MCPBOX__V1__DONE__OUTCOME__OUTCOME_TIMEOUT;
	done.content_json = pb_text("[{\"type\":\"text\",\"text\":\"late\"}]");
	done.structured_json = pb_text("{}");
	done.stdout = pb_text("a\"b");
	done.duration_ms = 9;
	done.error_detail_json = pb_text("{\"line_number\":3}");
	result_add_done(&b, LIST_LEGACY, &tool, &done);
	assert_string_equal(buf_str(&b),
			    "{\"content\":[{\"type\":\"text\",\"text\":\"late\"}],\"isError\":true,"
			    "\"_meta\":{\"execution\":{\"stdout\":\"a\\\"b\",\"duration_ms\":9,"
			    "\"error_detail\":{\"line_number\":3}}}}");
	buf_done(&b);
}

static void a_result_that_is_no_content_becomes_an_error(void **state)
{
	const struct catalog_tool tool = { 0 };
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	struct buf b = BUF_INIT(2000);

	(void)state;
	done.outcome = MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK;
	done.content_json = pb_text("[{\"type\":\"text\"}]");
	result_add_done(&b, LIST_LEGACY, &tool, &done);
	assert_non_null(strstr(buf_str(&b), "\"isError\":true"));
	buf_clear(&b);
	done.content_json = pb_text("[]");
	done.structured_json = pb_text("{\"a\":");
	result_add_done(&b, LIST_LEGACY, &tool, &done);
	assert_non_null(strstr(buf_str(&b), "\"isError\":true"));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_blocks_have_what_their_type_needs),
		cmocka_unit_test(modern_results_name_their_type_and_server),
		cmocka_unit_test(legacy_results_are_bare),
		cmocka_unit_test(structured_content_follows_era_and_schema),
		cmocka_unit_test(errors_have_no_structure_and_keep_their_detail),
		cmocka_unit_test(a_result_that_is_no_content_becomes_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
