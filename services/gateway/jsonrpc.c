#include "jsonrpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "mem.h"

void rpc_error_set(struct rpc_error *e, int status, int code, const char *fmt, ...)
{
	va_list args;

	e->status = status;
	e->code = code;
	e->data[0] = '\0';
	va_start(args, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, args);
	va_end(args);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct json_span trim(struct json_span s)
{
	while (s.len > 0 && is_space(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.at[s.len - 1]))
		s.len--;
	return s;
}

int jsonrpc_check_text(const void *text, size_t len, struct rpc_error *err)
{
	struct err why = { 0 };

	if (json_scan(text, len, &why) < 0)
		return rpc_fail(err, 400, RPC_PARSE_ERROR, "Parse error: %s", why.text);
	return 0;
}

bool jsonrpc_is_batch(struct json_span text)
{
	text = trim(text);
	return text.len > 0 && text.at[0] == '[';
}

bool json_span_is_object(struct json_span s)
{
	return s.at && s.len > 1 && s.at[0] == '{';
}

bool json_span_is_string(struct json_span s)
{
	return s.at && s.len > 1 && s.at[0] == '"';
}

bool json_span_equals(struct json_span span, const char *s)
{
	BOX_CLEANUP(mem_freep) char *value = NULL;
	size_t len = 0;

	if (!json_span_is_string(span) || json_span_string(span, &value, &len) < 0)
		return false;
	return strcmp(value, s) == 0;
}

static bool is_integer(struct json_span s)
{
	size_t i = s.at[0] == '-' ? 1 : 0;

	if (i == s.len)
		return false;
	for (; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
	}
	return true;
}

bool jsonrpc_is_id(struct json_span token)
{
	return token.at && token.len > 0 && (token.at[0] == '"' || is_integer(token));
}

enum { M_VERSION, M_ID, M_METHOD, M_PARAMS, M_RESULT, M_ERROR, M_COUNT };
static const char *const member_names[M_COUNT] = { "jsonrpc", "id",     "method",
						   "params",  "result", "error" };

static int invalid(struct rpc_error *err, const char *why)
{
	return rpc_fail(err, 400, RPC_INVALID_REQUEST, "Invalid Request: %s", why);
}

static int parse_call(const struct json_span *member, struct jsonrpc_message *ret,
		      struct rpc_error *err)
{
	size_t len = 0;

	if (!json_span_is_string(member[M_METHOD]) ||
	    json_span_string(member[M_METHOD], &ret->method, &len) < 0)
		return invalid(err, "method must be a string");
	if (member[M_ID].at && !ret->id.at)
		return invalid(err, "id must be a string or an integer");
	if (member[M_PARAMS].at && !json_span_is_object(member[M_PARAMS]))
		return invalid(err, "params must be an object");
	ret->params = member[M_PARAMS];
	ret->kind = ret->id.at ? JSONRPC_REQUEST : JSONRPC_NOTIFICATION;
	return 0;
}

int jsonrpc_parse(struct json_span text, struct jsonrpc_message *ret, struct rpc_error *err)
{
	struct json_span member[M_COUNT];
	struct err why = { 0 };

	*ret = (struct jsonrpc_message){ .kind = JSONRPC_NOTIFICATION };
	text = trim(text);
	if (!json_span_is_object(text))
		return invalid(err, "a message is an object");
	if (json_scan_members(text.at, text.len, member_names, M_COUNT, member, &why) < 0)
		return invalid(err, why.text);
	if (jsonrpc_is_id(member[M_ID]))
		ret->id = member[M_ID];
	if (!json_span_equals(member[M_VERSION], "2.0"))
		return invalid(err, "jsonrpc must be \"2.0\"");
	if (member[M_METHOD].at)
		return parse_call(member, ret, err);
	ret->kind = JSONRPC_RESPONSE;
	if (!ret->id.at || (!member[M_RESULT].at && !member[M_ERROR].at))
		return invalid(err, "neither a method nor a response with an id");
	return 0;
}

void jsonrpc_message_done(struct jsonrpc_message *m)
{
	free(m->method);
	m->method = NULL;
}

/* Behind the string that begins at p.  The text is valid JSON, so the closing quote exists. */
static const char *skip_string(const char *p)
{
	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
	}
	return p + 1;
}

/* The end of the element that begins at p: the comma or bracket that follows on the array's own
 * level. */
static const char *skip_element(const char *p, const char *end)
{
	int depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p);
			continue;
		}
		if (depth == 0 && (*p == ',' || *p == ']'))
			return p;
		if (*p == '[' || *p == '{')
			depth++;
		else if (*p == ']' || *p == '}')
			depth--;
		p++;
	}
	return end;
}

int jsonrpc_split(struct json_span array, struct json_span *ret, size_t max, size_t *ret_count,
		  struct rpc_error *err)
{
	struct json_span text = trim(array);
	const char *end = text.at + text.len;
	const char *p = text.at + 1;
	size_t count = 0;

	for (; p < end; p++) {
		const char *stop = skip_element(p, end);
		struct json_span element = trim((struct json_span){ p, (size_t)(stop - p) });

		if (element.len == 0)
			break;
		if (count == max)
			return rpc_fail(err, 400, RPC_INVALID_REQUEST,
					"Invalid Request: more than %zu messages in one batch",
					max);
		ret[count++] = element;
		p = stop;
	}
	*ret_count = count;
	return 0;
}

static void add_head(struct buf *b, struct json_span id)
{
	buf_add_str(b, "{\"jsonrpc\":\"2.0\"");
	if (id.at) {
		buf_add_str(b, ",\"id\":");
		json_add_compact(b, id.at, id.len);
	}
}

void jsonrpc_add_result(struct buf *b, struct json_span id, const void *result, size_t len)
{
	add_head(b, id);
	buf_add_str(b, ",\"result\":");
	buf_add(b, result, len);
	buf_add_char(b, '}');
}

void jsonrpc_add_error(struct buf *b, struct json_span id, const struct rpc_error *err)
{
	add_head(b, id);
	buf_printf(b, ",\"error\":{\"code\":%d,\"message\":", err->code);
	json_add_string(b, err->text, strlen(err->text));
	if (err->data[0]) {
		buf_add_str(b, ",\"data\":");
		buf_add_str(b, err->data);
	}
	buf_add_str(b, "}}");
}
