/*
 * Connections that have not shown a key yet.  Few of one address and not many in all: what a stranger may hold here is
 * bounded.  The oldest makes room for the next one, because a peer of ours shows its seal at once; and who has shown one
 * is not counted any more, nor closed.
 */
#pragma once

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define DOORSTEP_MAX         32
#define DOORSTEP_PER_ADDRESS 16
#define DOORSTEP_PATIENCE_MS \
	1000u /* the time that a peer of ours needs for its first frame, amply */

struct doorstep_row {
	uint32_t pipe;
	uint16_t family;
	uint8_t host[16];
};
struct doorstep {
	pthread_mutex_t lock;
	struct doorstep_row rows
		[DOORSTEP_MAX]; /* guarded by lock; the first `count`, in the order of their coming */
	_Atomic uint32_t count; /* changed under lock */
};

/* From now on the pipes of this socket pass by it; before listeners exist.  0, or nng's error. */
int doorstep_watch(struct doorstep *d, nng_socket socket);
/* The connection of this pipe has shown a valid seal.  Any thread, quick. */
void doorstep_prove(struct doorstep *d, nng_pipe pipe);

/* A connection comes in; returns the pipe that has to go for it, or 0. */
uint32_t doorstep_admit(struct doorstep *d, const struct doorstep_row *row);
