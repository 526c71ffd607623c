#include "openapi.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "describe.h"
#include "json.h"
#include "json_field.h"
#include "json_proto.h"
#include "mem.h"
#include "origin.h"
#include "routes.h"

#define REFS      "#/components/schemas/"
#define TYPES_MAX 256
#define ID_MAX    160

/* ---- messages that are described once --------------------------------------------------------------- */

struct types {
	const ProtobufCMessageDescriptor *list[TYPES_MAX];
	size_t count;
};

static void add_type(struct types *types, const ProtobufCMessageDescriptor *type)
{
	for (size_t i = 0; i < types->count; i++)
		if (types->list[i] == type)
			return;
	box_assert(types->count < TYPES_MAX);
	types->list[types->count++] = type;
	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			add_type(types, type->fields[i].descriptor);
}

/* ---- fields ---------------------------------------------------------------------------------------- */

static void add_text_member(struct buf *b, const char *key, const char *value)
{
	buf_printf(b, "\"%s\":", key);
	json_add_string(b, value, strlen(value));
}

/* More members for the schema object that b ends with. */
static void add_rules(const struct field_text *text, bool is_input, struct buf *b)
{
	bool is_empty = buf_str(b)[b->len - 2] == '{';

	b->len--;
	buf_add_str(b, is_empty ? "" : ",");
	add_text_member(b, "description", text->text);
	if (is_input && text->max)
		buf_printf(b, ",\"minimum\":%" PRId64 ",\"maximum\":%" PRId64, text->min,
			   text->max);
	if (is_input && text->more)
		buf_printf(b, ",%s", text->more);
	buf_add_char(b, '}');
}

static void write_field(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *f,
			bool is_input, struct buf *b)
{
	char key[JSON_KEY_MAX];
	const struct field_text *text;

	json_field_key(f, key);
	text = describe_field(type->short_name, key);
	msg_field_to_schema(f, is_input, REFS, b);
	if (text)
		add_rules(text, is_input, b);
}

static void write_component(const ProtobufCMessageDescriptor *type, struct buf *b)
{
	char key[JSON_KEY_MAX];

	buf_printf(b, "\"%s\":{\"type\":\"object\",\"properties\":{", type->short_name);
	for (unsigned i = 0; i < type->n_fields; i++) {
		json_field_key(&type->fields[i], key);
		buf_printf(b, "%s\"%s\":", i ? "," : "", key);
		write_field(type, &type->fields[i], false, b);
	}
	buf_add_str(b, "},\"required\":[");
	for (unsigned i = 0; i < type->n_fields; i++) {
		json_field_key(&type->fields[i], key);
		buf_printf(b, "%s\"%s\"", i ? "," : "", key);
	}
	buf_add_str(b, "]}");
}

/* ---- answers --------------------------------------------------------------------------------------- */

static const ProtobufCMessageDescriptor *reply_type(const struct route *route)
{
	uint16_t shown = route->then ? route->then : route->question;

	if (route->reply)
		return route->reply;
	return shown ? msg_row(shown)->reply : NULL;
}

/* A message as a whole, or the chosen keys of it. */
static void write_object(const ProtobufCMessageDescriptor *type, const struct view_key *keys,
			 struct types *types, struct buf *b)
{
	if (!keys) {
		add_type(types, type);
		buf_printf(b, "{\"$ref\":\"" REFS "%s\"}", type->short_name);
		return;
	}
	buf_add_str(b, "{\"type\":\"object\",\"properties\":{");
	for (size_t i = 0; keys[i].shown; i++) {
		buf_printf(b, "%s\"%s\":", i ? "," : "", keys[i].shown);
		write_field(type, json_find_field(type, keys[i].from), false, b);
	}
	buf_add_str(b, "},\"required\":[");
	for (size_t i = 0; keys[i].shown; i++)
		buf_printf(b, "%s\"%s\"", i ? "," : "", keys[i].shown);
	buf_add_str(b, "]}");
}

