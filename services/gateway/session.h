/*
 * Legacy sessions.  The id is the session: version, capabilities and age, with a MAC under a key
 * that every gateway derives from its role's keys.  So any gateway serves it, also after a restart,
 * and nothing is stored when one begins.  What changes later - ended, log level - is remembered
 * here, in memory and bounded: two generations of at most SESSION_NOTES each, the older one is
 * forgotten when the younger is full.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "crypto.h"
#include "era.h"

#define SESSION_ID_SIZE   96    /* text with NUL */
#define SESSION_MAX_AGE_S 86400 /* then 404, and clients initialize again by themselves */
#define SESSION_NOTES     16384u
#define SESSION_SERIAL    16

/* What the id says. */
struct session {
	uint8_t serial[SESSION_SERIAL]; /* random, names the session */
	enum mcp_version version;
	int64_t created_unix_s;
};

struct sessions;

/* key: borrowed, copied. */
struct sessions *sessions_new(const uint8_t key[CRYPTO_KEY_SIZE]);
void sessions_free(struct sessions *s);

/* Begin one. */
void session_new(struct sessions *s, enum mcp_version version, struct session *ret,
		 char ret_id[SESSION_ID_SIZE]);
/* Judge an id: forged, malformed, too old and ended ones are all -ERR_NOT_FOUND. */
int session_find(struct sessions *s, const char *id, struct session *ret) BOX_MUST_CHECK;
void session_end(struct sessions *s, const struct session *session);
void session_set_level(struct sessions *s, const struct session *session, enum log_severity level);
enum log_severity session_level(struct sessions *s,
				const struct session *session); /* NONE: not set */
