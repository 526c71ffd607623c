#include "delivery.h"

#include <string.h>
#include "buf.h"
#include "cleanup.h"
#include "mem.h"
#include "parse.h"

#define BOUND_MAX ((size_t)1024 * 1024)

/* With its NUL: none of these texts holds another, so no two bindings read alike. */
static void add_part(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s) + 1);
}

static void add_list(struct buf *b, char *const *items, size_t count)
{
	buf_add_u32le(b, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		add_part(b, items[i]);
}

static void bound_to(enum bus_role to, const char *server_id, const PB(SecretBinding) * s,
		     uint8_t ret[CRYPTO_HASH_SIZE])
{
	BOX_CLEANUP(buf_done) struct buf b = BUF_INIT(BOUND_MAX);

	add_part(&b, "mcpbox delivery 1");
	add_part(&b, role_name(to));
	add_part(&b, server_id);
	add_part(&b, s->key);
	buf_add_u32le(&b, s->key_generation);
	add_list(&b, s->hosts, s->n_hosts);
	add_list(&b, s->places, s->n_places);
	box_assert(!b.is_over);
	crypto_hash(b.data, b.len, ret);
}

void delivery_seal(const struct keys *keys, enum bus_role to, const char *server_id,
		   PB(SecretBinding) * b, const void *value, size_t len, uint8_t *ret)
{
	BOX_CLEANUP(secret_freep) struct secret *plain = secret_new(NULL, CRYPTO_HASH_SIZE + len);
	const uint8_t *key;

	b->key_generation = keys_generation(keys);
	key = keys_box_public(keys, to, b->key_generation);
	box_assert(key);
	bound_to(to, server_id, b, plain->data);
	memcpy(plain->data + CRYPTO_HASH_SIZE, value, len);
	crypto_box_close(key, plain->data, plain->len, ret);
}

int delivery_open(const struct keys *keys, const char *server_id, const PB(SecretBinding) * b,
		  struct secret **ret, struct err *err)
{
	const uint8_t *seed = keys_box(keys, b->key_generation);
	BOX_CLEANUP(secret_freep) struct secret *plain = NULL;
	uint8_t bound[CRYPTO_HASH_SIZE];

	if (seed && b->sealed.len >= DELIVERY_EXTRA)
		plain = secret_new(NULL, b->sealed.len - CRYPTO_BOX_EXTRA);
	if (!plain || crypto_box_unlock(seed, b->sealed.data, b->sealed.len, plain->data) < 0)
		return err_set(err, ERR_DENIED,
			       "the value of secret '%.255s' cannot be opened here", b->key);
	bound_to(keys_role(keys), server_id, b, bound);
	if (!crypto_equal(bound, plain->data, sizeof(bound)))
		return err_set(err, ERR_DENIED, "the value of secret '%.255s' is bound otherwise",
			       b->key);
	*ret = secret_new(plain->data + CRYPTO_HASH_SIZE, plain->len - CRYPTO_HASH_SIZE);
	return 0;
}

void delivery_placeholder(const uint8_t *seed, const char *call_id, const char *key,
			  char ret[PLACEHOLDER_LEN + 1])
{
	BOX_CLEANUP(buf_done) struct buf b = BUF_INIT(BOUND_MAX);
	uint8_t hash[CRYPTO_HASH_SIZE];

	add_part(&b, call_id);
	add_part(&b, key);
	crypto_keyed_hash(seed, b.data, b.len, hash);
	memcpy(ret, PLACEHOLDER_PREFIX, sizeof(PLACEHOLDER_PREFIX));
	format_hex(hash, 16, ret + sizeof(PLACEHOLDER_PREFIX) - 1);
}