static void write_list(const ProtobufCMessageDescriptor *item, const struct view_key *keys,
		       struct types *types, struct buf *b)
{
	static const char *const numbers[] = { "total", "page", "page_size", "pages" };

	buf_add_str(b, "{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\","
		       "\"items\":");
	write_object(item, keys, types, b);
	buf_add_char(b, '}');
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		buf_printf(b, ",\"%s\":{\"type\":\"integer\"}", numbers[i]);
	buf_add_str(b, "},\"required\":[\"items\",\"total\",\"page\",\"page_size\",\"pages\"]}");
}

/* Of the message in the view's member. */
static const ProtobufCMessageDescriptor *member_type(const struct route *route)
{
	const ProtobufCMessageDescriptor *reply = reply_type(route);
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(reply, route->view->member);

	if (!f)
		box_bug("%s has no field %s", reply->name, route->view->member);
	return f->descriptor;
}

static void write_shape(const struct route *route, struct types *types, struct buf *b)
{
	const struct view *view = route->view;

	if (!view || view->kind == VIEW_WHOLE)
		write_object(reply_type(route), view ? view->keys : NULL, types, b);
	else if (view->kind == VIEW_LIST)
		write_list(member_type(route), view->keys, types, b);
	else
		write_object(member_type(route), view->keys, types, b);
}

static void write_content(const struct route *route, const struct route_text *text,
			  struct types *types, struct buf *b)
{
	const char *media = text && text->media ? text->media : "application/json";

	if (route->view && route->view->kind == VIEW_NOTHING)
		return;
	buf_printf(b, ",\"content\":{\"%s\":{", media);
	if (reply_type(route) && !(text && text->media)) {
		buf_add_str(b, "\"schema\":");
		write_shape(route, types, b);
	}
	buf_add_str(b, "}}");
}

static bool is_web_ui(const struct route *route)
{
	return strstr(route->pattern, "...}") != NULL;
}

static void write_web_ui_content(struct types *types, struct buf *b)
{
	add_type(types, &mcpbox__v1__about__descriptor);
	buf_add_str(
		b,
		",\"content\":{\"text/html\":{},\"application/json\":{\"schema\":{\"$ref\":\"" REFS
		"About\"}}}");
}

/* Which refusals a route knows, by what it has. */
enum has { ALWAYS, A_CREDENTIAL, AN_OBJECT, A_BODY, A_CHANGE, A_LOGIN };

static bool route_has(const struct route *route, enum has has)
{
	switch (has) {
	case ALWAYS:
		return true;
	case A_CREDENTIAL: /* logging in is refused alike */
		return !(route->flags & ROUTE_OPEN) || route_has(route, A_LOGIN);
	case AN_OBJECT:
		return strchr(route->pattern, '{') != NULL || route->question;
	case A_BODY:
		return route->max_body > 0;
	case A_CHANGE:
		return !origin_method_is_safe(route->method);
	case A_LOGIN:
		return strncmp(route->pattern, "/auth/", 6) == 0 &&
		       !origin_method_is_safe(route->method);
	}
	return false;
}

static const struct refusal {
	const char *status, *name;
	enum has has;
	const char *text;
} refusals[] = {
	{ "400", "WrongState", ALWAYS,
	  "Not possible in the present state, or the request is broken" },
	{ "401", "NotLoggedIn", A_CREDENTIAL, "No credential, or one that has ended" },
	{ "403", "Denied", ALWAYS,
	  "The role does not allow it, or host, origin or CSRF token are wrong" },
	{ "404", "NotFound", AN_OBJECT, "There is no such thing" },
	{ "408", "TooSlow", A_BODY, "The body did not come in time" },
	{ "409", "Conflict", A_CHANGE,
	  "There is one already; or the object has changed since: then current is what it is now" },
	{ "413", "TooLarge", ALWAYS, "The body, or the answer, is too large" },
	{ "415", "NotJson", A_BODY, "The body is not application/json" },
	{ "422", "Invalid", ALWAYS, "A value is bad; field names it" },
	{ "429", "TooMany", A_LOGIN, "Too many failures; Retry-After tells when to try again" },
	{ "5XX", "Outage", ALWAYS, "A needed part does not answer" },
};

