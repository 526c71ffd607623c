#include "pyjson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mem.h"

/* ---- numbers ------------------------------------------------------------------------------------- */

/* The fewest digits that read back as the same number, laid out as repr() does. */
static void add_real(struct buf *b, double v)
{
	char text[400];
	int digits = 1, exponent;

	do
		(void)snprintf(text, sizeof(text), "%.*e", digits - 1, v);
	while (digits++ < 17 && strtod(text, NULL) != v);
	digits--;
	exponent = atoi(strchr(text, 'e') + 1);
	if (exponent >= -4 && exponent < 16) {
		int decimals = digits - 1 - exponent;

		(void)snprintf(text, sizeof(text), "%.*f", decimals > 1 ? decimals : 1, v);
	}
	buf_add_str(b, text);
}

/* ---- strings ------------------------------------------------------------------------------------- */

static const char *short_escape(unsigned char c)
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	case '\f':
		return "\\f";
	case '\b':
		return "\\b";
	default:
		return NULL;
	}
}

/* One character of valid UTF-8; *ret_len: its bytes. */
static unsigned decode(const unsigned char *s, size_t *ret_len)
{
	unsigned c = s[0];

	*ret_len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (*ret_len > 1)
		c &= 0xffu >> (*ret_len + 1);
	for (size_t i = 1; i < *ret_len; i++)
		c = c << 6 | (s[i] & 0x3fu);
	return c;
}

static void add_escaped(struct buf *b, unsigned c)
{
	if (c >= 0x10000) {
		c -= 0x10000;
		buf_printf(b, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
	} else {
		buf_printf(b, "\\u%04x", c);
	}
}

static void add_string(struct buf *b, const char *text, size_t len, bool ascii)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t step;

	buf_add_char(b, '"');
	for (size_t i = 0; i < len; i += step) {
		unsigned c = decode(s + i, &step);
		const char *escape = step == 1 ? short_escape(s[i]) : NULL;

		if (escape)
			buf_add_str(b, escape);
		else if (c < 0x20 || (ascii && c >= 0x7f))
			add_escaped(b, c);
		else
			buf_add(b, s + i, step);
	}
	buf_add_char(b, '"');
}

/* ---- trees --------------------------------------------------------------------------------------- */

/* Python compares code points; so does strcmp with UTF-8. */
static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_object(struct buf *b, const json_t *tree, bool ascii)
{
	json_t *object = (json_t *)(uintptr_t)tree;
	size_t count = json_object_size(tree), at = 0;
	BOX_CLEANUP(mem_freep) const char **keys = mem_alloc_array(count + 1, sizeof(*keys));
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) keys[at++] = key;
	qsort(keys, count, sizeof(*keys), compare_keys);
	buf_add_char(b, '{');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_add_char(b, ',');
		add_string(b, keys[i], strlen(keys[i]), ascii);
		buf_add_char(b, ':');
		pyjson_add(b, json_object_get(tree, keys[i]), ascii);
	}
	buf_add_char(b, '}');
}

static void add_array(struct buf *b, const json_t *tree, bool ascii)
{
	buf_add_char(b, '[');
	for (size_t i = 0; i < json_array_size(tree); i++) {
		if (i)
			buf_add_char(b, ',');
		pyjson_add(b, json_array_get(tree, i), ascii);
	}
	buf_add_char(b, ']');
}

void pyjson_add(struct buf *b, const json_t *tree, bool ascii)
{
	switch (json_typeof(tree)) {
	case JSON_OBJECT:
		add_object(b, tree, ascii);
		return;
	case JSON_ARRAY:
		add_array(b, tree, ascii);
		return;
	case JSON_STRING:
		add_string(b, json_string_value(tree), json_string_length(tree), ascii);
		return;
	case JSON_INTEGER:
		buf_printf(b, "%lld", (long long)json_integer_value(tree));
		return;
	case JSON_REAL:
		add_real(b, json_real_value(tree));
		return;
	case JSON_TRUE:
		buf_add_str(b, "true");
		return;
	case JSON_FALSE:
		buf_add_str(b, "false");
		return;
	case JSON_NULL:
		buf_add_str(b, "null");
	}
}
