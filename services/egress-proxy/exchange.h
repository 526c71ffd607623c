/*
 * One request on a stream, from its parsed head to the answer's bytes: permit, policy, lookup,
 * judgement of every address, record, fetch, record, answer.  Loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "bus.h"
#include "call.h"
#include "fetch.h"
#include "forward.h"
#include "own.h"
#include "policy.h"
#include "resolve.h"
#include "spool.h"

struct exchange_env { /* one per process */
	struct bus *bus;
	struct spool *spool;
	struct resolver *resolver;
	struct fetcher *fetcher;
	struct own *own;
	struct budget bodies;
	uint32_t stale_max_ms;
	uint64_t last_request_no;
};

struct exchange { /* inside the stream */
	struct exchange_env *env;
	const struct call *call;
	struct forward_request request; /* owned */
	const void *body;               /* borrowed */
	size_t body_len;
	const struct rule *rule;
	struct resolved resolved;
	struct inject_secret *secrets; /* heap; NULL: none that matters to this request */
	struct injected injected;
	struct forward_request
		sent; /* what goes out in place of request; borrows from it and from injected */
	const struct mask *mask; /* of the grant's secrets; NULL: none may be known to the host */
	char *used; /* heap; rule and secrets, as records tell them; NULL: no secret went out */
	char *note; /* heap; what the record says beside; or NULL */
	struct resolve *lookup;
	struct fetch *fetch;
	uint64_t request_no;
	uint64_t started_us;
	bool is_running;
	bool is_started;  /* a started record awaits its end */
	bool ends_stream; /* after this answer */
	/* frame: length and head; body: what follows it.  Both may be taken.  Called once. */
	void (*done)(void *arg, struct buf *frame, struct buf *body);
	void *arg;
};

/*
 * Before: env, call, request, body, done and arg are set.  done may be called from within; it must
 * not free the exchange then.
 */
void exchange_start(struct exchange *x);
/* done will not be called; what was sent is recorded as ended with `reason`. */
void exchange_cancel(struct exchange *x, const char *reason);
/* At the end of a stream: one record with the number of refusals that got none of their own. */
void exchange_record_rest(struct exchange_env *env, const struct call *call);
