/*
 * GET /api/activity/stream: activity as Server-Sent Events, from Last-Event-ID on or from now.
 *
 * One thread asks the registry, for each client with that client's own credential, whenever the Status says that the
 * audit went on: so a session that has ended ends its streams, and the shape and order of rows are the registry's.
 * A client that does not read is cut off when its queue is full (http_stream_send) and comes back with the id of
 * the last row that it got.
 *
 * Order: feed_new -> feed_start -> handlers -> HTTP stopped -> feed_stop -> bus stopped -> feed_free.
 */
#pragma once

#include "api.h"
#include "attrs.h"
#include "bus.h"

struct feed;

enum { FEED_CLIENTS_MAX = 24 };

struct feed *feed_new(void);
/* The bus is borrowed. */
void feed_start(struct feed *f, struct bus *bus);
void feed_stop(struct feed *f); /* ends what streams are left */
void feed_free(struct feed *f); /* both: NULL is fine */
/* The registry's Status came: quick, any thread. */
void feed_status(struct feed *f, uint64_t audit_seq);

api_serve feed_serve;
