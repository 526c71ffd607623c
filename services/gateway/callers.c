#include "callers.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "crypto.h"
#include "mem.h"

enum {
	CALLERS_KEPT = 512,
	FRESH_MS = 400, /* after that somebody asks again ... */
	GOOD_MS = 800,  /* ... and until that the others need not wait for the answer */
};

struct known {
	uint8_t hash[CRYPTO_HASH_SIZE];
	bool is_used, is_being_asked;
	uint64_t asked_ms; /* when the question that was answered last was sent */
	int64_t expires_unix_ms;
	char name[192];
	char token_id[64];
	bool may_call;
};

struct callers {
	struct callers_config config;
	uint8_t key[CRYPTO_KEY_SIZE]; /* of this process: hashes of tokens mean nothing elsewhere */
	pthread_mutex_t lock;         /* guards all below */
	struct known known[CALLERS_KEPT];
};

struct callers *callers_new(const struct callers_config *config)
{
	struct callers *c = mem_alloc(sizeof(*c));

	c->config = *config;
	crypto_random(c->key, sizeof(c->key));
	(void)pthread_mutex_init(&c->lock, NULL);
	return c;
}

void callers_free(struct callers *c)
{
	if (!c)
		return;
	crypto_wipe(c->key, sizeof(c->key));
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

void caller_done(struct caller *c)
{
	crypto_wipe(c->token, sizeof(c->token));
}

void caller_principal(const struct caller *c, PB(Principal) * ret)
{
	ret->kind = c->token[0] ? MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN
				: MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL;
	ret->secret = pb_text(c->token);
	ret->remote = (char *)(uintptr_t)c->remote;
}

/* ---- the header ---- */

/* The token in it, or NULL: another scheme, or nothing that the registry ever gave out. */
static const char *token_of(const char *authorization)
{
	static const char scheme[] = "Bearer ";
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const char *token = authorization + strlen(scheme);
	size_t len;

	if (strncasecmp(authorization, scheme, strlen(scheme)) != 0 ||
	    strncmp(token, API_TOKEN_MARK, strlen(API_TOKEN_MARK)) != 0)
		return NULL;
	len = strlen(token);
	if (len >= CALLER_TOKEN_MAX || len == strlen(API_TOKEN_MARK) ||
	    strspn(token + strlen(API_TOKEN_MARK), allowed) != len - strlen(API_TOKEN_MARK))
		return NULL;
	return token;
}

static void hash_of(const struct callers *c, const char *token, uint8_t ret[CRYPTO_HASH_SIZE])
{
	crypto_keyed_hash(c->key, token, strlen(token), ret);
}

/* ---- what is known; under the lock ---- */

static struct known *find(struct callers *c, const uint8_t hash[CRYPTO_HASH_SIZE])
{
	for (size_t i = 0; i < CALLERS_KEPT; i++) {
		struct known *k = &c->known[i];

		if (k->is_used && memcmp(k->hash, hash, CRYPTO_HASH_SIZE) == 0)
			return k;
	}
	return NULL;
}

static bool is_over(const struct callers *c, const struct known *k)
{
	return k->expires_unix_ms != 0 &&
	       c->config.registry_now(c->config.arg) >= k->expires_unix_ms;
}

/* That of this token, else the one that was asked about longest ago; unused ones come first. */
static struct known *place_for(struct callers *c, const uint8_t hash[CRYPTO_HASH_SIZE])
{
	struct known *k = find(c, hash);
	struct known *oldest = &c->known[0];

	for (size_t i = 1; i < CALLERS_KEPT; i++) {
		if (c->known[i].asked_ms < oldest->asked_ms)
			oldest = &c->known[i];
	}
	return k ? k : oldest;
}

static void keep(struct callers *c, const uint8_t hash[CRYPTO_HASH_SIZE],
		 const PB(CheckTokenReply) * reply, uint64_t asked_ms)
{
	struct known *k = place_for(c, hash);

	*k = (struct known){ .is_used = true,
			     .asked_ms = asked_ms,
			     .expires_unix_ms = reply->expires_at_unix_ms,
			     .may_call = reply->may_call };
	memcpy(k->hash, hash, CRYPTO_HASH_SIZE);
	(void)snprintf(k->name, sizeof(k->name), "%s", reply->username);
	(void)snprintf(k->token_id, sizeof(k->token_id), "%s", reply->token_id);
}

static void forget(struct known *k)
{
	if (k)
		*k = (struct known){ 0 };
}

static void tell(const struct known *k, struct caller *ret)
{
	memcpy(ret->name, k->name, sizeof(ret->name));
	ret->may_call = k->may_call;
}

/* ---- asking ---- */

static int fail_token(struct err *err)
{
	return err_set_field(err, ERR_UNAUTHENTICATED, NULL, "POST /api/tokens makes one",
			     "the API token is unknown, was revoked or has expired");
}

/* Takes the answer in; under the lock. */
static int settle(struct callers *c, const uint8_t hash[CRYPTO_HASH_SIZE], uint64_t asked_ms, int r,
		  const PB(CheckTokenReply) * reply, struct caller *ret, struct err *err)
{
	struct known *k = find(c, hash);

	if (k)
		k->is_being_asked = false;
	if (r == 0)
		keep(c, hash, reply, asked_ms);
	else if (r == -ERR_UNAUTHENTICATED || r == -ERR_DENIED)
		forget(k);
	/* Nobody can tell: what was known stands for as long as published tools run without a registry. */
	else if (!k || asked_ms - k->asked_ms > c->config.stale_max_ms)
		return r;
	k = find(c, hash);
	if (!k || is_over(c, k))
		return fail_token(err);
	tell(k, ret);
	err_done(err);
	*err = (struct err){ 0 };
	return 0;
}

/* True: it is known well enough; else the caller has to ask. */
static bool is_known(struct callers *c, const uint8_t hash[CRYPTO_HASH_SIZE], uint64_t now_ms,
		     struct caller *ret)
{
	struct known *k = find(c, hash);
	uint64_t age_ms;

	if (!k || is_over(c, k))
		return false;
	age_ms = now_ms - k->asked_ms;
	if (age_ms < FRESH_MS || (k->is_being_asked && age_ms < GOOD_MS) ||
	    (age_ms <= c->config.stale_max_ms && c->config.is_silent(c->config.arg))) {
		tell(k, ret);
		return true;
	}
	k->is_being_asked = true;
	return false;
}

static int identify_token(struct callers *c, struct caller *ret, struct err *err)
{
	PB(CheckTokenReply) reply = MCPBOX__V1__CHECK_TOKEN_REPLY__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *answer = NULL;
	uint8_t hash[CRYPTO_HASH_SIZE];
	uint64_t now_ms = clock_mono_ms();
	bool is_answered;
	int r;

	hash_of(c, ret->token, hash);
	(void)pthread_mutex_lock(&c->lock);
	is_answered = is_known(c, hash, now_ms, ret);
	(void)pthread_mutex_unlock(&c->lock);
	if (is_answered)
		return 0;
	r = c->config.ask(c->config.arg, ret, &answer, err);
	if (r == 0)
		reply = *(const PB(CheckTokenReply) *)answer;
	(void)pthread_mutex_lock(&c->lock);
	r = settle(c, hash, now_ms, r, &reply, ret, err);
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

int callers_identify(struct callers *c, const char *authorization, const char *remote,
		     struct caller *ret, struct err *err)
{
	const char *token = authorization ? token_of(authorization) : NULL;
	int r;

	*ret = (struct caller){ .remote = remote, .may_call = true };
	if (!authorization)
		return 0;
	if (!token)
		return err_set_field(err, ERR_UNAUTHENTICATED, NULL, "POST /api/tokens makes one",
				     "Authorization must be 'Bearer <API token>'");
	(void)snprintf(ret->token, sizeof(ret->token), "%s", token);
	ret->may_call = false;
	r = identify_token(c, ret, err);
	if (r < 0)
		caller_done(ret);
	return r;
}

void callers_rate_key(struct callers *c, const char *authorization, const char *remote,
		      char ret[CALLERS_KEY_SIZE])
{
	const char *token = authorization ? token_of(authorization) : NULL;
	uint8_t hash[CRYPTO_HASH_SIZE];
	const struct known *k = NULL;

	(void)snprintf(ret, CALLERS_KEY_SIZE, "%s", remote);
	if (!token)
		return;
	hash_of(c, token, hash);
	(void)pthread_mutex_lock(&c->lock);
	k = find(c, hash);
	if (k)
		(void)snprintf(ret, CALLERS_KEY_SIZE, "token %s", k->token_id);
	(void)pthread_mutex_unlock(&c->lock);
}
