/*
 * Who lives: instances by boot id, in memory.  Pure but for its mutex: time comes in, decisions go out;
 * status.c publishes and audits them.  Any thread.
 *
 * An instance renews every 2 s and is lost after 6 s of silence.  For 10 s after the registry's own
 * start nobody is declared lost, since everyone is finding the way back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "msg.h"

#define LEASE_LOST_MS  6000
#define LEASE_GRACE_MS 10000
#define LEASES_MAX     1024

struct leases;

struct leases *leases_new(uint64_t now_mono_ms);
void leases_free(struct leases *l);

enum lease_news { LEASE_KNOWN, LEASE_CHANGED, LEASE_JOINED, LEASE_FULL };
/* Take the announcement; since_unix_ms is set by us at joining. */
enum lease_news lease_renew(struct leases *l, const PB(Instance) * instance, uint64_t now_mono_ms,
			    int64_t now_unix_ms);
/* The instance says good-bye or is silent for too long: it is taken out and returned (msg_free), or NULL. */
PB(Instance) * lease_leave(struct leases *l, const uint8_t *boot_id);
PB(Instance) * lease_expire(struct leases *l, uint64_t now_mono_ms);
/* All, as copies in the arena, oldest first. */
PB(Instance) * *lease_list(struct leases *l, struct arena *arena, size_t *ret_count);
