#include "headers.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "crypto.h"
#include "mem.h"
#include "parse.h"

static const char *const request_hop[] = {
	"Host",
	"Content-Length",
	"Transfer-Encoding",
	"Connection",
	"Keep-Alive",
	"Upgrade",
	"TE",
	"Trailer",
	"Expect",
	"HTTP2-Settings",
	/* What the body is decoded from is agreed between proxy and origin. */
	"Accept-Encoding",
};

static const char *const response_hop[] = {
	"Transfer-Encoding",
	"Connection",
	"Keep-Alive",
	"Upgrade",
	"Trailer",
	/* The body that the tool gets is decoded. */
	"Content-Encoding",
	"Proxy-Connection",
	"Proxy-Authenticate",
	"Alt-Svc",
};

bool headers_is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return true;
}

void headers_clear(struct headers *h)
{
	for (size_t i = 0; i < h->count; i++) {
		free(h->items[i].name);
		free(h->items[i].value);
	}
	h->count = 0;
	h->bytes = 0;
}

void headers_wipe(struct headers *h)
{
	for (size_t i = 0; i < h->count; i++)
		crypto_wipe(h->items[i].value, strlen(h->items[i].value));
	headers_done(h);
}

void headers_done(struct headers *h)
{
	headers_clear(h);
	free(h->items);
	h->items = NULL;
}

/* Takes both. */
static int append(struct headers *h, char *name, char *value)
{
	size_t size = strlen(name) + strlen(value) + 4;

	if (h->count == h->max || h->bytes + size > HEADERS_BYTES_MAX) {
		free(name);
		free(value);
		return -ERR_TOO_LARGE;
	}
	if (!h->items)
		h->items = mem_alloc_array(h->max, sizeof(*h->items));
	h->items[h->count++] = (struct header){ name, value };
	h->bytes += size;
	return 0;
}

int headers_append(struct headers *h, const char *name, const char *value)
{
	return append(h, mem_strdup(name), mem_strdup(value));
}

bool headers_to_latin1(const char *utf8, char *ret)
{
	for (; *utf8; utf8++) {
		unsigned char c = (unsigned char)*utf8;

		if (c == 0xc2 || c == 0xc3)
			c = (unsigned char)((c & 3u) << 6 | ((unsigned char)*++utf8 & 0x3fu));
		else if (c >= 0x80 || c == '\r' || c == '\n' || c == 0x7f ||
			 (c < 0x20 && c != '\t'))
			return false;
		*ret++ = (char)c;
	}
	*ret = '\0';
	return true;
}

int headers_add(struct headers *h, const char *name, const char *value, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *latin1 = NULL;

	if (!headers_is_token(name))
		return err_set(err, ERR_INVALID, "a header name holds characters it must not");
	latin1 = mem_alloc(strlen(value) + 1);
	if (!text_is_utf8(value, strlen(value)) || !headers_to_latin1(value, latin1))
		return err_set(err, ERR_INVALID,
			       "header '%.64s' holds a line break or a character beyond Latin-1",
			       name);
	if (append(h, mem_strdup(name), TAKE(latin1)) < 0)
		return err_set(err, ERR_TOO_LARGE, "more than %zu headers or %u KiB of them",
			       h->max, HEADERS_BYTES_MAX / 1024);
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int headers_add_line(struct headers *h, const char *line, size_t len)
{
	const char *colon;
	const char *value;
	char *name;

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	colon = memchr(line, ':', len);
	if (!colon || memchr(line, '\0', len) || memchr(line, '\r', len) || memchr(line, '\n', len))
		return -ERR_INVALID;
	name = mem_strndup(line, (size_t)(colon - line));
	if (!headers_is_token(name)) {
		free(name);
		return -ERR_INVALID;
	}
	for (value = colon + 1; value < line + len && is_blank(*value); value++)
		;
	while (len > 0 && line + len > value && is_blank(line[len - 1]))
		len--;
	return append(h, name, mem_strndup(value, (size_t)(line + len - value)));
}

/* h->count when absent. */
static size_t position(const struct headers *h, const char *name)
{
	size_t i;

	for (i = 0; i < h->count && strcasecmp(h->items[i].name, name) != 0; i++)
		;
	return i;
}

const char *headers_find(const struct headers *h, const char *name)
{
	size_t i = position(h, name);

	return i < h->count ? h->items[i].value : NULL;
}

static void remove_at(struct headers *h, size_t i)
{
	free(h->items[i].name);
	free(h->items[i].value);
	memmove(&h->items[i], &h->items[i + 1], (h->count - i - 1) * sizeof(*h->items));
	h->count--;
}

void headers_remove(struct headers *h, const char *name)
{
	for (size_t i = 0; i < h->count;) {
		if (strcasecmp(h->items[i].name, name) == 0)
			remove_at(h, i);
		else
			i++;
	}
}

/* Connection: close, X-Foo  ->  X-Foo is for this hop too. */
static void remove_nominated(struct headers *h)
{
	size_t i;

	while ((i = position(h, "Connection")) < h->count) {
		BOX_CLEANUP(mem_freep) char *list = TAKE(h->items[i].value);
		char *rest = list;
		char *name;

		remove_at(h, i);
		while ((name = strsep(&rest, ", \t")))
			if (*name)
				headers_remove(h, name);
	}
}

void headers_drop_request_hop(struct headers *h)
{
	remove_nominated(h);
	for (size_t i = 0; i < ARRAY_LEN(request_hop); i++)
		headers_remove(h, request_hop[i]);
	for (size_t i = 0; i < h->count;) {
		if (strncasecmp(h->items[i].name, "Proxy-", 6) == 0)
			remove_at(h, i);
		else
			i++;
	}
}

void headers_drop_response_hop(struct headers *h)
{
	remove_nominated(h);
	/* A length stays if it is that of the body that the tool gets, or would get for GET (HEAD). */
	if (headers_find(h, "Content-Encoding") || headers_find(h, "Transfer-Encoding"))
		headers_remove(h, "Content-Length");
	for (size_t i = 0; i < ARRAY_LEN(response_hop); i++)
		headers_remove(h, response_hop[i]);
}

void headers_value_utf8(const char *value, struct buf *ret)
{
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c < 0x80) {
			buf_add_char(ret, (char)c);
		} else {
			buf_add_char(ret, (char)(0xc0 | c >> 6));
			buf_add_char(ret, (char)(0x80 | (c & 0x3f)));
		}
	}
}
