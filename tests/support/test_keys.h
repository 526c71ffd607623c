/* Keys of every role from one root, for tests. */
#pragma once

#include <stdio.h>
#include "keys.h"
#include "secret.h"

#define TEST_ROOT_KEY "0123456789abcdef0123456789abcdef" /* 32 bytes; a key of tests only */

/* As the role would read them from its file; keys_free(). */
static inline struct keys *test_keys(enum bus_role role, uint32_t generation)
{
	struct secret *root = secret_new(TEST_ROOT_KEY, 32);
	FILE *file = tmpfile();
	struct err err = { 0 };
	struct keys *keys = NULL;
	char text[16384];
	size_t len;
	int r = -1;

	if (role == ROLE_REGISTRY) {
		r = keys_from_root(root, generation, &keys, &err);
	} else if (file && keys_write_role(root, role, generation, fileno(file), &err) == 0) {
		rewind(file);
		len = fread(text, 1, sizeof(text), file);
		r = keys_parse(text, len, &keys, &err);
	}
	if (r < 0)
		box_bug("no test keys for %s: %s", role_name(role), err.text);
	if (file)
		(void)fclose(file);
	secret_free(root);
	return keys;
}
