/*
 * Inside of store_pg*.c: running a statement and turning its rows into messages.  No other file
 * includes this.  Values travel as parameters only, never inside SQL text.
 *
 * Every function returns 0 (or a count) or the code that store.h promises.  The first failure breaks
 * the transaction; what follows in it fails the same way.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "store.h"

struct param {
	enum {
		PARAM_NULL,
		PARAM_TEXT,
		PARAM_INT,
		PARAM_BOOL,
		PARAM_BYTES,
		PARAM_TEXTS,
		PARAM_INTS
	} kind;
	union {
		const char *text;
		int64_t n;
		struct {
			const void *data;
			size_t len;
		} bytes;
		struct {
			char *const *items;
			size_t count;
		} texts;
		struct {
			const int64_t *items;
			size_t count;
		} ints;
	} v;
};
#define P_NULL        ((struct param){ .kind = PARAM_NULL })
#define P_TEXT(s)     ((struct param){ .kind = PARAM_TEXT, .v.text = (s) }) /* NULL: SQL NULL */
#define P_INT(i)      ((struct param){ .kind = PARAM_INT, .v.n = (int64_t)(i) })
#define P_BOOL(b)     ((struct param){ .kind = PARAM_BOOL, .v.n = (b) })
#define P_BYTES(d, l) ((struct param){ .kind = PARAM_BYTES, .v.bytes = { (d), (l) } })
#define P_TEXTS(a, c) ((struct param){ .kind = PARAM_TEXTS, .v.texts = { (a), (c) } })
#define P_INTS(a, c)  ((struct param){ .kind = PARAM_INTS, .v.ints = { (a), (c) } })
/* bytes of a message; empty is SQL NULL */
#define P_PB(b) ((b).len ? P_BYTES((b).data, (b).len) : P_NULL)
/* JSON or other text that lies in a bytes field; empty is SQL NULL */
#define P_PB_TEXT(tx, b) ((b).len ? P_TEXT(arena_dup(store_arena(tx), (b).data, (b).len)) : P_NULL)
#define PARAMS(...)                            \
	(const struct param[]){ __VA_ARGS__ }, \
		sizeof((const struct param[]){ __VA_ARGS__ }) / sizeof(struct param)

/* In SQL: a parameter of ms since 1970 as timestamptz. */
#define SQL_MS(param) "('epoch'::timestamptz + (" param ")::bigint * interval '1 millisecond')"

/* Search is a plain substring, whatever signs it holds. */
#define SQL_OF_SERVER(column)  "($3::uuid IS NULL OR " column " = $3)"
#define SQL_FOUND(column)      "position(lower($1) IN lower(" column ")) > 0"
#define SQL_BYTES_TEXT(column) "convert_from(coalesce(" column ", ''), 'UTF8')"

/* A page of a filtered list and how many there are in all.  Parameters of both statements: 1 search text, 2 status,
 * 3 server or NULL; of `page` also 4 rows, 5 offset. */
struct pg_list {
	const ProtobufCMessageDescriptor *type;
	const char *count, *page;
};
int pg_list_rows(struct store_tx *tx, const struct pg_list *list, const struct filter *f,
		 void ***ret, size_t *ret_count, int64_t *ret_total);

/* Number of rows touched, or a negative code. */
int64_t pg_run(struct store_tx *tx, const char *sql, const struct param *params, size_t count);
#define pg_exec(tx, sql, ...) pg_run((tx), (sql), PARAMS(__VA_ARGS__))

/* Columns fill the fields of their name: NULL leaves the default or an unset oneof. */
int pg_rows(struct store_tx *tx, const ProtobufCMessageDescriptor *type, void ***ret,
	    size_t *ret_count, const char *sql, const struct param *params, size_t count);
int pg_row(struct store_tx *tx, const ProtobufCMessageDescriptor *type, void **ret, const char *sql,
	   const struct param *params, size_t count); /* -ERR_NOT_FOUND */
#define pg_all(tx, type, ret, ret_count, sql, ...) \
	pg_rows((tx), (type), (void ***)(ret), (ret_count), (sql), PARAMS(__VA_ARGS__))
#define pg_one(tx, type, ret, sql, ...) \
	pg_row((tx), (type), (void **)(ret), (sql), PARAMS(__VA_ARGS__))
int pg_number(struct store_tx *tx, int64_t *ret, const char *sql, const struct param *params,
	      size_t count);
int pg_texts(struct store_tx *tx, char ***ret, size_t *ret_count, const char *sql,
	     const struct param *params, size_t count); /* first column of all rows */
/* 0 when at least one row was touched, -ERR_NOT_FOUND when none, or a code. */
int pg_touched(int64_t r);
/* Several statements at once, without parameters: migrations and session commands. */
int pg_script(struct store_tx *tx, const char *sql);

#define ROWS(name) (&mcpbox__rows__##name##__descriptor)
#define MSGS(name) (&mcpbox__v1__##name##__descriptor)
