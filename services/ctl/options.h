/*
 * The command line: one table of options, one struct that holds their values.  Which command takes
 * which option is a bit set in the command's row (main.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "attrs.h"
#include "err.h"

enum option {
	OPTION_DATA,
	OPTION_JSON,
	OPTION_HELP,
	OPTION_USER,
	OPTION_PASSWORD_FILE,
	OPTION_REASON,
	OPTION_HASH,
	OPTION_ALLOW_PRIVATE,
	OPTION_SINCE,
	OPTION_TOPIC,
	OPTION_LIMIT,
	OPTION_NO_FOLLOW,
	OPTION_ANCHOR,
	OPTION_ROOT,
	OPTION_OUT,
	OPTION_ARGUMENTS,
	OPTION_SERVER,
	OPTION_FORMAT,
	OPTION_HEADS,
	OPTION_DRY_RUN,
	OPTION_ACCEPT_UNVERIFIED,
	OPTION_SETTINGS,
	OPTION_ROLE,
	OPTION_SCOPE,
	OPTION_DAYS,
	OPTION_COUNT
};
#define OPT(o)         (1u << (o))
#define OPT_EVERYWHERE (OPT(OPTION_DATA) | OPT(OPTION_JSON) | OPT(OPTION_HELP))

#define OPTIONS_MAX_WORDS  8
#define OPTIONS_MAX_TOPICS 16

struct options {
	const char *data;
	bool json;
	bool help;
	const char *user;
	const char *password_file;
	const char *reason;
	const char *hash;
	bool allow_private;
	uint64_t since;
	const char *topics[OPTIONS_MAX_TOPICS];
	size_t topic_count;
	uint64_t limit;
	bool no_follow;
	const char *anchor;
	const char *root;
	const char *out;
	const char *arguments;

	const char *server;
	const char *format;
	bool heads;
	bool dry_run;
	bool accept_unverified;
	bool settings;
	const char *role;
	const char *scope;
	uint64_t days;

	uint32_t given;                       /* OPT() bits of the options that were there */
	const char *words[OPTIONS_MAX_WORDS]; /* what is no option: command and arguments */
	size_t word_count;
};

/* Strings are borrowed from argv.  -ERR_INVALID with a text for people. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err) BOX_MUST_CHECK;
/* Name of the first option in `given` that is not in `allowed`; NULL when all are. */
const char *options_first_foreign(uint32_t given, uint32_t allowed);
/* One help line for each option in the set. */
void options_print(uint32_t set, FILE *out);