static void write_responses(const struct route *route, const struct route_text *text,
			    struct types *types, struct buf *b)
{
	buf_printf(b, ",\"responses\":{\"%d\":{\"description\":\"Done\"", route->status);
	if (is_web_ui(route))
		write_web_ui_content(types, b);
	else
		write_content(route, text, types, b);
	buf_add_char(b, '}');
	if (text && text->is_also_503) {
		buf_add_str(b, ",\"503\":{\"description\":\"No\"");
		write_content(route, text, types, b);
		buf_add_char(b, '}');
	}
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (route_has(route, refusals[i].has))
			buf_printf(b, ",\"%s\":{\"$ref\":\"#/components/responses/%s\"}",
				   refusals[i].status, refusals[i].name);
	buf_add_char(b, '}');
}

/* ---- questions ------------------------------------------------------------------------------------- */

static bool stands_in_path(const char *pattern, const char *key)
{
	char brace[JSON_KEY_MAX + 3];

	(void)snprintf(brace, sizeof(brace), "{%s}", key);
	return strstr(pattern, brace) != NULL;
}

static bool is_needed(const ProtobufCMessageDescriptor *type, const char *key)
{
	const struct field_text *text = describe_field(type->short_name, key);

	return text && text->is_required;
}

static void write_parameter(const ProtobufCMessageDescriptor *type,
			    const ProtobufCFieldDescriptor *f, const char *in, struct buf *b)
{
	char key[JSON_KEY_MAX];
	bool is_path = strcmp(in, "path") == 0;

	json_field_key(f, key);
	buf_printf(b, "{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s,\"schema\":", key, in,
		   is_path || is_needed(type, key) ? "true" : "false");
	write_field(type, f, true, b);
	buf_add_char(b, '}');
}

/* A file has a place of its own. */
static bool is_file(const struct route_text *text, const char *key)
{
	return text && text->takes_a_file && strcmp(key, "file") == 0;
}

static void write_parameters(const struct route *route, const struct route_text *text,
			     struct buf *b)
{
	const ProtobufCMessageDescriptor *type = api_request_type(route);
	bool has_body = strcmp(route->method, "GET") != 0 && strcmp(route->method, "DELETE") != 0 &&
			!(text && text->takes_a_file);
	const char *separator = "";
	char key[JSON_KEY_MAX];

	buf_add_str(b, ",\"parameters\":[");
	for (unsigned i = 0; type && i < type->n_fields; i++) {
		bool is_path;

		json_field_key(&type->fields[i], key);
		is_path = stands_in_path(route->pattern, key);
		if (!is_path && (has_body || is_file(text, key) ||
				 type->fields[i].label == PROTOBUF_C_LABEL_REPEATED))
			continue;
		buf_add_str(b, separator);
		write_parameter(type, &type->fields[i], is_path ? "path" : "query", b);
		separator = ",";
	}
	if (type && protobuf_c_message_descriptor_get_field_by_name(type, "revision"))
		buf_printf(b, "%s{\"$ref\":\"#/components/parameters/IfMatch\"}", separator);
	buf_add_char(b, ']');
}

static void write_body_fields(const struct route *route, const ProtobufCMessageDescriptor *type,
			      bool needed_only, struct buf *b)
{
	const char *separator = "";
	char key[JSON_KEY_MAX];

	for (unsigned i = 0; i < type->n_fields; i++) {
		json_field_key(&type->fields[i], key);
		if (stands_in_path(route->pattern, key) || (needed_only && !is_needed(type, key)))
			continue;
		buf_printf(b, needed_only ? "%s\"%s\"" : "%s\"%s\":", separator, key);
		if (!needed_only)
			write_field(type, &type->fields[i], true, b);
		separator = ",";
	}
}

