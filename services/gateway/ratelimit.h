/*
 * Requests per caller and minute: a token bucket per key (the peer's address), refilled evenly.  At
 * most RATELIMIT_KEYS callers are told apart; the one unused longest makes room.  Any thread.
 */
#pragma once

#include <stdint.h>

#define RATELIMIT_KEYS 1024

struct ratelimit;

/* rpm 0: everything passes. */
struct ratelimit *ratelimit_new(uint32_t rpm);
/* From now on; who has used up what there was goes on from there. */
void ratelimit_set(struct ratelimit *r, uint32_t rpm);
void ratelimit_free(struct ratelimit *r);
/* 0 when the request passes, else seconds to wait (Retry-After, at least 1). */
uint32_t ratelimit_take(struct ratelimit *r, const char *key, uint64_t now_ms);
