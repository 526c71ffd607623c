/*
 * Text for a terminal.  What tools and clients wrote is foreign: control characters could move the
 * cursor, and bidirectional or invisible ones could make code read otherwise than it runs.  Both
 * are shown as escapes.
 */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "buf.h"
#include "err.h"

/* Append text with everything dangerous escaped: \x1b, \u{202e}.  Tab and LF stay unless one_line.
 */
void print_escape(struct buf *b, const char *text, size_t len, bool one_line);
void print_safe(FILE *out, const char *text, size_t len);
/* Each line of text behind the prefix, safe. */
void print_indented(FILE *out, const char *prefix, const char *text);

/*
 * A table whose columns line up.  heads: count titles.  Cells are copied and made safe; a NULL cell
 * is "-". Nothing is printed before print_table_end().
 */
struct print_table;
struct print_table *print_table_begin(const char *const *heads, size_t count);
void print_table_row(struct print_table *t, const char *const *cells);
void print_table_end(struct print_table *t, FILE *out); /* prints and frees */

/* A tree as JSON with 2 spaces, and a line end. */
void print_json(FILE *out, const json_t *tree);
/* A message in its JSON form (proto/README.md), on one line. */
void print_proto(FILE *out, const ProtobufCMessage *m);
void print_json_error(FILE *out, const struct err *err);
/* The text of a string member, or fallback when it is absent, null or empty. */
const char *print_member(const json_t *object, const char *key, const char *fallback);
/* A number member as text, or "-". */
void print_number(const json_t *object, const char *key, char ret[24]);
