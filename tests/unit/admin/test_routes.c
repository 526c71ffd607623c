#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "api.h"
#include "describe.h"
#include "json_field.h"
#include "mem.h"
#include "routes.h"

/* Calls fn for each brace segment's name. */
static void each_brace(const char *pattern, void (*fn)(const struct route *, const char *),
		       const struct route *route)
{
	for (const char *p = strchr(pattern, '{'); p; p = strchr(p + 1, '{')) {
		BOX_CLEANUP(mem_freep) char *name = mem_strndup(p + 1, strcspn(p + 1, "}."));

		fn(route, name);
	}
}

static void must_be_field(const struct route *route, const char *name)
{
	if (!protobuf_c_message_descriptor_get_field_by_name(api_request_type(route), name))
		fail_msg("%s: the question has no field %s", route->pattern, name);
}

static void path_parameters_are_fields_of_the_question(void **state)
{
	(void)state;
	for (size_t i = 0; i < routes_count(); i++)
		if (routes_at(i)->question)
			each_brace(routes_at(i)->pattern, must_be_field, routes_at(i));
}

static void must_show(const struct route *route, const ProtobufCMessageDescriptor *reply)
{
	const struct view *view = route->view;

	if (view && view->member &&
	    !protobuf_c_message_descriptor_get_field_by_name(reply, view->member))
		fail_msg("%s: the reply has no field %s", route->pattern, view->member);
}

static void views_fit_the_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < routes_count(); i++) {
		const struct route *route = routes_at(i);
		uint16_t shown = route->then ? route->then : route->question;

		if (shown)
			must_show(route, msg_row(shown)->reply);
	}
}

/* Reads are free of effects, so that links and prefetching are harmless. */
static void get_never_changes_anything(void **state)
{
	static const char *const reads[] = { "GET_", "LIST_", "AUTH_STATUS", "WHO_AM_I",
					     "COMPARE_" };

	(void)state;
	for (size_t i = 0; i < routes_count(); i++) {
		const struct route *route = routes_at(i);
		bool is_read = route->question == 0;

		for (size_t k = 0; !is_read && k < ARRAY_LEN(reads); k++)
			is_read = strncmp(msg_row(route->question)->name, reads[k],
					  strlen(reads[k])) == 0;
		if (strcmp(route->method, "GET") == 0 && !is_read)
			fail_msg("GET %s asks %s", route->pattern, msg_row(route->question)->name);
	}
}

static void only_these_are_open(void **state)
{
	static const char *const open[] = {
		"/auth/status", "/auth/setup",       "/auth/login",    "/auth/refresh",
		"/api/config",  "/api/openapi.json", "/health/detail", "/health/services",
		"/health",      "/metrics",          "/{path...}",
	};
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < routes_count(); i++) {
		if (!(routes_at(i)->flags & ROUTE_OPEN))
			continue;
		assert_true(count < ARRAY_LEN(open));
		assert_string_equal(routes_at(i)->pattern, open[count++]);
	}
	assert_int_equal(count, ARRAY_LEN(open));
}

static bool is_route(const struct route_text *text)
{
	for (size_t i = 0; i < routes_count(); i++)
		if (describe_route(routes_at(i)->method, routes_at(i)->pattern) == text)
			return true;
	return false;
}

static void every_route_has_a_text_and_every_text_a_route(void **state)
{
	(void)state;
	for (size_t i = 0; i < routes_count(); i++)
		if (!describe_route(routes_at(i)->method, routes_at(i)->pattern))
			fail_msg("no text for %s %s", routes_at(i)->method, routes_at(i)->pattern);
	for (size_t i = 0; i < describe_route_count(); i++)
		if (!is_route(describe_route_at(i)))
			fail_msg("no route %s", describe_route_at(i)->route);
}

/* The fields that a message is asked for, and those of answers that have a text for all. */
static bool is_field(const struct field_text *text)
{
	for (size_t i = 0; i < routes_count(); i++) {
		const ProtobufCMessageDescriptor *type = api_request_type(routes_at(i));

		if (type && (!text->message || strcmp(type->short_name, text->message) == 0) &&
		    json_find_field(type, text->field))
			return true;
	}
	return !text->message;
}

static void every_text_has_a_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < describe_field_count(); i++)
		if (!is_field(describe_field_at(i)))
			fail_msg("no field %s of %s", describe_field_at(i)->field,
				 describe_field_at(i)->message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_has_a_text_and_every_text_a_route),
		cmocka_unit_test(every_text_has_a_field),
		cmocka_unit_test(path_parameters_are_fields_of_the_question),
		cmocka_unit_test(views_fit_the_replies),
		cmocka_unit_test(get_never_changes_anything),
		cmocka_unit_test(only_these_are_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
