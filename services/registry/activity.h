/*
 * Activity: one list of what the audit, the calls and the outbound requests say.  What a list is narrowed to, and
 * the names of rows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"

struct activity_choice {
	const char *server_id, *log_types, *levels, *request_id,
		*search; /* "" for all; lists with commas */
	int64_t since_unix_ms, until_unix_ms;
	bool sees_audit;
	char **objects; /* of the audit, that belong to the server */
	size_t object_count;
};

/* "a123": row 123 of the audit; "b45.6": record 6 of batch 45. */
struct activity_id {
	int64_t seq, batch, no; /* seq 0: the other two */
};
/* Pure.  -ERR_INVALID. */
int activity_read_id(const char *text, struct activity_id *ret);
