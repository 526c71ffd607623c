/*
 * The only user of the JSON library (jansson), and a scanner that builds no tree.
 * Ceilings: depth 64, size by the caller.  Strict: UTF-8, no duplicates of keys, nothing behind the
 * value.  json_load refuses integers beyond int64; texts that must keep every digit stay bytes and are
 * scanned.  The tree type is jansson's own, included from here so that nobody else names the library.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "cleanup.h"
#include "err.h"

#define JSON_DEPTH_MAX 64

void json_start(void); /* before threads */

/* Parse.  -ERR_INVALID with a text that names the byte position; -ERR_TOO_LARGE over depth. */
int json_load(const void *text, size_t len, json_t **ret, struct err *err) BOX_MUST_CHECK;
/* The same for foreign texts that are only looked at: strings may hold U+0000, so a C string may end early. */
int json_load_with_nul(const void *text, size_t len, json_t **ret, struct err *err) BOX_MUST_CHECK;
/* Compact, UTF-8, key order kept; heap; NULL only for a NULL tree. */
char *json_dump(const json_t *tree, size_t *ret_len);
/* BOX_CLEANUP(json_decrefp): the library brings that one itself. */

/* One token range inside a text: [at, at+len). */
struct json_span {
	const char *at;
	size_t len;
};
/* Is the text exactly one valid JSON value (depth, UTF-8, numbers, duplicate-free not checked)? */
int json_scan(const void *text, size_t len, struct err *err) BOX_MUST_CHECK;
/* As json_scan, and the value must be an object: find the raw spans of the named top-level members.
 * names: count C strings; ret[i].at is NULL where absent.  A name that occurs twice: -ERR_INVALID. */
int json_scan_members(const void *text, size_t len, const char *const *names, size_t count,
		      struct json_span *ret, struct err *err) BOX_MUST_CHECK;
/*
 * Call fn for each member of an object, or each element of an array, in order; spans are raw.  The whole text is
 * judged on the way, so fn may have been called before a fault shows.  Stops at fn's first negative result and
 * returns it.
 */
typedef int json_member_fn(void *arg, struct json_span key, struct json_span value,
			   struct err *err);
typedef int json_element_fn(void *arg, struct json_span value, struct err *err);
int json_each_member(const void *text, size_t len, json_member_fn *fn, void *arg,
		     struct err *err) BOX_MUST_CHECK;
int json_each_element(const void *text, size_t len, json_element_fn *fn, void *arg,
		      struct err *err) BOX_MUST_CHECK;
/* Is key (a raw span of a string) this name?  Escapes count as what they stand for. */
bool json_key_is(struct json_span key, const char *name);
/* A span that is a JSON string -> heap C string with len (may hold NUL: then -ERR_INVALID). */
int json_span_string(struct json_span span, char **ret, size_t *ret_len) BOX_MUST_CHECK;
/* The same, NUL included. */
int json_span_bytes(struct json_span span, char **ret, size_t *ret_len) BOX_MUST_CHECK;
struct buf;
/* Append text as a JSON string with quotes; bad UTF-8 becomes U+FFFD. */
void json_add_string(struct buf *b, const void *text, size_t len);
/* Remove insignificant white space; the text must have passed json_scan. */
void json_add_compact(struct buf *b, const void *text, size_t len);
