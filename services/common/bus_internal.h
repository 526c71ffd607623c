/*
 * What the files of the bus share; nobody else includes it.
 *
 *	bus.c           identity, addresses, life
 *	bus_slots.c     the asking side's sockets           (struct slots)
 *	bus_client.c    asking
 *	bus_refusals.c  counting and reporting refusals     (struct refusals)
 *	bus_answer.c    answering, replay windows           (struct answering)
 *	bus_server.c    the answering side's sockets        (struct servers)
 *	bus_doorstep.c  connections without a seal so far   (struct doorstep)
 *	bus_lines.c     both sides of calls by the thousand (struct lines, struct line_server)
 *	bus_tls.c       certificates for all sockets        (struct bus_tls)
 *	bus_news.c      publish, subscribe, status, time    (struct news)
 *	bus_lease.c     announcing this instance            (struct lease)
 *
 * Locks are leaves: none is held while another is taken, nor over a call into nng.  The two
 * that are say so where they are declared (struct news).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "bus.h"

/* The REQ protocol's own header lies inside the size that nng judges. */
#define BUS_RECV_MAX   (FRAME_MAX + 64u)
#define BUS_STACK_SIZE (2u * 1024 * 1024)
#define PLACES_MAX     8

struct slots;
struct lines;
struct refusals;
struct answering;
struct servers;
struct news;
struct lease;

struct place {
	char host[BUS_ADDR_SIZE - 16]; /* "tcp://127.0.0.1": scheme and host */
	uint16_t port;                 /* of the work socket */
};

struct bus {
	const struct keys *keys;
	enum bus_role self;
	char instance[64];
	uint8_t boot_id[BOOT_ID_SIZE];
	/* Of the frames of this process to each role: thousands of calls a second to executors would push a
	 * slow frame to the registry out of its window there. */
	_Atomic uint64_t counters[ROLE_COUNT];
	struct place places[PLACES_MAX];
	uint32_t place_count;
	_Atomic uint32_t place; /* the one that answered last */
	atomic_bool is_stopping;
	const struct bus_tls *tls; /* or NULL */

	struct slots *slots;
	struct lines *lines;
	struct refusals *refusals;
	struct answering *answering;
	struct servers *servers;
	struct news *news;
	struct lease *lease;
};

static inline uint64_t bus_next_counter(struct bus *b, enum bus_role to)
{
	return atomic_fetch_add(&b->counters[to], 1) + 1;
}

/* The given one, or the service on its own account. */
const PB(Principal) * bus_principal(const PB(Principal) * given);
/* A thread with room to unpack messages.  Its name shows in ps. */
pthread_t bus_thread(const char *name, void *(*run)(void *), void *arg);
/* A mutex and a condition on the monotonic clock. */
void bus_sync_init(pthread_mutex_t *lock, pthread_cond_t *cond);
/* Wait for at most ms; spurious returns happen. */
void bus_sync_wait(pthread_mutex_t *lock, pthread_cond_t *cond, uint32_t ms);

/* ms until a moment of the monotonic clock, 0 when it is over. */
uint32_t bus_remaining_ms(uint64_t deadline_ms);

void refusals_init(struct bus *b);
void refusals_stop(struct bus *b);
/* Count bytes that did not prove their sender, and have it reported. */
void bus_refuse(struct bus *b, enum bus_refusal cause, const char *remote);

void answering_init(struct bus *b);
enum bus_refusal bus_refusal_of(int r); /* of a frame_open() that failed */
/* Where a frame came from. */
struct answer_way {
	const char *remote; /* text for the audit */
	_Atomic uint32_t
		*in_flight; /* handlers at work, at most server->capacity; NULL: not limited */
	void (*on_genuine)(void *arg); /* the seal was good; before the handler.  May be NULL */
	void *arg;
};
/* As bus_answer_frame(). */
int answer_frame(struct bus *b, const struct bus_server *server, const void *frame, size_t len,
		 const struct answer_way *way, struct buf *ret_reply) BOX_MUST_CHECK;

void servers_init(struct bus *b);
void servers_stop(struct bus *b);
/* Addresses that this process serves on, for the lease; "" while it does not. */
void servers_addrs(struct bus *b, char ret_control[BUS_ADDR_SIZE], char ret_work[BUS_ADDR_SIZE]);

void news_init(struct bus *b);
void news_stop(struct bus *b);
/* A sealed reply of the registry came in, from this start of it. */
void news_registry_heard(struct bus *b, const uint8_t boot_id[BOOT_ID_SIZE]);
/* A Status that was asked for, hence fresh.  -ERR_DENIED when its signature is wrong. */
int news_take_reply(struct bus *b, const PB(SignedStatus) * status) BOX_MUST_CHECK;
/* Ask GetStatus and take the reply. */
int news_ask_status(struct bus *b, struct err *err) BOX_MUST_CHECK;

void lease_stop(struct bus *b);
