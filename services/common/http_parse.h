/*
 * What the HTTP server decides about bytes of strangers: framing, path, query, routes.  Pure;
 * fuzzed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"

#define HTTP_PAIRS_MAX  64
#define HTTP_PARAMS_MAX 8

struct http_pair {
	const char *name, *value;
};

struct http_framing {
	bool is_chunked;
	uint64_t length; /* of the body; 0 when chunked */
};

/*
 * Judge headers that decide where a request ends (RFC 9112, 6): one Host; at most one
 * Content-Length, digits only; at most one Transfer-Encoding, "chunked", never beside a length;
 * fewer than 64 headers; names are tokens, values hold no control bytes.  -ERR_INVALID: answer 400
 * and close, whatever else was sent.
 */
int http_judge_headers(const struct http_pair *headers, size_t count,
		       struct http_framing *ret) BOX_MUST_CHECK;

/*
 * Did civetweb's parser see the whole head?  It silently drops what follows the 64th header or a
 * folded line, which would hide a length.  headers: pointers into its buffer.  True when each value
 * is followed by the traces of CR LF as the parser leaves them, the last one by those of CR LF CR
 * LF, and when nothing but blanks stands between a colon and its value (a space before the colon
 * leaves a NUL there).  Leans on civetweb 1.15's parser; http_server_start() probes that it still
 * behaves so.
 */
bool http_head_is_whole(const struct http_pair *headers, size_t count);

/* Header `name`: first value or NULL; names compare without case. */
const char *http_find_header(const struct http_pair *headers, size_t count, const char *name);
/* "application/json" or "application/<x>+json", parameters ignored. */
bool http_type_is_json(const char *content_type);

/* Decode a request's path, once.  -ERR_INVALID for anything that could name a path in two ways: dot
 * or empty segments, "%2F", bad escapes, control bytes, bad UTF-8, no leading slash.  ret: heap. */
int http_parse_path(const char *raw, char **ret) BOX_MUST_CHECK;

struct http_query {
	char *text; /* heap; the pairs point into it */
	struct http_pair pairs[HTTP_PAIRS_MAX];
	size_t count;
};
/* Decode "a=1&b=x+y".  -ERR_INVALID for bad escapes, NUL, bad UTF-8; -ERR_TOO_LARGE over 64 pairs.
 * NULL: empty. */
int http_parse_query(const char *raw, struct http_query *ret) BOX_MUST_CHECK;
void http_query_done(struct http_query *q);

struct http_match {
	size_t count;
	struct http_match_param {
		const char *name; /* inside the pattern */
		size_t name_len;
		char *value; /* heap */
	} params[HTTP_PARAMS_MAX];
};
/* Does a route's pattern fit a decoded path?  Fills ret on success only. */
bool http_match_path(const char *pattern, const char *path, struct http_match *ret);
/* Does the pattern end in "{rest...}"? */
bool http_pattern_is_rest(const char *pattern);
const char *http_match_param(const struct http_match *m, const char *name);
void http_match_done(struct http_match *m);
