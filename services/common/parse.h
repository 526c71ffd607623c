/* Strict readers: the whole text or a refusal (-ERR_INVALID); no locale, no leading space, no sign
 * unless said.  Outputs are written on success only.  Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include "attrs.h"

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret) BOX_MUST_CHECK;
int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret) BOX_MUST_CHECK;
int parse_bool(const char *s, bool *ret) BOX_MUST_CHECK; /* 0 1 false true no yes off on */
/* "250", "250ms", "30s", "10m", "2h" */
int parse_duration_ms(const char *s, uint64_t *ret) BOX_MUST_CHECK;
int parse_size(const char *s, uint64_t *ret) BOX_MUST_CHECK; /* "4096", "64k", "8m", "1g" (1024) */
/* 2026-11-22T16:00:00[.123]Z, or +00:00 */
int parse_iso(const char *s, int64_t *ret_unix_ms) BOX_MUST_CHECK;
int parse_hex(const char *s, uint8_t *ret, size_t len) BOX_MUST_CHECK; /* exactly 2*len digits */
void format_hex(const uint8_t *data, size_t len, char *ret);           /* 2*len+1 bytes */
bool text_is_utf8(const void *data, size_t len);      /* strict: no surrogates, overlongs */
size_t text_utf8_step(const uint8_t *p, size_t left); /* bytes of the first character; 0: bad */
bool text_is_plain(const void *data, size_t len);     /* UTF-8 without control bytes but \t \n \r */
bool text_is_uuid(const char *s);
bool text_is_name(const char *s); /* [a-z][a-z0-9]*(_[a-z0-9]+)*, at most 60 (servers and tools) */
/* base64, standard alphabet with padding; both give heap */
char *format_base64(const void *data, size_t len);
int parse_base64(const char *s, size_t len, uint8_t **ret, size_t *ret_len) BOX_MUST_CHECK;
