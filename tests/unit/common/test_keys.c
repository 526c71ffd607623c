#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "crypto.h"
#include "err.h"
#include "test_keys.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void both_ends_of_a_pair_hold_the_same_two_keys(void **state)
{
	static const struct {
		enum bus_role a, b;
	} pairs[] = {
		{ ROLE_GATEWAY, ROLE_REGISTRY }, { ROLE_EXECUTOR, ROLE_REGISTRY },
		{ ROLE_EGRESS, ROLE_REGISTRY },  { ROLE_ADMIN, ROLE_REGISTRY },
		{ ROLE_OPS, ROLE_REGISTRY },     { ROLE_GATEWAY, ROLE_EXECUTOR },
		{ ROLE_EXECUTOR, ROLE_EGRESS },  { ROLE_GATEWAY, ROLE_EGRESS },
		{ ROLE_GATEWAY, ROLE_GATEWAY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct keys *a = test_keys(pairs[i].a, 1), *b = test_keys(pairs[i].b, 1);
		const uint8_t *there = keys_pair(a, pairs[i].a, pairs[i].b, 1);
		const uint8_t *back = keys_pair(a, pairs[i].b, pairs[i].a, 1);

		assert_non_null(there);
		assert_non_null(back);
		assert_memory_equal(there, keys_pair(b, pairs[i].a, pairs[i].b, 1),
				    CRYPTO_KEY_SIZE);
		assert_memory_equal(back, keys_pair(b, pairs[i].b, pairs[i].a, 1), CRYPTO_KEY_SIZE);
		if (pairs[i].a != pairs[i].b)
			assert_memory_not_equal(there, back, CRYPTO_KEY_SIZE);
		keys_free(a);
		keys_free(b);
	}
}

static void a_role_holds_no_key_of_others(void **state)
{
	static const struct {
		enum bus_role holder, from, to;
	} rows[] = {
		{ ROLE_EXECUTOR, ROLE_GATEWAY, ROLE_REGISTRY },
		{ ROLE_EXECUTOR, ROLE_ADMIN, ROLE_REGISTRY },
		{ ROLE_EXECUTOR, ROLE_EXECUTOR, ROLE_EXECUTOR },
		{ ROLE_EXECUTOR, ROLE_EXECUTOR, ROLE_ADMIN },
		{ ROLE_ADMIN, ROLE_ADMIN, ROLE_EXECUTOR },
		{ ROLE_EGRESS, ROLE_GATEWAY, ROLE_EXECUTOR },
		{ ROLE_OPS, ROLE_OPS, ROLE_GATEWAY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct keys *k = test_keys(rows[i].holder, 1);

		assert_null(keys_pair(k, rows[i].from, rows[i].to, 1));
		keys_free(k);
	}
}

static void only_the_registry_signs(void **state)
{
	struct keys *registry = test_keys(ROLE_REGISTRY, 1), *gateway = test_keys(ROLE_GATEWAY, 1);
	uint8_t signature[CRYPTO_SIGN_SIZE];
	uint32_t key_id;

	(void)state;
	assert_null(keys_sign(gateway, &key_id));
	crypto_sign(keys_sign(registry, &key_id), "label", "x", 1, signature);
	assert_int_equal(key_id, 1);
	assert_true(crypto_verify(keys_verify(gateway, key_id), "label", "x", 1, signature));
	assert_null(keys_verify(gateway, 2));
	keys_free(registry);
	keys_free(gateway);
}

static void news_keys_go_to_those_who_may_listen(void **state)
{
	(void)state;
	for (unsigned role = 1; role < ROLE_COUNT; role++) {
		struct keys *k = test_keys((enum bus_role)role, 1);
		bool hears_audit = role == ROLE_REGISTRY || role == ROLE_ADMIN || role == ROLE_OPS;

		assert_non_null(keys_news(k, NEWS_STATUS, 1));
		assert_int_equal(keys_news(k, NEWS_AUDIT, 1) != NULL, hears_audit);
		assert_int_equal(keys_box(k, 1) != NULL,
				 role == ROLE_EGRESS || role == ROLE_EXECUTOR);
		assert_int_equal(keys_box_public(k, ROLE_EGRESS, 1) != NULL, role == ROLE_REGISTRY);
		keys_free(k);
	}
}

static void a_rotation_keeps_the_generation_before(void **state)
{
	struct keys *k = test_keys(ROLE_GATEWAY, 5);

	(void)state;
	assert_int_equal(keys_generation(k), 5);
	assert_non_null(keys_pair(k, ROLE_GATEWAY, ROLE_REGISTRY, 5));
	assert_non_null(keys_pair(k, ROLE_GATEWAY, ROLE_REGISTRY, 4));
	assert_null(keys_pair(k, ROLE_GATEWAY, ROLE_REGISTRY, 3));
	keys_free(k);
}

static void malformed_files_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"mcpbox-keys 2\nrole gateway\ngeneration 1\n",
		"role gateway\ngeneration 1\n",
		"mcpbox-keys 1\nrole gateway\n",
		"mcpbox-keys 1\ngeneration 1\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1",
		"mcpbox-keys 1\r\nrole gateway\r\ngeneration 1\r\n",
		"mcpbox-keys 1\nrole root\ngeneration 1\n",
		"mcpbox-keys 1\nrole gateway\nrole admin\ngeneration 1\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 0\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 4294967296\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\n\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\ncolour red\n",
		"mcpbox-keys 1\nrole  gateway\ngeneration 1\n",
		"mcpbox-keys 1\nrole gateway \ngeneration 1\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\npair gateway registry 1 " HEX "00\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\npair gateway registry 1 xyz\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\npair admin registry 1 " HEX "\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\npair gateway nobody 1 " HEX "\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\npair gateway registry 1 " HEX
		"\npair gateway registry 1 " HEX "\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\nnews weather 1 " HEX "\n",
		"mcpbox-keys 1\nrole gateway\ngeneration 1\nbox egress 1 " HEX "\n",
		"mcpbox-keys 1\npair gateway registry 1 " HEX "\nrole gateway\ngeneration 1\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct keys *k = NULL;
		struct err err = { 0 };

		if (keys_parse(texts[i], strlen(texts[i]), &k, &err) != -ERR_INVALID)
			fail_msg("taken: %s", texts[i]);
		assert_null(k);
		assert_true(err.text[0] != '\0');
		assert_null(strstr(err.text, "0011")); /* no key material in texts */
	}
}

