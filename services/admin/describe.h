/*
 * What people read about REST: a text for each route and each field, and the ranges of fields.  Tables only; openapi.c
 * writes them down, api.c holds query parameters to the ranges.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route_text {
	const char *route; /* "GET /api/servers": method and pattern of its row in routes.c */
	const char *summary;
	const char *more;  /* a second sentence, or NULL */
	const char *media; /* of the answer, when it is not JSON: then no shape is told */
	bool is_also_503;  /* the same shape comes with 503 */
	bool takes_a_file; /* its body is the request's field `file`, all else stands in the query */
};
const struct route_text *describe_route(const char *method, const char *pattern);
size_t describe_route_count(void);
const struct route_text *describe_route_at(size_t i);

struct field_text {
	const char *
		message; /* short name of the message; NULL: in all that have no row of their own */
	const char *field; /* as in JSON */
	const char *text;
	bool is_required; /* of requests */
	int64_t min, max; /* of whole numbers; 0 and 0: none */
	const char *more; /* further members of its schema, or NULL */
};
/* The message's own row before the one for all; NULL: none. */
const struct field_text *describe_field(const char *message, const char *field);
size_t describe_field_count(void);
const struct field_text *describe_field_at(size_t i);
