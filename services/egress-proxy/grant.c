#include "grant.h"

#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "mem.h"

#define CACHE_SLOTS      256
#define DEFAULT_BODY_MAX (10u * 1024 * 1024)
/* Bodies are held whole in forward mode; no grant makes one of them larger than this. */
#define HARD_BODY_MAX   (64u * 1024 * 1024)
#define DEFAULT_STREAMS 16

struct grant_cache {
	struct grant *slots[CACHE_SLOTS]; /* by the first byte of the hash; a newcomer replaces */
};

struct grant_cache *grant_cache_new(void)
{
	return mem_alloc(sizeof(struct grant_cache));
}

void grant_cache_free(struct grant_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		grant_unref(c->slots[i]);
	free(c);
}

void grant_unref(struct grant *g)
{
	if (!g)
		return;
	/* Nobody but the cache has it: no call is under way that needs its secrets. */
	if (--g->refs == 1)
		vault_close(g->vault);
	if (g->refs > 0)
		return;
	vault_free(g->vault);
	msg_free(&g->message->base);
	policy_free(g->policy);
	free(g);
}

/* NULL when malformed. */
static struct grant *unpack(const ProtobufCBinaryData *data, const uint8_t *hash)
{
	ProtobufCMessage *m = NULL;
	struct grant *g;

	if (msg_unpack(&mcpbox__v1__grant__descriptor, data->data, data->len, &m) < 0)
		return NULL;
	g = mem_alloc(sizeof(*g));
	g->refs = 1;
	memcpy(g->hash, hash, sizeof(g->hash));
	g->message = (PB(Grant) *)m;
	g->policy = policy_new(g->message);
	g->vault = vault_new(g->message);
	if (policy_bad_entries(g->policy) > 0)
		log_warn("egress.grant_entries_ignored", F_STR("server", g->message->server_name),
			 F_UINT("count", policy_bad_entries(g->policy)));
	return g;
}

int grant_get(struct grant_cache *c, const ProtobufCBinaryData *data,
	      const ProtobufCBinaryData *hash, struct grant **ret, struct err *err)
{
	uint8_t real[CRYPTO_HASH_SIZE];
	struct grant **slot;
	struct grant *g;

	crypto_hash(data->data, data->len, real);
	if (hash->len != sizeof(real) || memcmp(hash->data, real, sizeof(real)) != 0)
		return err_set(err, ERR_DENIED, "the grant is not the one that the permit names");
	slot = &c->slots[real[0]];
	g = *slot;
	if (!g || memcmp(g->hash, real, sizeof(real)) != 0) {
		g = unpack(data, real);
		if (!g)
			return err_set(err, ERR_INVALID, "the grant is malformed");
		grant_unref(*slot);
		*slot = g;
	}
	g->refs++;
	*ret = g;
	return 0;
}

static uint64_t body_ceiling(uint64_t granted)
{
	if (granted == 0)
		return DEFAULT_BODY_MAX;
	return granted < HARD_BODY_MAX ? granted : HARD_BODY_MAX;
}

uint64_t grant_max_request(const struct grant *g)
{
	return body_ceiling(g->message->max_request_bytes);
}

uint64_t grant_max_response(const struct grant *g)
{
	return body_ceiling(g->message->max_response_bytes);
}

uint32_t grant_max_streams(const struct grant *g)
{
	return g->message->max_connections ? g->message->max_connections : DEFAULT_STREAMS;
}
