#include "crypto.h"

#include <pthread.h>
/* Single headers, because <sodium.h> declares NaCl's crypto_hash() and crypto_sign() of other
 * shapes. */
#include <sodium/core.h>
#include <sodium/crypto_aead_xchacha20poly1305.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_box.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_pwhash.h>
#include <sodium/crypto_sign_ed25519.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>
#include <stdatomic.h>
#include <string.h>
#include "buf.h"
#include "err.h"
#include "log.h"
#include "mem.h"

/* Each hash holds 64 MiB for about 100 ms; unbounded logins would be a memory attack. */
#define PASSWORD_PASSES   3
#define PASSWORD_MEMORY   (64u * 1024 * 1024)
#define PASSWORDS_AT_ONCE 2

_Static_assert(CRYPTO_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(CRYPTO_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(CRYPTO_TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(CRYPTO_SIGN_SIZE == crypto_sign_ed25519_BYTES, "signature");
_Static_assert(CRYPTO_PUBLIC_SIZE == crypto_sign_ed25519_PUBLICKEYBYTES, "public key");
_Static_assert(CRYPTO_SIGN_SECRET_SIZE == crypto_sign_ed25519_SECRETKEYBYTES, "signing key");
_Static_assert(CRYPTO_KEY_SIZE == crypto_sign_ed25519_SEEDBYTES, "seed");
_Static_assert(CRYPTO_KEY_SIZE == crypto_box_SEEDBYTES, "seed of a box");
_Static_assert(CRYPTO_PUBLIC_SIZE == crypto_box_PUBLICKEYBYTES, "public key of a box");
_Static_assert(CRYPTO_SALT_SIZE == crypto_pwhash_SALTBYTES, "salt");
_Static_assert(CRYPTO_BOX_EXTRA == crypto_box_SEALBYTES, "sealed box");

int crypto_start(void)
{
	return sodium_init() < 0 ? -ERR_INTERNAL : 0;
}

void crypto_random(void *ret, size_t len)
{
	randombytes_buf(ret, len);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

void *crypto_guarded_alloc(size_t len)
{
	static atomic_flag was_logged = ATOMIC_FLAG_INIT;
	void *p = sodium_malloc(len);

	if (!p)
		box_bug("out of memory");
	memset(p, 0, len);
	/* sodium_malloc() keeps quiet when the lock is refused (64 KiB is a usual limit), so ask
	 * again. */
	if (sodium_mlock(p, len) < 0 && !atomic_flag_test_and_set(&was_logged))
		log_warn("secrets.memory_not_locked",
			 F_STR("hint", "raise RLIMIT_MEMLOCK to keep secrets out of swap"));
	return p;
}

void crypto_guarded_free(void *p)
{
	sodium_free(p);
}

void crypto_hash(const void *data, size_t len, uint8_t ret[CRYPTO_HASH_SIZE])
{
	(void)crypto_generichash(ret, CRYPTO_HASH_SIZE, data, len, NULL, 0);
}

void crypto_keyed_hash(const uint8_t key[CRYPTO_KEY_SIZE], const void *data, size_t len,
		       uint8_t ret[CRYPTO_HASH_SIZE])
{
	(void)crypto_generichash(ret, CRYPTO_HASH_SIZE, data, len, key, CRYPTO_KEY_SIZE);
}

void crypto_sha256(const void *data, size_t len, uint8_t ret[CRYPTO_HASH_SIZE])
{
	(void)crypto_hash_sha256(ret, data, len);
}

void crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
			uint8_t ret[CRYPTO_HASH_SIZE])
{
	crypto_auth_hmacsha256_state state;

	(void)crypto_auth_hmacsha256_init(&state, key, key_len);
	(void)crypto_auth_hmacsha256_update(&state, data, len);
	(void)crypto_auth_hmacsha256_final(&state, ret);
	crypto_wipe(&state, sizeof(state));
}

void crypto_derive(const uint8_t root[CRYPTO_KEY_SIZE], const char *label,
		   uint8_t ret[CRYPTO_KEY_SIZE])
{
	crypto_keyed_hash(root, label, strlen(label), ret);
}

void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
		 const void *ad, size_t ad_len, const void *data, size_t len, uint8_t *ret)
{
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(ret, NULL, data, len, ad, ad_len, NULL,
							 nonce, key);
}

int crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
		const void *ad, size_t ad_len, const uint8_t *sealed, size_t sealed_len,
		uint8_t *ret)
{
	if (sealed_len < CRYPTO_TAG_SIZE)
		return -ERR_DENIED;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret, NULL, NULL, sealed, sealed_len, ad,
						       ad_len, nonce, key) < 0)
		return -ERR_DENIED;
	return 0;
}

