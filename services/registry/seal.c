#include "seal.h"

#include <string.h>
#include "buf.h"
#include "cleanup.h"
#include "crypto.h"

enum { BOUND_MAX = 1024 }; /* an id and a name of at most 255 */

/* Parts are parted by NUL, which none of them holds: no two lists read alike. */
static void add_two(struct buf *b, const char *what, const char *of)
{
	buf_add(b, what, strlen(what) + 1);
	buf_add_str(b, of);
}

void seal_seed(const struct secret *key, const char *server_id, uint8_t ret[CRYPTO_HASH_SIZE])
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(BOUND_MAX);

	add_two(&text, "placeholders", server_id);
	crypto_keyed_hash(key->data, text.data, text.len, ret);
}

static void add_bound(struct buf *b, const char *server_id, const char *name)
{
	add_two(b, "secret", server_id);
	buf_add_char(b, '\0');
	buf_add_str(b, name);
	box_assert(!b->is_over);
}

int seal_open(const struct secret *key, const char *server_id, const char *name,
	      ProtobufCBinaryData sealed, struct secret **ret)
{
	BOX_CLEANUP(buf_done) struct buf ad = BUF_INIT(BOUND_MAX);
	BOX_CLEANUP(secret_freep) struct secret *value = NULL;

	if (sealed.len < CRYPTO_NONCE_SIZE + CRYPTO_TAG_SIZE)
		return -ERR_DENIED;
	add_bound(&ad, server_id, name);
	value = secret_new(NULL, sealed.len - CRYPTO_NONCE_SIZE - CRYPTO_TAG_SIZE);
	if (crypto_open(key->data, sealed.data, ad.data, ad.len, sealed.data + CRYPTO_NONCE_SIZE,
			sealed.len - CRYPTO_NONCE_SIZE, value->data) < 0)
		return -ERR_DENIED;
	*ret = TAKE(value);
	return 0;
}

struct bytes seal_value(struct arena *a, const struct secret *key, const char *server_id,
			const char *name, ProtobufCBinaryData value)
{
	BOX_CLEANUP(buf_done) struct buf ad = BUF_INIT(BOUND_MAX);
	size_t len = CRYPTO_NONCE_SIZE + value.len + CRYPTO_TAG_SIZE;
	uint8_t *sealed = arena_alloc(a, len);

	add_bound(&ad, server_id, name);
	crypto_random(sealed, CRYPTO_NONCE_SIZE);
	crypto_seal(key->data, sealed, ad.data, ad.len, value.data, value.len,
		    sealed + CRYPTO_NONCE_SIZE);
	return (struct bytes){ sealed, len };
}
