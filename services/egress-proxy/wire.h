/*
 * Reading "u32 length, head, body" from a stream.  Pure, fuzzed; one per stream, its loop's thread.
 *
 * The reader says where the next bytes go and how many; the stream reads exactly those, so that
 *nothing of a following request is ever taken in too early.  Memory grows with what arrived, not
 *with what was announced.
 *
 *	space = wire_space(&w, &len);  n = recv(fd, space, len);  switch (wire_advance(&w, n)) ...
 *	at WIRE_HEAD: judge w.head, then wire_expect_body(); at WIRE_BODY: use both, then
 *wire_next().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "err.h"

#define WIRE_HEAD_MAX (64u * 1024)
#define WIRE_OPEN_MAX (512u * 1024) /* of an opening: it holds a grant */

enum wire_event {
	WIRE_MORE, /* keep reading */
	WIRE_HEAD, /* head is whole; nothing is read until wire_expect_body */
	WIRE_BODY, /* body is whole */
	WIRE_BAD   /* a length of 0 or beyond the ceiling: nothing that follows can be told apart */
};

struct wire {
	enum { WIRE_IN_LENGTH, WIRE_IN_HEAD, WIRE_IN_BODY, WIRE_AT_REST } phase;
	uint8_t length[4];
	size_t have;     /* bytes of the current part */
	size_t want;     /* its size */
	struct buf head; /* its max is the ceiling of a head */
	struct buf body;
};

void wire_init(struct wire *w, size_t head_max, size_t body_max);
void wire_done(struct wire *w);
/* NULL when at rest. */
void *wire_space(struct wire *w, size_t *ret_len);
enum wire_event wire_advance(struct wire *w, size_t n);
/* len within body_max of wire_init.  WIRE_BODY at once when len is 0. */
enum wire_event wire_expect_body(struct wire *w, size_t len);
/* Forget head and body; the next length follows. */
void wire_next(struct wire *w);
