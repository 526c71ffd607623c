/* The rows behind mgmt_tools.h: what each management tool is called, takes, asks and gives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

#define MGMT_PARAMS_MAX 16

struct mcp_context;
struct mgmt_tool;

/* Append the result for these arguments (an object).  False: nobody waits for the answer any more. */
typedef bool mgmt_run(const struct mgmt_tool *tool, const struct mcp_context *c,
		      const char *arguments, size_t len, struct buf *ret);
mgmt_run mgmt_ask;       /* one question to the registry */
mgmt_run mgmt_test_code; /* a question, then a call */

struct mgmt_param {
	const char *name; /* as in the request message; NULL ends the list */
	enum { MGMT_STRING, MGMT_INTEGER, MGMT_BOOLEAN, MGMT_OBJECT, MGMT_STRINGS } type;
	bool is_required;
	const char *text; /* for the reader of the schema; plain, goes into JSON as it is */
};

enum mgmt_flags {
	MGMT_READS = 1,     /* changes nothing */
	MGMT_REPLACES = 2,  /* takes something away or over: clients may ask before */
	MGMT_MOVES_MAP = 4, /* what is published may be another afterwards */
	MGMT_REPEATS = 8,   /* asked again it changes nothing more */
};

struct mgmt_tool {
	const char *name, *title;
	uint16_t msg;
	unsigned flags;
	const char *unwrap; /* the reply's field that is the result; NULL: all of it */
	mgmt_run *run;
	struct mgmt_param params[MGMT_PARAMS_MAX + 1];
	const char *description;
};

extern const struct mgmt_tool mgmt_table[]; /* in the order of tools/list */
extern const size_t mgmt_table_count;
