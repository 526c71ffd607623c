#include "seal.h"

#include <string.h>
#include "crypto.h"

/* "secret" NUL server NUL name: neither holds a NUL, so no two pairs read alike. */
static struct bytes bound_to(struct arena *a, const char *server_id, const char *name)
{
	static const char kind[] = "secret";
	size_t server_len = strlen(server_id) + 1, name_len = strlen(name);
	uint8_t *ad = arena_alloc(a, sizeof(kind) + server_len + name_len);

	memcpy(ad, kind, sizeof(kind));
	memcpy(ad + sizeof(kind), server_id, server_len);
	memcpy(ad + sizeof(kind) + server_len, name, name_len);
	return (struct bytes){ ad, sizeof(kind) + server_len + name_len };
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
