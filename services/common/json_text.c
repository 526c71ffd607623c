/* Texts without a tree: strings out of spans, strings into buffers, compaction. */
#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "mem.h"
#include "parse.h"

static uint32_t read_hex4(const char *p)
{
	uint8_t b[2] = { 0 };
	char digits[5] = { p[0], p[1], p[2], p[3], '\0' };

	return parse_hex(digits, b, sizeof(b)) < 0 ? UINT32_MAX : (uint32_t)b[0] << 8 | b[1];
}

/* The character behind \u at p (four digits, or a surrogate pair of twelve characters); -1: bad. */
static int32_t read_unicode_escape(const char *p, const char *end, size_t *ret_len)
{
	uint32_t high, low;

	if (end - p < 4)
		return -1;
	high = read_hex4(p);
	*ret_len = 4;
	if (high < 0xd800 || (high > 0xdfff && high <= 0xffff))
		return (int32_t)high;
	if (high > 0xdbff || end - p < 10 || p[4] != '\\' || p[5] != 'u')
		return -1;
	low = read_hex4(p + 6);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	*ret_len = 10;
	return (int32_t)(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
}

static void add_code_point(struct buf *b, uint32_t c)
{
	uint8_t bytes[4];
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
	bytes[0] = (uint8_t)(lead[len] | c);
	buf_add(b, bytes, len);
}

/* p is behind a backslash.  Returns how far the escape reaches, 0 when it is bad. */
static size_t add_unescaped(struct buf *b, const char *p, const char *end)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	size_t len = 0;
	int32_t c;

	if (p >= end)
		return 0;
	if (*p == 'u') {
		c = read_unicode_escape(p + 1, end, &len);
		if (c < 0)
			return 0;
		add_code_point(b, (uint32_t)c);
		return len + 1;
	}
	at = *p ? strchr(from, *p) : NULL;
	if (!at)
		return 0;
	buf_add_char(b, to[at - from]);
	return 1;
}

static bool add_plain_run(struct buf *b, const char **p, const char *end)
{
	const char *from = *p;

	while (*p < end && **p != '\\') {
		if ((unsigned char)**p < 0x20 || **p == '"')
			return false;
		(*p)++;
	}
	buf_add(b, from, (size_t)(*p - from));
	return true;
}

int json_span_bytes(struct json_span span, char **ret, size_t *ret_len)
{
	struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(span.len);
	const char *p = span.at + 1, *end = span.at + span.len - 1;

	if (!span.at || span.len < 2 || span.at[0] != '"' || *end != '"')
		return -ERR_INVALID;
	while (p < end) {
		size_t step;

		if (!add_plain_run(&text, &p, end))
			return -ERR_INVALID;
		if (p == end)
			break;
		step = add_unescaped(&text, p + 1, end);
		if (step == 0)
			return -ERR_INVALID;
		p += 1 + step;
	}
	if (!text_is_utf8(text.data, text.len))
		return -ERR_INVALID;
	*ret = (char *)buf_take(&text, ret_len);
	return 0;
}

int json_span_string(struct json_span span, char **ret, size_t *ret_len)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;
	int r = json_span_bytes(span, &text, &len);

	if (r == 0 && memchr(text, 0, len)) /* it would end early */
		r = -ERR_INVALID;
	if (r < 0)
		return r;
	*ret_len = len;
	*ret = TAKE(text);
	return 0;
}

static void add_escaped(struct buf *b, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, c) : NULL;

	if (at) {
		buf_add_char(b, '\\');
		buf_add_char(b, to[at - from]);
	} else {
		buf_printf(b, "\\u%04x", c);
	}
}

void json_add_string(struct buf *b, const void *text, size_t len)
{
	const uint8_t *p = len ? text : (const uint8_t *)"", *end = p + len, *run = p;

	buf_add_char(b, '"');
	while (p < end) {
		size_t step = text_utf8_step(p, (size_t)(end - p));

		if (step > 0 && *p >= 0x20 && *p != '"' && *p != '\\') {
			p += step;
			continue;
		}
		buf_add(b, run, (size_t)(p - run));
		if (step == 0)
			buf_add_str(b, "\xef\xbf\xbd");
		else
			add_escaped(b, *p);
		run = ++p;
	}
	buf_add(b, run, (size_t)(p - run));
	buf_add_char(b, '"');
}

void json_add_compact(struct buf *b, const void *text, size_t len)
{
	const char *p = len ? text : "", *end = p + len, *run = p;
	bool in_string = false;

	for (; p < end; p++) {
		if (in_string && *p == '\\') {
			p++;
		} else if (*p == '"') {
			in_string = !in_string;
		} else if (!in_string && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
			buf_add(b, run, (size_t)(p - run));
			run = p + 1;
		}
	}
	buf_add(b, run, (size_t)(end - run));
}
