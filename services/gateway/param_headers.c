#include "param_headers.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "era.h"
#include "mem.h"
#include "parse.h"

#define ANNOTATION   "x-mcp-header"
#define MAX_HEADERS  32
#define MAX_LEVELS   16
#define SAFE_INTEGER 9007199254740991LL

struct mirror {
	char *header;           /* "Mcp-Param-Region" */
	char *path[MAX_LEVELS]; /* names from the root */
	size_t levels;
};
struct param_headers {
	struct mirror mirrors[MAX_HEADERS];
	size_t count;
};

void param_headers_free(struct param_headers *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++) {
		free(p->mirrors[i].header);
		for (size_t k = 0; k < p->mirrors[i].levels; k++)
			free(p->mirrors[i].path[k]);
	}
	free(p);
}
BOX_DEFINE_CLEANUP(struct param_headers *, param_headers_free)

static bool is_token(const char *s)
{
	static const char extra[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++) {
		bool alnum = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
			     (*s >= 'A' && *s <= 'Z');

		if (!alnum && !strchr(extra, *s))
			return false;
	}
	return true;
}

static bool has_mirrored_type(const json_t *property)
{
	const char *type = json_string_value(json_object_get(property, "type"));

	return type && (strcmp(type, "string") == 0 || strcmp(type, "integer") == 0 ||
			strcmp(type, "boolean") == 0);
}

static bool is_taken(const struct param_headers *p, const char *name)
{
	for (size_t i = 0; i < p->count; i++) {
		if (strcasecmp(p->mirrors[i].header + strlen("Mcp-Param-"), name) == 0)
			return true;
	}
	return false;
}

static int add_mirror(struct param_headers *p, const json_t *property, const char *const *path,
		      size_t levels)
{
	const char *name = json_string_value(json_object_get(property, ANNOTATION));
	struct mirror *m = &p->mirrors[p->count];

	if (!name || !is_token(name) || !has_mirrored_type(property) || is_taken(p, name) ||
	    p->count == MAX_HEADERS)
		return -1;
	m->header = mem_printf("Mcp-Param-%s", name);
	m->levels = levels;
	for (size_t i = 0; i < levels; i++)
		m->path[i] = mem_strdup(path[i]);
	p->count++;
	return 0;
}

/* Depth is bounded by MAX_LEVELS. */
static int collect(struct param_headers *p, const json_t *schema, const char **path, size_t levels)
{
	json_t *properties = json_object_get(schema, "properties");
	const char *name;
	json_t *property;

	if (levels == MAX_LEVELS)
		return -1;
	json_object_foreach(properties, name, property)
	{
		path[levels] = name;
		if (json_object_get(property, ANNOTATION) &&
		    add_mirror(p, property, path, levels + 1) < 0)
			return -1;
		if (json_object_get(property, "properties") &&
		    collect(p, property, path, levels + 1) < 0)
			return -1;
	}
	return 0;
}

struct param_headers *param_headers_new(const char *schema, size_t len)
{
	BOX_CLEANUP(param_headers_freep) struct param_headers *p = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const char *path[MAX_LEVELS];

	/* Most tools have none: do not build a tree for them. */
	if (len == 0 || !memmem(schema, len, ANNOTATION, strlen(ANNOTATION)) ||
	    json_load(schema, len, &tree, NULL) < 0)
		return NULL;
	p = mem_alloc(sizeof(*p));
	if (collect(p, tree, path, 0) < 0 || p->count == 0)
		return NULL;
	return TAKE(p);
}

static const json_t *value_at(const json_t *arguments, const struct mirror *m)
{
	const json_t *v = arguments;

	for (size_t i = 0; i < m->levels && v; i++)
		v = json_object_get(v, m->path[i]);
	return json_is_null(v) ? NULL : v;
}

static bool equals_integer(const char *text, json_int_t value)
{
	char digits[32];
	size_t len = strcspn(text, ".");
	int64_t n;

	/* 42.0 is 42; 42.5 is no integer. */
	if (len >= sizeof(digits) ||
	    (text[len] == '.' &&
	     (!text[len + 1] || strspn(text + len + 1, "0") != strlen(text + len + 1))))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	return parse_i64(digits, -SAFE_INTEGER, SAFE_INTEGER, &n) == 0 && n == value;
}

static bool equals_value(const char *text, const json_t *value)
{
	if (json_is_string(value))
		return strcmp(text, json_string_value(value)) == 0;
	if (json_is_boolean(value))
		return strcmp(text, json_is_true(value) ? "true" : "false") == 0;
	if (json_is_integer(value))
		return equals_integer(text, json_integer_value(value));
	/* A value of another type fails the schema, in the sandbox and with a better text. */
	return true;
}

static int check_one(const struct mirror *m, const json_t *value, const char *header,
		     struct rpc_error *err)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;

	if (!header && !value)
		return 0;
	if (!header)
		return rpc_fail(err, 400, RPC_HEADER_MISMATCH, "Header mismatch: %s is missing",
				m->header);
	if (!value)
		return rpc_fail(err, 400, RPC_HEADER_MISMATCH,
				"Header mismatch: %s has no counterpart in the arguments",
				m->header);
	if (era_decode_header(header, &text) < 0)
		return rpc_fail(err, 400, RPC_HEADER_MISMATCH,
				"Header mismatch: %s is not validly encoded", m->header);
	if (!equals_value(text, value))
		return rpc_fail(err, 400, RPC_HEADER_MISMATCH,
				"Header mismatch: %s differs from the arguments", m->header);
	return 0;
}

int param_headers_check(const struct param_headers *p, struct json_span arguments,
			const char *(*header)(void *arg, const char *name), void *arg,
			struct rpc_error *err)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	struct err why = { 0 };

	if (!p)
		return 0;
	if (arguments.at && json_load(arguments.at, arguments.len, &tree, &why) < 0)
		return rpc_fail(err, 400, RPC_HEADER_MISMATCH, "Header mismatch: arguments: %s",
				why.text);
	for (size_t i = 0; i < p->count; i++) {
		const struct mirror *m = &p->mirrors[i];

		if (check_one(m, value_at(tree, m), header(arg, m->header), err) < 0)
			return -1;
	}
	return 0;
}
