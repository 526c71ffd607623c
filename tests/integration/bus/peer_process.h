/* bus_test_peer (peer.c) as a child of a test. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

extern struct peer_process {
	const char *path; /* of the program; set by main() */
	pid_t pid;        /* 0: none */
	uint16_t port;    /* of its work socket */
} peer_process;

/* Return when it listens. */
void peer_start(const char *capacity);
/* The same ports again; they may be busy for a moment after a kill. */
void peer_restart(const char *capacity);
void peer_kill(void);
/* Of one that ends by itself. */
void peer_reap(void);
