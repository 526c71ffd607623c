/*
 * Settings: environment only, one table per service, judged as a whole before anything is opened.
 *
 *	static const struct cfg_row rows[] = {
 *		CFG(struct registry_cfg, "MCPBOX_X_MS", CFG_MS, x_ms, "5000", 100, 60000, 0, "what it is"),
 *	};
 *
 * A bad start reports all bad values.  A row with CFG_FILE_ALLOWED may come from NAME_FILE.  Secrets
 * print as "(set)".  Strings are heap, freed by cfg_free().  An empty variable counts as unset: compose
 * files pass those on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "attrs.h"

enum cfg_kind {
	CFG_STRING, /* char * (NULL when unset and no default); min,max bound its length */
	CFG_SECRET, /* struct secret * */
	CFG_UINT,   /* uint32_t */
	CFG_MS,     /* uint32_t, parse_duration_ms */
	CFG_SIZE,   /* uint64_t, parse_size */
	CFG_BOOL,   /* bool */
};
enum {
	CFG_REQUIRED = 1,
	CFG_FILE_ALLOWED = 2,
	CFG_INTERNAL = 4 /* set by `up`, left out of env.example */
};

struct cfg_row {
	const char *name;
	enum cfg_kind kind;
	size_t offset;
	const char *fallback;
	uint64_t min, max; /* both 0: unbounded */
	unsigned flags;
	const char *meaning;
};
#define CFG(type, name, kind, field, fallback, min, max, flags, meaning)                  \
	{                                                                                 \
		(name), (kind), offsetof(type, field), (fallback), (min), (max), (flags), \
			(meaning)                                                         \
	}

/* A row of every table; the field is a char *.  service_init() opens the log with it. */
#define CFG_LOG_LEVEL_NAME "MCPBOX_LOG_LEVEL"
#define CFG_LOG_LEVEL(type, field)                                        \
	CFG(type, CFG_LOG_LEVEL_NAME, CFG_STRING, field, "info", 0, 0, 0, \
	    "least level that is logged: debug, info, warn, error")

/* Two rows of every service on the bus; the fields are char *bus_tls_cert and *bus_tls_ca (bus_tls_load). */
#define BUS_TLS_ROWS(type)                                                                \
	CFG(type, "MCPBOX_BUS_TLS_CERT", CFG_STRING, bus_tls_cert, NULL, 0, 4095, 0,      \
	    "PEM file with this instance's certificate (named mcpbox-bus) and key, mode " \
	    "0600; tls+tcp:// addresses need it"),                                        \
		CFG(type, "MCPBOX_BUS_TLS_CA", CFG_STRING, bus_tls_ca, NULL, 0, 4095, 0,  \
		    "PEM file with the CA of the other services' certificates on the bus")

/* Reads all rows into `into` (zeroed by the caller).  Prints every bad value to stderr, one per line; after
 * a failure `into` holds nothing to free. */
int cfg_load(const struct cfg_row *rows, size_t count, void *into) BOX_MUST_CHECK;
void cfg_free(const struct cfg_row *rows, size_t count, void *from);
/* --print-config: name, value, meaning, tab-separated, one row a line; unset prints "". */
void cfg_print(const struct cfg_row *rows, size_t count, const void *from, FILE *out);
/* Rows as JSON lines {name,kind,default,min,max,required,secret,meaning}: docs/config.md is made of it
 * (--print-config-table). */
void cfg_print_table(const struct cfg_row *rows, size_t count, FILE *out);