static void a_hidden_nul_is_refused(void **state)
{
	static const char text[] = "mcpbox-keys 1\nrole gateway\0\ngeneration 1\n";
	struct keys *k = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(keys_parse(text, sizeof(text) - 1, &k, &err), -ERR_INVALID);
}

static void a_file_that_others_can_read_is_refused(void **state)
{
	static const char text[] = "mcpbox-keys 1\nrole gateway\ngeneration 1\n";
	char path[] = "/tmp/mcpbox-keys-XXXXXX";
	int fd = mkstemp(path);
	struct keys *k = NULL;
	struct err err = { 0 };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(keys_load(path, &k, &err), -ERR_DENIED);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(keys_load(path, &k, &err), 0);
	assert_int_equal(keys_role(k), ROLE_GATEWAY);
	keys_free(k);
	(void)unlink(path);
	assert_int_equal(keys_load(path, &k, &err), -ERR_UNAVAILABLE);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_of_a_pair_hold_the_same_two_keys),
		cmocka_unit_test(a_role_holds_no_key_of_others),
		cmocka_unit_test(only_the_registry_signs),
		cmocka_unit_test(news_keys_go_to_those_who_may_listen),
		cmocka_unit_test(a_rotation_keeps_the_generation_before),
		cmocka_unit_test(malformed_files_are_refused),
		cmocka_unit_test(a_hidden_nul_is_refused),
		cmocka_unit_test(a_file_that_others_can_read_is_refused),
	};

	if (crypto_start() < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
