/*
 * Bodies that are being read.  civetweb waits for the next byte, however slowly they come, and its time limit
 * begins anew with each; so a thread looks after the whole: past its deadline a connection's reading side is shut
 * down, which ends the read at once and leaves the way for an answer.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"

struct http_request;

struct http_reader {
	struct http_reader *next;
	struct http_request *rq;
	uint64_t since_ms;
	atomic_uint_fast64_t until_ms; /* on the monotonic clock */
	bool is_late;                  /* guarded by the lock until http_reader_leave() */
};
struct http_readers {
	uint32_t body_ms;
	bool is_started;
	pthread_t watcher;
	pthread_mutex_t lock;
	pthread_cond_t is_over_changed;
	/* Guarded by lock. */
	struct http_reader *first;
	bool is_over;
};

/* body_ms: time for a body's first 64 KiB; a second more for each that follow. */
int http_readers_start(struct http_readers *rs, uint32_t body_ms, struct err *err) BOX_MUST_CHECK;
/* Nobody may be reading.  Good for one whose start failed. */
void http_readers_stop(struct http_readers *rs);

/* By a connection's thread, around the reading of one body.  len: as declared; 0 for chunks. */
void http_reader_enter(struct http_readers *rs, struct http_reader *r, struct http_request *rq,
		       uint64_t len);
/* So much of a body of unknown length is there. */
void http_reader_extend(const struct http_readers *rs, struct http_reader *r, uint64_t len);
/* False: it was late and cut off. */
bool http_reader_leave(struct http_readers *rs, struct http_reader *r);
