/*
 * The only user of libsodium.  crypto_start() before threads.  Key material is borrowed as const
 * pointers; outputs are the caller's.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "secret.h"

#define CRYPTO_KEY_SIZE         32
#define CRYPTO_NONCE_SIZE       24
#define CRYPTO_TAG_SIZE         16
#define CRYPTO_HASH_SIZE        32
#define CRYPTO_SIGN_SIZE        64
#define CRYPTO_PUBLIC_SIZE      32
#define CRYPTO_SIGN_SECRET_SIZE 64

int crypto_start(void) BOX_MUST_CHECK;
void crypto_random(void *ret, size_t len);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */
void crypto_wipe(void *p, size_t len);
/* For secret.c: zeroed, between guard pages, locked where the host allows it (else logged once), wiped
 * when freed.  Not aligned for anything but bytes. */
void *crypto_guarded_alloc(size_t len) BOX_MUST_CHECK;
void crypto_guarded_free(void *p);

void crypto_hash(const void *data, size_t len, uint8_t ret[CRYPTO_HASH_SIZE]); /* BLAKE2b-256 */
void crypto_keyed_hash(const uint8_t key[CRYPTO_KEY_SIZE], const void *data, size_t len,
		       uint8_t ret[CRYPTO_HASH_SIZE]);
/* What others count with: names of files, signatures of the reference's exports.  32 bytes each. */
void crypto_sha256(const void *data, size_t len, uint8_t ret[CRYPTO_HASH_SIZE]);
void crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
			uint8_t ret[CRYPTO_HASH_SIZE]);
/* Subkey of root by a label: keyed BLAKE2b over the label text. */
void crypto_derive(const uint8_t root[CRYPTO_KEY_SIZE], const char *label,
		   uint8_t ret[CRYPTO_KEY_SIZE]);

/* XChaCha20-Poly1305-IETF.  ret has room for len + CRYPTO_TAG_SIZE; may be the same memory as data. */
void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
		 const void *ad, size_t ad_len, const void *data, size_t len, uint8_t *ret);
/* sealed_len >= CRYPTO_TAG_SIZE; ret has room for sealed_len - CRYPTO_TAG_SIZE.  -ERR_DENIED when forged. */
int crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
		const void *ad, size_t ad_len, const uint8_t *sealed, size_t sealed_len,
		uint8_t *ret) BOX_MUST_CHECK;

/* To one reader who need not know the writer: X25519 and XSalsa20-Poly1305 with a key of its own for each (libsodium's
 * sealed box).  The reader's keys come from a seed.  ret of the first: len + CRYPTO_BOX_EXTRA; of the second:
 * sealed_len - CRYPTO_BOX_EXTRA, with sealed_len >= CRYPTO_BOX_EXTRA.  -ERR_DENIED when it is not for this reader. */
#define CRYPTO_BOX_EXTRA 48
void crypto_box_keys(const uint8_t seed[CRYPTO_KEY_SIZE], uint8_t ret_public[CRYPTO_PUBLIC_SIZE]);
void crypto_box_close(const uint8_t public_key[CRYPTO_PUBLIC_SIZE], const void *data, size_t len,
		      uint8_t *ret);
int crypto_box_unlock(const uint8_t seed[CRYPTO_KEY_SIZE], const uint8_t *sealed, size_t sealed_len,
		      uint8_t *ret) BOX_MUST_CHECK;

/* Ed25519 over label + NUL + data; the label keeps signatures of one kind from serving as another. */
void crypto_sign_keypair(const uint8_t seed[CRYPTO_KEY_SIZE],
			 uint8_t ret_public[CRYPTO_PUBLIC_SIZE],
			 uint8_t ret_secret[CRYPTO_SIGN_SECRET_SIZE]);
void crypto_sign(const uint8_t secret[CRYPTO_SIGN_SECRET_SIZE], const char *label, const void *data,
		 size_t len, uint8_t ret[CRYPTO_SIGN_SIZE]);
bool crypto_verify(const uint8_t public_key[CRYPTO_PUBLIC_SIZE], const char *label,
		   const void *data, size_t len, const uint8_t signature[CRYPTO_SIGN_SIZE]);

/* Argon2id.  ret_text: heap C string.  At most 2 run at once; a caller beyond waits. */
int crypto_password_hash(const void *password, size_t len, char **ret_text) BOX_MUST_CHECK;
bool crypto_password_matches(const char *hash_text, const void *password, size_t len);
/* A key from a passphrase, Argon2id, as costly as a password's hash.  -ERR_BUSY without memory for it. */
#define CRYPTO_SALT_SIZE 16
int crypto_passphrase_key(const void *passphrase, size_t len, const uint8_t salt[CRYPTO_SALT_SIZE],
			  uint8_t ret[CRYPTO_KEY_SIZE]) BOX_MUST_CHECK;
/* As costly as a check, for names that do not exist. */
void crypto_password_dummy(const void *password, size_t len);
