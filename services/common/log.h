/*
 * One JSON line per event on stderr.  Events have stable dotted names in the past tense and typed
 * fields; service, instance and time are added here.  Foreign text is a field, never a format.
 * Secrets have their own type and no field constructor, so they cannot get in.  Any thread.
 *
 *	log_info("bus.peer_joined", F_STR("peer", name), F_INT("slots", n));
 */
#pragma once

#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include "err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
	const char *key;
	enum { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_BOOL } kind;
	union {
		/* Borrowed; NULL prints null; bad UTF-8 is replaced; cut at 1 KiB. */
		const char *str;
		int64_t i;
		uint64_t u;
	} v;
};
#define F_STR(k, s)  ((struct log_field){ (k), LOG_FIELD_STR, { .str = (s) } })
#define F_INT(k, n)  ((struct log_field){ (k), LOG_FIELD_INT, { .i = (int64_t)(n) } })
#define F_UINT(k, n) ((struct log_field){ (k), LOG_FIELD_UINT, { .u = (uint64_t)(n) } })
#define F_BOOL(k, b) ((struct log_field){ (k), LOG_FIELD_BOOL, { .u = (b) ? 1 : 0 } })
#define F_ERR(e)     F_STR("error", (e)->text)
#define F_ERRNO(n)   F_STR("errno", strerrorname_np(n))

void log_open(const char *service, const char *instance, enum log_level min);
void log_event(enum log_level level, const char *event, const struct log_field *fields);

#define LOG_WITH(level, event, ...) \
	log_event(                  \
		(level), (event),   \
		(const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ .kind = LOG_FIELD_END } })
#define log_error(event, ...) LOG_WITH(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_WITH(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_WITH(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) LOG_WITH(LOG_DEBUG, event, __VA_ARGS__)
