#include <string.h>
#include "csrf.h"
#include "parse.h"

void csrf_token(const char *session, char ret[CSRF_TEXT_SIZE])
{
	uint8_t key[CRYPTO_KEY_SIZE];
	uint8_t hash[CRYPTO_HASH_SIZE];

	crypto_hash(session, strlen(session), key);
	crypto_keyed_hash(key, "csrf", strlen("csrf"), hash);
	format_hex(hash, sizeof(hash), ret);
	crypto_wipe(key, sizeof(key));
}

bool csrf_matches(const char *session, const char *presented)
{
	char want[CSRF_TEXT_SIZE];

	if (!presented || strlen(presented) != CSRF_TEXT_SIZE - 1)
		return false;
	csrf_token(session, want);
	return crypto_equal(want, presented, CSRF_TEXT_SIZE - 1);
}
