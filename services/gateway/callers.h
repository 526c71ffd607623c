/*
 * Who asks: whoever reaches the local port, or the user whose API token came along.
 *
 * The registry alone knows tokens.  What it said of one is remembered by a keyed hash for CALLERS_FRESH_MS, so a
 * revoked, expired or narrowed token is refused within a second whatever news was lost; while the registry is away,
 * for stale_max_ms.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "err.h"

#define CALLERS_KEY_SIZE 96
#define CALLER_TOKEN_MAX 128

/* On the stack of its request; caller_done() wipes the token. */
struct caller {
	const char *remote;           /* peer address, borrowed */
	char token[CALLER_TOKEN_MAX]; /* as presented; empty: local mode */
	char name[192];               /* user name; empty: local mode */
	bool may_call;                /* tools, not only lists and management */
};

/* What the registry says of c->token: a CheckTokenReply (msg_free), -ERR_UNAUTHENTICATED, or that it cannot tell. */
typedef int callers_ask(void *arg, const struct caller *c, ProtobufCMessage **ret, struct err *err);
struct callers_config {
	callers_ask *ask;
	void *arg;
	int64_t (*registry_now)(void *arg); /* ms, 0: not known */
	bool (*is_silent)(void *arg);       /* the registry: asking would only cost time */
	uint64_t stale_max_ms;
};
struct callers;
struct callers *callers_new(const struct callers_config *config);
void callers_free(struct callers *c);

/*
 * authorization: the header's value, NULL when there is none.  May ask the registry.
 * -ERR_UNAUTHENTICATED: it is no token, or none that is in force; -ERR_UNAVAILABLE: nobody can tell now.
 */
int callers_identify(struct callers *c, const char *authorization, const char *remote,
		     struct caller *ret, struct err *err) BOX_MUST_CHECK;
void caller_done(struct caller *c);
/* What rates are counted by: the token, once it was found good; else the address.  Never waits. */
void callers_rate_key(struct callers *c, const char *authorization, const char *remote,
		      char ret[CALLERS_KEY_SIZE]);
/* For questions to the registry, which looks the token up itself.  Borrows from c. */
void caller_principal(const struct caller *c, PB(Principal) * ret);
