#include "hide.h"

#include <string.h>
#include "cleanup.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"

static void replace(struct buf *b, struct buf *by)
{
	struct buf old = *b;

	*b = *by;
	b->max = old.max;
	*by = (struct buf){ 0 };
	crypto_wipe(old.data, old.cap);
	buf_done(&old);
}

/* Behind the string's last quote. */
static size_t end_of_string(const uint8_t *p, size_t from, size_t len)
{
	size_t i = from + 1;

	while (i < len && p[i] != '"')
		i += p[i] == '\\' ? 2 : 1;
	return i < len ? i + 1 : len;
}

static size_t end_of_number(const uint8_t *p, size_t from, size_t len)
{
	size_t i = from;

	while (i < len && p[i] && strchr("+-.0123456789eE", p[i]))
		i++;
	return i;
}

/* Judged as what it says, whatever its escapes; written as it was when nothing is to be hidden. */
static bool add_string(const struct mask *mask, struct json_span s, struct buf *ret)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	BOX_CLEANUP(buf_done) struct buf masked = BUF_INIT(SIZE_MAX / 4);
	size_t len = 0;
	bool is_changed;

	if (!memchr(s.at, '\\', s.len)) {
		buf_add_char(ret, '"');
		is_changed = mask_text(mask, s.at + 1, s.len - 2, ret);
		buf_add_char(ret, '"');
		return is_changed;
	}
	if (json_span_bytes(s, &text, &len) == 0 && mask_text(mask, text, len, &masked)) {
		json_add_string(ret, masked.data, masked.len);
		return true;
	}
	buf_add(ret, s.at, s.len);
	return false;
}

static bool add_number(const struct mask *mask, const uint8_t *p, size_t len, struct buf *ret)
{
	BOX_CLEANUP(buf_done) struct buf masked = BUF_INIT(4096);

	if (!mask_text(mask, p, len, &masked)) {
		buf_add(ret, p, len);
		return false;
	}
	json_add_string(ret, masked.data, masked.len);
	return true;
}

bool hide_json(const struct mask *mask, struct buf *b)
{
	struct buf out = BUF_INIT(SIZE_MAX / 4);
	bool is_changed = false;
	const uint8_t *p = b->data;

	for (size_t i = 0, end; i < b->len; i = end) {
		if (p[i] == '"') {
			end = end_of_string(p, i, b->len);
			is_changed |= add_string(
				mask, (struct json_span){ (const char *)p + i, end - i }, &out);
		} else if (p[i] == '-' || (p[i] >= '0' && p[i] <= '9')) {
			end = end_of_number(p, i, b->len);
			is_changed |= add_number(mask, p + i, end - i, &out);
		} else {
			end = i + 1;
			buf_add_char(&out, (char)p[i]);
		}
	}
	if (is_changed)
		replace(b, &out);
	buf_done(&out);
	return is_changed;
}

bool hide_text(const struct mask *mask, bool is_cut, struct buf *b)
{
	struct buf out = BUF_INIT(SIZE_MAX / 4);
	struct mask_stream s;

	mask_begin(&s, mask);
	mask_feed(&s, b->data, b->len, &out);
	mask_end(&s, is_cut, &out);
	if (s.masked > 0)
		replace(b, &out);
	buf_done(&out);
	return s.masked > 0;
}
