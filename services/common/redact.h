/*
 * What of a call's arguments and results goes into its record: the JSON text with the values of
 * telling keys (password, token, ...) replaced, and cut to a bound.  Pure; no tree is built,
 * numbers keep their digits.
 */
#pragma once

#include <stddef.h>
#include "buf.h"

/*
 * Append the text, which must have passed json_scan.  A text longer than max, before or after, is
 * replaced by {"cut":true,"bytes":N}: half a JSON value is none.
 */
void redact_json(struct buf *b, const char *text, size_t len, size_t max);
