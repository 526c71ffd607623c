/*
 * JSON as Python's json.dumps(value, sort_keys=True, separators=(",", ":")) writes it: what signatures of export
 * format 1.2 are over.  Pure.
 */
#pragma once

#include <stdbool.h>
#include "buf.h"
#include "json.h"

/* ascii: other characters as \uXXXX, Python's default; false: as ensure_ascii=False. */
void pyjson_add(struct buf *b, const json_t *tree, bool ascii);
