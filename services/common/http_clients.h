/*
 * One address may not hold the house: with idle streams, or with connections on which no request is served (slow heads,
 * idle ones).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"

struct http_server;

/* An address that has streams open. */
struct http_client {
	char address[48];
	uint32_t streams;
	struct http_client *next;
};
struct http_clients {
	atomic_uint waiting; /* connections that have a thread and no request */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by lock. */
	struct http_client *first;
	bool is_due, is_over;
};

int http_clients_start(struct http_server *s, struct err *err) BOX_MUST_CHECK;
/* Nobody is connected any more.  Good for one whose start failed. */
void http_clients_stop(struct http_server *s);

/* A connection waits for its first or next head. */
void http_client_waits(struct http_server *s);
void http_client_waits_no_more(struct http_server *s);

/* False: the address has as many as one may have. */
bool http_client_take_stream(struct http_server *s, const char *address);
void http_client_end_stream(struct http_server *s, const char *address);
