#include "capture.h"

#include <ctype.h>
#include <string.h>
#include "parse.h"

#define REPLACEMENT "\xef\xbf\xbd"

void capture_add(struct capture *c, const void *data, size_t len)
{
	size_t room = CAPTURE_KEPT - c->kept.len;

	c->total += len;
	buf_add(&c->kept, data, len < room ? len : room);
}

void capture_done(struct capture *c)
{
	buf_done(&c->kept);
}

/* Length of the valid UTF-8 character at p, 0 for none (NUL included). */
static size_t character(const uint8_t *p, size_t left)
{
	size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

	if (*p == 0 || len > left || !text_is_utf8(p, len))
		return 0;
	return len;
}

static void add_repaired(const uint8_t *p, size_t left, bool is_cut, struct buf *ret)
{
	while (left > 0) {
		size_t len = character(p, left);

		if (len > 0) {
			buf_add(ret, p, len);
		} else {
			if (is_cut && left < 4 && *p >= 0xc0)
				return; /* the cut went through a character */
			buf_add_str(ret, REPLACEMENT);
			len = 1;
		}
		p += len;
		left -= len;
	}
}

bool capture_is_cut(const struct capture *c)
{
	return c->total > c->kept.len;
}

void capture_text(const struct capture *c, struct buf *ret)
{
	if (text_is_utf8(c->kept.data, c->kept.len) &&
	    !memchr(buf_str((struct buf *)&c->kept), 0, c->kept.len))
		buf_add(ret, c->kept.data, c->kept.len);
	else
		add_repaired(c->kept.data, c->kept.len, capture_is_cut(c), ret);
}

void capture_mark(const struct capture *c, struct buf *ret)
{
	if (capture_is_cut(c))
		buf_printf(ret, "\n[output cut: %llu of %llu bytes are shown]",
			   (unsigned long long)c->kept.len, (unsigned long long)c->total);
}

bool capture_is_blank(const struct capture *c)
{
	for (size_t i = 0; i < c->kept.len; i++) {
		if (!isspace(c->kept.data[i]))
			return false;
	}
	return true;
}
