#include "module_names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "attrs.h"

const char *const default_modules[] = {
	"json",         "base64",
	"binascii",     "html",
	"csv",          "xml.etree.ElementTree",
	"re",           "string",
	"textwrap",     "difflib",
	"datetime",     "time",
	"calendar",     "zoneinfo",
	"math",         "cmath",
	"decimal",      "fractions",
	"random",       "statistics",
	"collections",  "collections.abc",
	"itertools",    "functools",
	"operator",     "hashlib",
	"hmac",         "secrets",
	"urllib.parse", "dataclasses",
	"typing",       "enum",
	"copy",         "asyncio",
	"uuid",         "contextlib",
	"io",           "bisect",
	"heapq",        "types",
	"abc",          "__future__",
};
const size_t default_module_count = ARRAY_LEN(default_modules);

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool is_module_name(const char *s, size_t len)
{
	if (len == 0 || len > MODULE_NAME_MAX || isdigit((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		bool is_joint = s[i] == '.' || s[i] == '-';

		if (!isascii((unsigned char)s[i]) || (!is_word(s[i]) && !is_joint))
			return false;
		if (is_joint && (i == 0 || i + 1 == len || !is_word(s[i + 1])))
			return false;
	}
	return true;
}

/* What runs beside the tool's code in its process. */
static bool is_own_module(const char *s, size_t len)
{
	static const char prefix[] = "mcpbox";

	return len >= sizeof(prefix) - 1 && strncasecmp(s, prefix, sizeof(prefix) - 1) == 0;
}

char *module_name_read(struct arena *a, const char *field, ProtobufCBinaryData text,
		       struct err *err)
{
	const char *at = (const char *)text.data;
	size_t len = text.len;

	for (; len > 0 && isspace((unsigned char)*at); len--)
		at++;
	while (len > 0 && isspace((unsigned char)at[len - 1]))
		len--;
	if (is_own_module(at, len)) {
		(void)err_set_field(err, ERR_INVALID, field, NULL,
				    "the modules of MCPBox itself are not for tools");
		return NULL;
	}
	if (is_module_name(at, len))
		return arena_dup(a, at, len);
	(void)err_set_field(err, ERR_INVALID, field,
			    "letters, digits and underscores in words joined by dots or hyphens",
			    len ? "that is no name of a module" : "the module's name is missing");
	return NULL;
}

/* `a.b.c` -> a, `a-b` -> a. */
static size_t first_part(const char *name)
{
	return strcspn(name, ".-");
}

static bool starts_with_part(const char *name, const char *part, size_t len)
{
	return strncmp(name, part, len) == 0 && first_part(name) == len;
}

static void with_underscores(const char *name, char ret[MODULE_NAME_MAX + 1])
{
	size_t i;

	for (i = 0; name[i] && i < MODULE_NAME_MAX; i++)
		ret[i] = (char)(name[i] == '-' ? '_' : name[i]);
	ret[i] = '\0';
}

bool module_covers(const char *approved, const char *asked)
{
	char as_code[MODULE_NAME_MAX + 1], approved_as_code[MODULE_NAME_MAX + 1];
	size_t part = first_part(asked);

	with_underscores(asked, as_code);
	with_underscores(approved, approved_as_code);
	return strcmp(approved_as_code, as_code) == 0 ||
	       (strlen(approved) == part && strncmp(approved, asked, part) == 0) ||
	       (strchr(approved, '-') && starts_with_part(approved, asked, part));
}

bool module_is_default(const char *asked)
{
	size_t part = first_part(asked);

	for (size_t i = 0; i < default_module_count; i++)
		if (strcmp(default_modules[i], asked) == 0 ||
		    (strlen(default_modules[i]) == part &&
		     strncmp(default_modules[i], asked, part) == 0))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted; equal neighbours become one. */
static size_t make_unique(char **names, size_t count)
{
	size_t kept = 0;

	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
			names[kept++] = names[i];
	return kept;
}

char **modules_allowed(struct arena *a, char *const *approved, size_t count, size_t *ret_count)
{
	char **all = arena_pointers(a, default_module_count + 3 * count);
	char as_code[MODULE_NAME_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < default_module_count; i++)
		all[n++] = arena_str(a, default_modules[i]);
	for (size_t i = 0; i < count; i++) {
		with_underscores(approved[i], as_code);
		all[n++] = approved[i];
		all[n++] = arena_str(a, as_code);
		all[n++] = arena_dup(a, approved[i], first_part(approved[i]));
	}
	*ret_count = make_unique(all, n);
	return all;
}
