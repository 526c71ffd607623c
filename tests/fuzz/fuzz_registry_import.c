/* Files of servers: read or refused; what is read keeps its promises, and nobody's signature but ours verifies. */
#include <stdint.h>
#include <string.h>
#include "arena.h"
#include "attrs.h"
#include "crypto.h"
#include "import.h"
#include "import_read.h"
#include "json.h"
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct file_keys keys;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char root_text[] =
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct secret *root;
	struct keys *made = NULL;
	struct err err = { 0 };

	(void)argc;
	(void)argv;
	box_assert(crypto_start() == 0);
	json_start();
	root = secret_new(NULL, CRYPTO_KEY_SIZE);
	box_assert(parse_hex(root_text, root->data, CRYPTO_KEY_SIZE) == 0);
	box_assert(keys_from_root(root, 1, &made, &err) == 0);
	secret_free(root);
	keys = (struct file_keys){ made, root_text };
	return 0;
}

static void check_server(struct arena *a, const ROW(FileServer) * s)
{
	const char *name = import_name(a, "server", s->name);
	uint8_t once[CRYPTO_HASH_SIZE], again[CRYPTO_HASH_SIZE];

	box_assert(!name || text_is_name(name));
	import_digest(s, once);
	import_digest(s, again);
	box_assert(memcmp(once, again, sizeof(once)) == 0);
	for (size_t i = 0; i < s->n_tools; i++) {
		name = import_name(a, "tool", s->tools[i]->name);
		box_assert(!name || text_is_name(name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena arena = { 0 };
	struct import_file file;
	struct err err = { 0 };

	if (import_read(&arena, data, len, &keys, &file, &err) == 0) {
		/* The corpus holds no file that this key signed, and no mutation makes one. */
		box_assert(!file.is_verified);
		for (size_t i = 0; i < file.content->n_servers; i++)
			check_server(&arena, file.content->servers[i]);
	} else {
		box_assert(err.code != ERR_OK && err.text[0]);
	}
	err_done(&err);
	arena_done(&arena);
	return 0;
}
