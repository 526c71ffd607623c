/*
 * Names to addresses: the operator's pins, then a resolver, on a bounded set of threads.
 * Asked only after the policy allowed the name; what comes back is judged by the caller, every
 * address of it.
 *
 * Loop thread, but resolver_new/free before and after the loop runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "address.h"
#include "attrs.h"
#include "dns.h"
#include "err.h"
#include "loop.h"
#include "pinned.h"
#include "target.h"

#define RESOLVE_MAX        32 /* a name with more addresses is refused: not all could be judged */
#define RESOLVE_TIMEOUT_MS 2000

struct resolved {
	struct address addresses[RESOLVE_MAX];
	size_t count;
	bool is_pinned;   /* the operator's word: the rules for addresses do not apply */
	uint16_t to_port; /* 0: the port that was asked for */
};

struct resolver;
struct resolve; /* one lookup under way */

/* pinned: borrowed.  server: copied; without an address the host's own resolver is asked. */
struct resolver *resolver_new(struct loop *l, const struct pinned *pinned,
			      const struct dns_server *server);
/* Waits for threads that are in a lookup; the loop has stopped. */
void resolver_free(struct resolver *r);

/*
 * done: called once, on the loop's thread, from within resolve_start when the answer is at hand.
 * answer NULL: err says why (ERR_NOT_FOUND, ERR_DEADLINE, ERR_BUSY, ERR_DENIED for too many
 * addresses). Returns the lookup under way, or NULL when done was called already.
 */
typedef void resolve_done(void *arg, const struct resolved *answer, const struct err *err);
struct resolve *resolve_start(struct resolver *r, const struct host *host, uint16_t port,
			      resolve_done *done, void *arg);
/* done will not be called. */
void resolve_cancel(struct resolve *q);