static void write_body(const struct route *route, struct types *types, struct buf *b)
{
	const ProtobufCMessageDescriptor *type = api_request_type(route);
	size_t before;

	if (!type || route->max_body == 0)
		return;
	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			add_type(types, type->fields[i].descriptor);
	buf_add_str(b, ",\"requestBody\":{\"content\":{\"application/json\":{\"schema\":{\"type\":"
		       "\"object\",\"properties\":{");
	write_body_fields(route, type, false, b);
	buf_add_str(b, "},\"additionalProperties\":false,\"required\":[");
	before = b->len;
	/* A DELETE may have it all in its query. */
	if (strcmp(route->method, "DELETE") != 0)
		write_body_fields(route, type, true, b);
	buf_printf(b, "]}}},\"required\":%s}", b->len > before ? "true" : "false");
}

static void write_security(const struct route *route, struct buf *b)
{
	if (route->flags & ROUTE_OPEN)
		buf_add_str(b, ",\"security\":[]");
	else if (origin_method_is_safe(route->method))
		buf_add_str(b, ",\"security\":[{\"token\":[]},{\"cookie\":[]}]");
	else
		buf_add_str(b, ",\"security\":[{\"token\":[]},{\"cookie\":[],\"csrf\":[]}]");
}

/* ---- operations ------------------------------------------------------------------------------------ */

/* "GET", "/api/servers/{server_id}" -> get_servers_server_id */
static void operation_id(const struct route *route, char ret[ID_MAX])
{
	const char *p = route->pattern;
	bool was_word = false; /* a word begins with an underscore, but for the method */
	size_t len = 0;

	for (const char *c = route->method; *c; c++)
		ret[len++] = (char)(*c - 'A' + 'a');
	if (strncmp(p, "/api", 4) == 0)
		p += 4;
	for (; *p && len < ID_MAX - 2; p++) {
		bool is_word = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');

		if (is_word && !was_word)
			ret[len++] = '_';
		if (is_word)
			ret[len++] = *p;
		was_word = is_word;
	}
	ret[len] = '\0';
}

/* "/api/servers/…" -> servers, "/auth/…" -> auth */
static void tag_of(const struct route *route, char ret[ID_MAX])
{
	const char *p = route->pattern + 1;

	if (is_web_ui(route))
		p = "about";
	else if (strncmp(p, "api/", 4) == 0)
		p += 4;
	(void)snprintf(ret, ID_MAX, "%.*s", (int)strcspn(p, "/."), p);
}

static void write_operation(const struct route *route, struct types *types, struct buf *b)
{
	const struct route_text *text = describe_route(route->method, route->pattern);
	char id[ID_MAX], tag[ID_MAX];
	size_t at = 0;

	operation_id(route, id);
	tag_of(route, tag);
	buf_add_char(b, '"');
	for (; route->method[at]; at++)
		buf_add_char(b, (char)(route->method[at] - 'A' + 'a'));
	buf_printf(b, "\":{\"operationId\":\"%s\",\"tags\":[\"%s\"],", id, tag);
	add_text_member(b, "summary", text ? text->summary : id);
	if (text && text->more) {
		buf_add_char(b, ',');
		add_text_member(b, "description", text->more);
	}
	if (!is_web_ui(route)) {
		write_parameters(route, text, b);
		if (text && text->takes_a_file)
			buf_add_str(b, ",\"requestBody\":{\"content\":{\"application/json\":{"
				       "\"schema\":{\"type\":\"object\"}}},\"required\":true}");
		else
			write_body(route, types, b);
	}
	write_security(route, b);
	write_responses(route, text, types, b);
	buf_add_char(b, '}');
}

/* Is it the first row of its path?  The path's object holds all of them. */
static bool is_first(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(routes_at(k)->pattern, routes_at(i)->pattern) == 0)
			return false;
	return true;
}

