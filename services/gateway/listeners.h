/*
 * Open streams that wait for change: the GET stream of a legacy session and subscriptions/listen.
 * Each stream remembers the digest of the list that its client was last told about, so a burst of
 * changes that ends where it began says nothing, and several changes at once say it once.  Any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "catalog.h"
#include "http_server.h"
#include "json.h"
#include "session.h"

struct listeners;

struct listeners *listeners_new(size_t max);
void listeners_free(struct listeners *l);
/* Ends every stream, listen streams with their result. */
void listeners_stop(struct listeners *l);

struct listener_want {
	const struct session *session;    /* GET stream; NULL for listen */
	struct json_span subscription_id; /* listen: the request's id as written */
	const char *server;               /* /mcp/<server>, or NULL for all */
	bool wants_tools;
};
enum { LISTENERS_FULL = -1, LISTENERS_TAKEN = -2 /* the session has its GET stream already */ };
/*
 * Reserve a place before the stream begins; a number above 0, or one of the above.  The place is
 * then filled by listeners_attach (which sends what belongs first: the acknowledgement) or given
 * up.
 */
long listeners_reserve(struct listeners *l, const struct listener_want *want,
		       const struct catalog *now);
void listeners_attach(struct listeners *l, long number, struct http_stream *stream);
/* Streams of an ended session. */
void listeners_end_session(struct listeners *l, const struct session *session);
/* The catalog changed: tell those whose list is another one now. */
void listeners_changed(struct listeners *l, const struct catalog *c);
size_t listeners_count(struct listeners *l); /* those whose clients are still there */
