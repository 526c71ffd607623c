#include "test.h"
#include "crypto.h"
#include "err.h"
#include "id.h"
#include "mem.h"
#include "parse.h"
#include "secret.h"

static const uint8_t key[CRYPTO_KEY_SIZE] = { 1, 2, 3 };
static const uint8_t nonce[CRYPTO_NONCE_SIZE] = { 4, 5, 6 };

static void opens_only_what_was_sealed_alike(void **state)
{
	uint8_t sealed[5 + CRYPTO_TAG_SIZE], plain[5], other[CRYPTO_KEY_SIZE] = { 9 };

	(void)state;
	crypto_seal(key, nonce, "ad", 2, "hello", 5, sealed);
	assert_int_equal(crypto_open(key, nonce, "ad", 2, sealed, sizeof(sealed), plain), 0);
	assert_memory_equal(plain, "hello", 5);
	assert_int_equal(crypto_open(key, nonce, "aD", 2, sealed, sizeof(sealed), plain),
			 -ERR_DENIED);
	assert_int_equal(crypto_open(other, nonce, "ad", 2, sealed, sizeof(sealed), plain),
			 -ERR_DENIED);
	sealed[0] ^= 1;
	assert_int_equal(crypto_open(key, nonce, "ad", 2, sealed, sizeof(sealed), plain),
			 -ERR_DENIED);
	assert_int_equal(crypto_open(key, nonce, "ad", 2, sealed, CRYPTO_TAG_SIZE - 1, plain),
			 -ERR_DENIED);
}

static void seals_in_place(void **state)
{
	uint8_t data[3 + CRYPTO_TAG_SIZE] = "abc";

	(void)state;
	crypto_seal(key, nonce, NULL, 0, data, 3, data);
	assert_int_equal(crypto_open(key, nonce, NULL, 0, data, sizeof(data), data), 0);
	assert_memory_equal(data, "abc", 3);
}

static void keeps_signatures_of_one_kind_from_serving_as_another(void **state)
{
	uint8_t public_key[CRYPTO_PUBLIC_SIZE], secret[CRYPTO_SIGN_SECRET_SIZE];
	uint8_t signature[CRYPTO_SIGN_SIZE];

	(void)state;
	crypto_sign_keypair(key, public_key, secret);
	crypto_sign(secret, "mcpbox permit", "data", 4, signature);
	assert_true(crypto_verify(public_key, "mcpbox permit", "data", 4, signature));
	assert_false(crypto_verify(public_key, "mcpbox status", "data", 4, signature));
	assert_false(crypto_verify(public_key, "mcpbox permi", "tdata", 5, signature));
	assert_false(crypto_verify(public_key, "mcpbox permit", "datA", 4, signature));
	signature[0] ^= 1;
	assert_false(crypto_verify(public_key, "mcpbox permit", "data", 4, signature));
}

/* Vector: BLAKE2b-256 of "abc". */
static void hashes_as_everybody_does(void **state)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	char text[2 * CRYPTO_HASH_SIZE + 1];

	(void)state;
	crypto_hash("abc", 3, hash);
	format_hex(hash, sizeof(hash), text);
	assert_string_equal(text,
			    "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void derives_another_key_for_each_label(void **state)
{
	uint8_t a[CRYPTO_KEY_SIZE], b[CRYPTO_KEY_SIZE], again[CRYPTO_KEY_SIZE];

	(void)state;
	crypto_derive(key, "a", a);
	crypto_derive(key, "b", b);
	crypto_derive(key, "a", again);
	assert_false(crypto_equal(a, b, sizeof(a)));
	assert_true(crypto_equal(a, again, sizeof(a)));
}

static void knows_passwords_by_their_hash(void **state)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;

	(void)state;
	assert_int_equal(crypto_password_hash("correct horse", 13, &text), 0);
	assert_non_null(strstr(text, "$argon2id$"));
	assert_true(crypto_password_matches(text, "correct horse", 13));
	assert_false(crypto_password_matches(text, "correct horsE", 13));
	assert_false(crypto_password_matches("", "correct horse", 13));
	assert_false(crypto_password_matches("$argon2id$nonsense", "correct horse", 13));
}

static void keeps_secrets_as_c_strings(void **state)
{
	struct secret *s = secret_new("pass", 4), *zeros = secret_new(NULL, 3);

	(void)state;
	assert_string_equal((char *)s->data, "pass");
	assert_memory_equal(zeros->data, "\0\0\0", 4);
	secret_free(s);
	secret_free(zeros);
	secret_free(NULL);
}

static void makes_identifiers_that_sort_by_time(void **state)
{
	char a[ID_TEXT_SIZE], b[ID_TEXT_SIZE];

	(void)state;
	id_new(a);
	id_new(b);
	assert_true(text_is_uuid(a));
	assert_int_equal(a[14], '7');
	assert_non_null(strchr("89ab", a[19]));
	assert_true(strncmp(a, b, 13) <= 0);
	assert_string_not_equal(a, b);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_only_what_was_sealed_alike),
		cmocka_unit_test(seals_in_place),
		cmocka_unit_test(keeps_signatures_of_one_kind_from_serving_as_another),
		cmocka_unit_test(hashes_as_everybody_does),
		cmocka_unit_test(derives_another_key_for_each_label),
		cmocka_unit_test(knows_passwords_by_their_hash),
		cmocka_unit_test(keeps_secrets_as_c_strings),
		cmocka_unit_test(makes_identifiers_that_sort_by_time),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
