#include <string.h>
#include "err_json.h"
#include "json_proto.h"
#include "mem.h"
#include "print.h"

#define CELLS_MAX 10
#define TEXT_MAX  (16u * 1024 * 1024)

/* Length and value of the UTF-8 character at s; 0 when it is none. */
static size_t decode(const unsigned char *s, size_t len, uint32_t *ret)
{
	static const struct {
		unsigned char mask, lead, first_bits;
		size_t size;
		uint32_t least;
	} forms[] = {
		{ 0x80, 0x00, 0x7f, 1, 0 },
		{ 0xe0, 0xc0, 0x1f, 2, 0x80 },
		{ 0xf0, 0xe0, 0x0f, 3, 0x800 },
		{ 0xf8, 0xf0, 0x07, 4, 0x10000 },
	};

	for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
		uint32_t c;

		if ((s[0] & forms[f].mask) != forms[f].lead || forms[f].size > len)
			continue;
		c = s[0] & forms[f].first_bits;
		for (size_t i = 1; i < forms[f].size; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3fu);
		}
		*ret = c;
		return c >= forms[f].least && c <= 0x10ffff ? forms[f].size : 0;
	}
	return 0;
}

/* Ranges that a terminal obeys or hides instead of showing.  Source: Unicode 15, Bidi_Control and
 * Default_Ignorable_Code_Point; CVE-2021-42574 ("Trojan Source"). */
static bool is_dangerous(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },
		{ 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xd800, 0xdfff },
		{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe0fff },
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

void print_escape(struct buf *b, const char *text, size_t len, bool one_line)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t size = decode(s + i, len - i, &c);

		if (size == 0 || (size == 1 && c == 0x7f))
			buf_printf(b, "\\x%02x", s[i]);
		else if ((c == '\n' || c == '\t') && !one_line)
			buf_add_char(b, (char)c);
		else if (c == '\n')
			buf_add_str(b, "\\n");
		else if (c < 0x20)
			buf_printf(b, "\\x%02x", c);
		else if (is_dangerous(c))
			buf_printf(b, "\\u{%04x}", c);
		else
			buf_add(b, s + i, size);
		i += size ? size : 1;
	}
}

void print_safe(FILE *out, const char *text, size_t len)
{
	struct buf b = BUF_INIT(TEXT_MAX);

	print_escape(&b, text, len, false);
	(void)fputs(buf_str(&b), out);
	buf_done(&b);
}

void print_indented(FILE *out, const char *prefix, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		(void)fputs(prefix, out);
		print_safe(out, text, len);
		(void)fputc('\n', out);
		text += len + (text[len] == '\n');
	}
}

struct print_table {
	size_t columns;
	size_t count;
	char *(*rows)[CELLS_MAX];
	size_t widths[CELLS_MAX];
};

static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static char *cell_text(const char *cell)
{
	struct buf b = BUF_INIT(4096);
	size_t len;

	print_escape(&b, cell ? cell : "-", cell ? strlen(cell) : 1, true);
	buf_add(&b, "", 0);
	if (b.len == 0)
		return mem_strdup("");
	return (char *)buf_take(&b, &len);
}

struct print_table *print_table_begin(const char *const *heads, size_t count)
{
	struct print_table *t = mem_alloc(sizeof(*t));

	box_assert(count <= CELLS_MAX);
	t->columns = count;
	print_table_row(t, heads);
	return t;
}

void print_table_row(struct print_table *t, const char *const *cells)
{
	t->rows = mem_realloc_array(t->rows, t->count + 1, sizeof(*t->rows));
	for (size_t i = 0; i < t->columns; i++) {
		char *text = cell_text(cells[i]);

		if (width(text) > t->widths[i])
			t->widths[i] = width(text);
		t->rows[t->count][i] = text;
	}
	t->count++;
}

void print_table_end(struct print_table *t, FILE *out)
{
	for (size_t row = 0; row < t->count; row++) {
		for (size_t i = 0; i < t->columns; i++) {
			char *text = t->rows[row][i];
			bool is_last = i + 1 == t->columns;
			size_t pad = is_last ? 0 : t->widths[i] - width(text) + 2;

			(void)fprintf(out, "%s%*s", text, (int)pad, "");
			free(text);
		}
		(void)fputc('\n', out);
	}
	free(t->rows);
	free(t);
}

void print_json(FILE *out, const json_t *tree)
{
	/* ASCII only: escapes are what a terminal must not see raw. */
	(void)json_dumpf(tree, out, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
	(void)fputc('\n', out);
}

/* JSON text stays JSON: what is dangerous can only stand inside its strings, where \u escapes are
 * free. */
static void add_json_escaped(struct buf *b, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t size = decode(s + i, len - i, &c);

		if (size == 0 || !is_dangerous(c))
			buf_add(b, s + i, size ? size : 1);
		else if (c >= 0x10000)
			buf_printf(b, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
		else
			buf_printf(b, "\\u%04x", c);
		i += size ? size : 1;
	}
}

void print_proto(FILE *out, const ProtobufCMessage *m)
{
	struct buf json = BUF_INIT(TEXT_MAX);
	struct buf safe = BUF_INIT(6u * TEXT_MAX);

	msg_to_json(m, 0, &json);
	add_json_escaped(&safe, buf_str(&json), json.len);
	(void)fprintf(out, "%s\n", buf_str(&safe));
	buf_done(&safe);
	buf_done(&json);
}

void print_json_error(FILE *out, const struct err *err)
{
	struct buf json = BUF_INIT(TEXT_MAX);
	struct buf safe = BUF_INIT(6u * TEXT_MAX);

	buf_add_char(&json, '{');
	err_add_members(&json, err);
	buf_add_char(&json, '}');
	add_json_escaped(&safe, buf_str(&json), json.len);
	(void)fprintf(out, "%s\n", buf_str(&safe));
	buf_done(&safe);
	buf_done(&json);
}

const char *print_member(const json_t *object, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : fallback;
}

void print_number(const json_t *object, const char *key, char ret[24])
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value))
		(void)snprintf(ret, 24, "%lld", (long long)json_integer_value(value));
	else
		(void)snprintf(ret, 24, "-");
}
