#include "seal.h"

#include "buf.h"
#include "crypto.h"

enum { BOUND_MAX = 1024 }; /* an id and a name of at most 255 */

/* "secret" NUL server NUL name: neither holds a NUL, so no two pairs read alike. */
static struct bytes bound_to(struct arena *a, const char *server_id, const char *name)
{
	struct buf b = BUF_INIT(BOUND_MAX);
	struct bytes ret;

	buf_add_str(&b, "secret");
	buf_add_char(&b, '\0');
	buf_add_str(&b, server_id);
	buf_add_char(&b, '\0');
	buf_add_str(&b, name);
	box_assert(!b.is_over);
	ret = (struct bytes){ arena_dup(a, b.data, b.len), b.len };
	buf_done(&b);
	return ret;
}

struct bytes seal_value(struct arena *a, const struct secret *key, const char *server_id,
			const char *name, ProtobufCBinaryData value)
{
	struct bytes ad = bound_to(a, server_id, name);
	size_t len = CRYPTO_NONCE_SIZE + value.len + CRYPTO_TAG_SIZE;
	uint8_t *sealed = arena_alloc(a, len);

	crypto_random(sealed, CRYPTO_NONCE_SIZE);
	crypto_seal(key->data, sealed, ad.data, ad.len, value.data, value.len,
		    sealed + CRYPTO_NONCE_SIZE);
	return (struct bytes){ sealed, len };
}
