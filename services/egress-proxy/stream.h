/*
 * The AF_UNIX socket and its streams: accept, opening, requests one after the other, end.  Loop
 * thread.
 *
 * A stream passes through: OPENING (a sealed Open within 5 s) -> READING -> BUSY (one exchange) ->
 * ANSWERING -> READING ...  It ends when either side closes, when the time of its call is over,
 * when its permit is revoked, or when what arrives cannot be told apart any more.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "attrs.h"
#include "buf.h"
#include "call.h"
#include "err.h"
#include "exchange.h"
#include "loop.h"
#include "wire.h"

#define STREAMS_MAX        1024
#define OPENING_TIMEOUT_MS 5000

enum stream_state { STREAM_OPENING, STREAM_READING, STREAM_BUSY, STREAM_ANSWERING };

struct stream {
	struct stream *next, *prev;
	struct listener *listener;
	int fd;
	pid_t peer_pid;
	enum stream_state state;
	bool closes_after_answer;
	unsigned openings; /* frames taken as an Open so far */
	uint64_t accepted_mono_ms;
	struct call call; /* from the accepted Open on */
	struct wire wire;
	struct exchange exchange;
	struct buf out_frame;
	struct buf out_body;
	size_t sent;   /* of both together */
	uint64_t held; /* of the budget for bodies */
};

struct listener {
	struct loop *loop;
	struct exchange_env *env;
	struct grant_cache *grants;
	struct tally *tallies;
	char *path;
	int fd;
	struct stream *streams;
	atomic_size_t count; /* written here, read by the thread that renews the lease */
	struct loop_timer tick;
	uint64_t turned_away;
};

/* Binds path (a stale socket file there is removed), mode 0660.  env, loop: borrowed.
 * -ERR_UNAVAILABLE. */
int listener_start(struct listener *l, struct loop *loop, struct exchange_env *env,
		   const char *path, struct err *err) BOX_MUST_CHECK;
/* Ends all streams, removes the socket file. */
void listener_stop(struct listener *l);
/* Ends the streams whose permit the newest Status revokes. */
void listener_drop_revoked(struct listener *l);
size_t listener_streams_of_call(const struct listener *l, const char *call_id);

/* handlers.c: one sealed frame -> one sealed reply; binds s->call when it opens the stream.
 * -ERR_DENIED: nothing is due to whoever sent this. */
int handlers_answer(struct stream *s, const void *frame, size_t len,
		    struct buf *ret_reply) BOX_MUST_CHECK;
