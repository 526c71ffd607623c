/*
 * Which call ids were started here: none is started twice.  Remembers the last SEEN_ROOM / 2 ids at
 * least; older ones are refused by the bus already (counter window, deadline).  Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "crypto.h"

#define SEEN_ROOM 65536u /* a power of two */

struct seen {
	uint8_t key[CRYPTO_KEY_SIZE]; /* of the hash: callers cannot make ids collide */
	uint64_t ids[2][SEEN_ROOM];   /* 0: free */
	uint32_t used;                /* in ids[0] */
};

struct seen *seen_new(void);
void seen_free(struct seen *s);
/* True when the id was not seen; marks it. */
bool seen_accept(struct seen *s, const char *id);
