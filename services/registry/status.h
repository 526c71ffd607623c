/*
 * What everyone must know, and the two threads that tell it.
 *
 * The follower reads the audit from the database in sequence order, publishes each row, and notices what
 * moved: so news is in commit order whichever thread committed, and a commit whose answer was lost is
 * published all the same.  It also signs the chain's head once a second and writes down who joined and left.
 * The ticker publishes Status at each change and every 500 ms, from memory, whether or not the database
 * answers.
 */
#pragma once

#include <stdint.h>
#include "arena.h"
#include "crypto.h"
#include "err.h"
#include "msg.h"

struct registry;
struct status;

/* Reads the chain's head; -ERR_UNAVAILABLE when the database does not answer. */
int status_new(struct registry *reg, struct status **ret, struct err *err);
void status_start(struct status *s); /* the bus must publish by now */
void status_stop(struct status *s);
void status_free(struct status *s);

/* Something was committed, or an instance came, changed, went: look and tell.  Any thread, never waits. */
void status_moved(struct status *s);
/* Wait until the Status says at least state_seq, so that who was answered finds its own change there; at most
 * a second, in which only a database that just went away can fail. */
void status_wait(struct status *s, uint64_t state_seq);
/* Only the living changed: tell it now. */
void status_tell(struct status *s);
/* The present Status, signed; strings and bytes in the arena. */
PB(SignedStatus) * status_signed(struct status *s, struct arena *arena);
const uint8_t *status_epoch(const struct status *s); /* 16 bytes */
uint64_t status_state_seq(struct status *s);
/* The newest head that this process has seen: a tail that was cut off after it shows. */
uint64_t status_audit_seq(struct status *s);

/* Sign the head now, if its rows follow from the last one that this process signed or, at its start, found
 * signed; else say audit.chain_broken once and sign nothing any more.  Any thread. */
int status_sign(struct status *s);
/* That last head: its seq, or 0 when nothing was signed yet. */
uint64_t status_signed_head(struct status *s, uint8_t ret_hash[CRYPTO_HASH_SIZE]);

/* Hand over for the audit: an instance that joined or left (takes it). */
void status_instance(struct status *s, PB(Instance) * instance, const char *topic, const char *why);
