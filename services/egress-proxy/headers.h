/*
 * Header fields as they come from tools and from origins.  Pure; a struct headers belongs to one
 * thread.
 *
 * Values are kept as HTTP carries them, bytes of Latin-1 without CR, LF and NUL; JSON's side is
 * UTF-8. What frames a message or belongs to one hop is the proxy's business and is dropped,
 * silently, because HTTP libraries set such fields on their own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"

#define HEADERS_REQUEST_COUNT  64
#define HEADERS_RESPONSE_COUNT 128
#define HEADERS_BYTES_MAX      (32u * 1024)

struct header {
	char *name; /* a token, in the case it was given */
	char *value;
};
struct headers {
	struct header *items;
	size_t count;
	size_t max;
	size_t bytes;
};
#define HEADERS_INIT(max_count)    \
	{                          \
		.max = (max_count) \
	}

void headers_done(struct headers *h);
/* UTF-8 in.  -ERR_INVALID with the field's name, -ERR_TOO_LARGE. */
int headers_add(struct headers *h, const char *name, const char *value,
		struct err *err) BOX_MUST_CHECK;
/* As it is: name a token, value as HTTP carries it.  Copies.  -ERR_TOO_LARGE. */
int headers_append(struct headers *h, const char *name, const char *value) BOX_MUST_CHECK;
/* Valid UTF-8 up to U+00FF -> Latin-1, at most as long.  False: it holds a wider character or one that ends a line. */
bool headers_to_latin1(const char *utf8, char *ret);
/* headers_done() for values that are secrets. */
void headers_wipe(struct headers *h);
/* One line "Name: value" from an origin, with or without line end.  -ERR_INVALID, -ERR_TOO_LARGE.
 */
int headers_add_line(struct headers *h, const char *line, size_t len) BOX_MUST_CHECK;
/* NULL when absent; the first one. */
const char *headers_find(const struct headers *h, const char *name);
void headers_remove(struct headers *h, const char *name);
/* Drops what a request or response may not carry over this hop, and what Connection nominates. */
void headers_drop_request_hop(struct headers *h);
void headers_drop_response_hop(struct headers *h);
void headers_clear(struct headers *h);
/* A value as UTF-8, into ret. */
void headers_value_utf8(const char *value, struct buf *ret);

bool headers_is_token(const char *s);