static void write_path(size_t first, struct types *types, struct buf *b)
{
	const char *pattern = routes_at(first)->pattern;
	const char *separator = "";

	buf_printf(b, "%s\"%s\":{", first ? "," : "", is_web_ui(routes_at(first)) ? "/" : pattern);
	for (size_t i = first; i < routes_count(); i++) {
		if (strcmp(routes_at(i)->pattern, pattern) != 0)
			continue;
		buf_add_str(b, separator);
		write_operation(routes_at(i), types, b);
		separator = ",";
	}
	buf_add_char(b, '}');
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static const char head[] =
	"{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"MCPBox\",\"version\":\"" BOX_VERSION "\","
	"\"description\":\"What people and scripts do with an MCPBox. Errors are "
	"application/problem+json with detail, code, field and hint. Objects carry a revision: "
	"give the one that you saw with a change, in the body or as If-Match, and 409 answers when "
	"the object has changed since. In requests null is the same as left out; unknown names are "
	"refused.\"},\"servers\":[{\"url\":\"/\"}],\"paths\":{";

static const char common_parts[] =
	"\"parameters\":{\"IfMatch\":{\"name\":\"If-Match\",\"in\":\"header\",\"description\":"
	"\"revision of the object, as you saw it\",\"schema\":{\"type\":\"string\"}}},"
	"\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":"
	"\"access_token of a login, or an API token\"},\"cookie\":{\"type\":\"apiKey\",\"in\":"
	"\"cookie\",\"name\":\"mcpbox_session\"},\"csrf\":{\"type\":\"apiKey\",\"in\":\"header\","
	"\"name\":\"X-CSRF-Token\",\"description\":\"csrf_token of GET /auth/me\"}},"
	"\"schemas\":{\"Problem\":{\"type\":\"object\",\"properties\":{"
	"\"type\":{\"type\":\"string\",\"format\":\"uri\"},\"title\":{\"type\":\"string\"},"
	"\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\",\"description\":"
	"\"for people\"},";

static const char problem_tail[] =
	"\"field\":{\"type\":[\"string\",\"null\"],\"description\":\"what is bad\"},"
	"\"hint\":{\"type\":[\"string\",\"null\"],\"description\":\"what to do next\"},"
	"\"current\":{\"type\":\"object\",\"description\":\"of a stale revision: the object as it "
	"is now\"}},\"required\":[\"type\",\"title\",\"status\",\"detail\",\"code\",\"field\","
	"\"hint\"]}";

static void write_codes(struct buf *b)
{
	buf_add_str(b, "\"code\":{\"enum\":[");
	for (int code = ERR_OK + 1; code < ERR_CODE_COUNT; code++)
		buf_printf(b, "%s\"%s\"", code == ERR_OK + 1 ? "" : ",",
			   err_row((enum err_code)code)->name);
	buf_add_str(b, "]},");
}

static void write_components(struct types *types, struct buf *b)
{
	buf_add_str(b, "},\"components\":{\"responses\":{");
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		buf_printf(b,
			   "%s\"%s\":{\"description\":\"%s\",\"content\":{\"application/problem+"
			   "json\":{\"schema\":{\"$ref\":\"" REFS "Problem\"}}}}",
			   i ? "," : "", refusals[i].name, refusals[i].text);
	buf_add_str(b, "},");
	buf_add_str(b, common_parts);
	write_codes(b);
	buf_add_str(b, problem_tail);
	for (size_t i = 0; i < types->count; i++) {
		buf_add_char(b, ',');
		write_component(types->list[i], b);
	}
	buf_add_str(b, "}}}");
}

void openapi_write(struct buf *ret)
{
	struct types types = { .count = 0 };

	buf_add_str(ret, head);
	for (size_t i = 0; i < routes_count(); i++)
		if (is_first(i))
			write_path(i, &types, ret);
	write_components(&types, ret);
}

int openapi_serve(struct call *call, struct err *err BOX_UNUSED)
{
	openapi_write(&call->body);
	return 0;
}
