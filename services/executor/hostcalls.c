#include "hostcalls.h"

#include <stdbool.h>
#include <string.h>

static const struct {
	const char *name; /* as a raw JSON string */
	enum hostcall_op op;
} rows[] = {
	{ "\"open\"", HOSTCALL_OPEN },
	{ "\"progress\"", HOSTCALL_PROGRESS },
	{ "\"log\"", HOSTCALL_LOG },
	{ "\"refused\"", HOSTCALL_REFUSED },
};

static bool span_is(struct json_span span, const char *text)
{
	return span.at && span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

static bool is_number(struct json_span span)
{
	return span.at && (*span.at == '-' || (*span.at >= '0' && *span.at <= '9'));
}

static bool is_string(struct json_span span)
{
	return span.at && *span.at == '"';
}

enum member { M_PROGRESS, M_LEVEL, M_DATA, M_KIND, M_NAME, M_LINE, M_COUNT };
static const char *const member_names[M_COUNT] = { "progress", "level", "data",
						   "kind",     "name",  "line" };

static bool judge_event(struct hostcall *call, struct json_span event)
{
	struct json_span m[M_COUNT];

	if (call->op == HOSTCALL_OPEN)
		return true;
	if (!event.at || json_scan_members(event.at, event.len, member_names, M_COUNT, m, NULL) < 0)
		return false;
	call->event = event;
	call->level = m[M_LEVEL];
	call->kind = m[M_KIND];
	call->name = m[M_NAME];
	call->line = m[M_LINE];
	if (call->op == HOSTCALL_PROGRESS)
		return is_number(m[M_PROGRESS]);
	if (call->op == HOSTCALL_LOG)
		return is_string(m[M_LEVEL]) && m[M_DATA].at;
	return is_string(m[M_KIND]) && is_string(m[M_NAME]) &&
	       (!m[M_LINE].at || is_number(m[M_LINE]));
}

static bool judge(const char *text, size_t len, struct hostcall *call)
{
	static const char *const names[] = { "op", "event" };
	struct json_span member[2];

	if (json_scan_members(text, len, names, 2, member, NULL) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (span_is(member[0], rows[i].name)) {
			call->op = rows[i].op;
			return judge_event(call, member[1]);
		}
	}
	return false;
}

long hostcall_take(const uint8_t *data, size_t len, struct hostcall *ret)
{
	size_t size;

	if (len < 4)
		return 0;
	size = (size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16 |
	       (size_t)data[3] << 24;
	if (size > HOSTCALL_MAX)
		return -ERR_INVALID;
	if (len < 4 + size)
		return 0;
	*ret = (struct hostcall){ 0 };
	if (!judge((const char *)data + 4, size, ret))
		return -ERR_INVALID;
	return (long)(4 + size);
}