void crypto_box_keys(const uint8_t seed[CRYPTO_KEY_SIZE], uint8_t ret_public[CRYPTO_PUBLIC_SIZE])
{
	uint8_t secret[crypto_box_SECRETKEYBYTES];

	(void)crypto_box_seed_keypair(ret_public, secret, seed);
	sodium_memzero(secret, sizeof(secret));
}

void crypto_box_close(const uint8_t public_key[CRYPTO_PUBLIC_SIZE], const void *data, size_t len,
		      uint8_t *ret)
{
	if (crypto_box_seal(ret, data, len, public_key) < 0)
		box_bug("a public key of a box is none");
}

int crypto_box_unlock(const uint8_t seed[CRYPTO_KEY_SIZE], const uint8_t *sealed, size_t sealed_len,
		      uint8_t *ret)
{
	uint8_t public_key[CRYPTO_PUBLIC_SIZE], secret[crypto_box_SECRETKEYBYTES];
	int r;

	if (sealed_len < CRYPTO_BOX_EXTRA)
		return -ERR_DENIED;
	(void)crypto_box_seed_keypair(public_key, secret, seed);
	r = crypto_box_seal_open(ret, sealed, sealed_len, public_key, secret);
	sodium_memzero(secret, sizeof(secret));
	return r < 0 ? -ERR_DENIED : 0;
}

void crypto_sign_keypair(const uint8_t seed[CRYPTO_KEY_SIZE],
			 uint8_t ret_public[CRYPTO_PUBLIC_SIZE],
			 uint8_t ret_secret[CRYPTO_SIGN_SECRET_SIZE])
{
	(void)crypto_sign_ed25519_seed_keypair(ret_public, ret_secret, seed);
}

static void add_labelled(struct buf *b, const char *label, const void *data, size_t len)
{
	buf_add(b, label, strlen(label) + 1);
	buf_add(b, data, len);
}

void crypto_sign(const uint8_t secret[CRYPTO_SIGN_SECRET_SIZE], const char *label, const void *data,
		 size_t len, uint8_t ret[CRYPTO_SIGN_SIZE])
{
	struct buf text = BUF_INIT(SIZE_MAX / 4);

	add_labelled(&text, label, data, len);
	(void)crypto_sign_ed25519_detached(ret, NULL, text.data, text.len, secret);
	buf_done(&text);
}

bool crypto_verify(const uint8_t public_key[CRYPTO_PUBLIC_SIZE], const char *label,
		   const void *data, size_t len, const uint8_t signature[CRYPTO_SIGN_SIZE])
{
	struct buf text = BUF_INIT(SIZE_MAX / 4);
	bool is_good;

	add_labelled(&text, label, data, len);
	is_good = crypto_sign_ed25519_verify_detached(signature, text.data, text.len, public_key) ==
		  0;
	buf_done(&text);
	return is_good;
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	unsigned running; /* guarded by lock */
} passwords = { .lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER };

static void password_enter(void)
{
	pthread_mutex_lock(&passwords.lock);
	while (passwords.running >= PASSWORDS_AT_ONCE)
		pthread_cond_wait(&passwords.freed, &passwords.lock);
	passwords.running++;
	pthread_mutex_unlock(&passwords.lock);
}

static void password_leave(void)
{
	pthread_mutex_lock(&passwords.lock);
	passwords.running--;
	pthread_cond_signal(&passwords.freed);
	pthread_mutex_unlock(&passwords.lock);
}

int crypto_password_hash(const void *password, size_t len, char **ret_text)
{
	char text[crypto_pwhash_STRBYTES];
	int r;

	password_enter();
	r = crypto_pwhash_str_alg(text, password, len, PASSWORD_PASSES, PASSWORD_MEMORY,
				  crypto_pwhash_ALG_ARGON2ID13);
	password_leave();
	if (r < 0)
		return -ERR_BUSY; /* 64 MiB were not to be had */
	*ret_text = mem_strdup(text);
	return 0;
}

int crypto_passphrase_key(const void *passphrase, size_t len, const uint8_t salt[CRYPTO_SALT_SIZE],
			  uint8_t ret[CRYPTO_KEY_SIZE])
{
	int r;

	password_enter();
	r = crypto_pwhash(ret, CRYPTO_KEY_SIZE, passphrase, len, salt, PASSWORD_PASSES,
			  PASSWORD_MEMORY, crypto_pwhash_ALG_ARGON2ID13);
	password_leave();
	return r < 0 ? -ERR_BUSY : 0;
}

bool crypto_password_matches(const char *hash_text, const void *password, size_t len)
{
	bool is_match;

	password_enter();
	is_match = crypto_pwhash_str_verify(hash_text, password, len) == 0;
	password_leave();
	return is_match;
}

void crypto_password_dummy(const void *password, size_t len)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;

	/* Making a hash costs what checking one does. */
	if (crypto_password_hash(password, len, &text) < 0)
		log_warn("auth.memory_short");
}
