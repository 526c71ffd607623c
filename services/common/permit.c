#include "permit.h"

#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "crypto.h"

#define SILENCE_MS 1500 /* the registry counts as silent: three Status missed */
#define SEEN_COUNT 1024

/* Hashes of signed permits whose signature was found right.  Direct-mapped: the hash picks its
 * place. */
static struct {
	pthread_mutex_t lock;
	uint8_t hash[SEEN_COUNT][CRYPTO_HASH_SIZE]; /* guarded by lock */
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint8_t *seen_place(const uint8_t hash[CRYPTO_HASH_SIZE])
{
	return seen.hash[(hash[0] | (unsigned)hash[1] << 8) % SEEN_COUNT];
}

static bool seen_has(const uint8_t hash[CRYPTO_HASH_SIZE])
{
	bool has;

	(void)pthread_mutex_lock(&seen.lock);
	has = memcmp(seen_place(hash), hash, CRYPTO_HASH_SIZE) == 0;
	(void)pthread_mutex_unlock(&seen.lock);
	return has;
}

static void seen_add(const uint8_t hash[CRYPTO_HASH_SIZE])
{
	(void)pthread_mutex_lock(&seen.lock);
	memcpy(seen_place(hash), hash, CRYPTO_HASH_SIZE);
	(void)pthread_mutex_unlock(&seen.lock);
}

/* Over all that the verdict depends on: the key, the permit and its signature. */
static void permit_hash(const PB(SignedPermit) * s, const uint8_t *key,
			uint8_t ret[CRYPTO_HASH_SIZE])
{
	uint8_t parts[CRYPTO_PUBLIC_SIZE + CRYPTO_SIGN_SIZE + CRYPTO_HASH_SIZE];

	memcpy(parts, key, CRYPTO_PUBLIC_SIZE);
	memcpy(parts + CRYPTO_PUBLIC_SIZE, s->signature.data, CRYPTO_SIGN_SIZE);
	crypto_hash(s->permit.data, s->permit.len, parts + CRYPTO_PUBLIC_SIZE + CRYPTO_SIGN_SIZE);
	crypto_hash(parts, sizeof(parts), ret);
}

bool permit_is_signed(const struct keys *keys, const PB(SignedPermit) * s)
{
	const uint8_t *key = keys_verify(keys, s->key_id);
	uint8_t hash[CRYPTO_HASH_SIZE];

	if (!key || s->signature.len != CRYPTO_SIGN_SIZE)
		return false;
	permit_hash(s, key, hash);
	if (seen_has(hash))
		return true;
	if (!crypto_verify(key, "mcpbox permit", s->permit.data, s->permit.len, s->signature.data))
		return false;
	seen_add(hash);
	return true;
}

static int judge_needs(const PB(Permit) * p, struct err *err)
{
	/* No ability beyond the basic ones exists yet, so any entry is one that we do not have. */
	if (p->n_needs == 0)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "the permit needs '%s', which this version has not",
		       p->needs[0]);
}

static int judge_purpose(const PB(Permit) * p, const struct permit_view *view, struct err *err)
{
	bool is_for_us = false;

	for (size_t i = 0; i < p->n_audience; i++)
		is_for_us = is_for_us || p->audience[i] == (PB(Role))view->role;
	if (!is_for_us)
		return err_set(err, ERR_DENIED, "the permit is not for the role %s",
			       role_name(view->role));
	if (p->purpose <= 0 || p->purpose >= 32 || !(view->purposes & 1u << p->purpose))
		return err_set(err, ERR_DENIED, "the permit is for another purpose");
	return 0;
}

static int judge_time(const PB(Permit) * p, const struct permit_view *view, struct err *err)
{
	uint64_t silence = view->silence_ms > SILENCE_MS ? view->silence_ms : 0;

	if (view->registry_now_unix_ms == 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "the registry's time is not known yet; nothing was started");
	if (silence > view->stale_max_ms)
		return err_set(err, ERR_DENIED,
			       "the registry has been silent for longer than MCPBOX_STALE_MAX");
	/* Nobody could renew it meanwhile. */
	if (view->registry_now_unix_ms - (int64_t)silence > p->not_after_unix_ms)
		return err_set(err, ERR_DENIED, "the permit has expired");
	return 0;
}

int permit_judge(const PB(Permit) * p, const struct permit_view *view, struct err *err)
{
	int r = judge_needs(p, err);

	if (r == 0)
		r = judge_purpose(p, view, err);
	if (r == 0)
		r = judge_time(p, view, err);
	return r;
}

int permit_check(struct bus *b, const PB(SignedPermit) * signed_permit, uint32_t purposes,
		 uint64_t stale_max_ms, PB(Permit) * *ret, struct err *err)
{
	struct permit_view view = {
		.role = bus_self(b),
		.purposes = purposes,
		.registry_now_unix_ms = bus_registry_now(b),
		.silence_ms = bus_registry_silence_ms(b),
		.stale_max_ms = stale_max_ms,
	};
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	const PB(Permit) * p;
	int r;

	if (!permit_is_signed(bus_keys(b), signed_permit) ||
	    msg_unpack(&mcpbox__v1__permit__descriptor, signed_permit->permit.data,
		       signed_permit->permit.len, &m) < 0)
		return err_set(err, ERR_DENIED, "the permit is not signed by the registry");
	p = (const PB(Permit) *)m;
	r = permit_judge(p, &view, err);
	if (r < 0)
		return r;
	if (bus_permit_is_revoked(b, p->permit_id))
		return err_set(err, ERR_DENIED, "the permit has been revoked");
	*ret = (PB(Permit) *)TAKE(m);
	return 0;
}
