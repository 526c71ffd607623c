/*
 * Reads a file of servers: formats 1.0, 1.1, 1.2 of the reference and 2.0, our own, into one form.  Whether this
 * instance's key signed it is judged over its bytes before any of its fields is looked at.  Pure; fuzzed.
 * docs/operations.md has the formats.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "crypto.h"
#include "err.h"
#include "files.pb-c.h"
#include "json.h"
#include "keys.h"
#include "store.h"

enum {
	FILE_MAX_BYTES = 7 * 1024 * 1024, /* fits in a frame of the bus */
	FILE_MAX_PARTS = 500000,          /* values of a file: each costs memory */
};
#define FILE_SIGN_LABEL "mcpbox export 2"

/* What a file may be signed with, all borrowed. */
struct file_keys {
	const struct keys *keys;
	const char *root_text; /* the encryption key as it was given: key of format 1.2 */
};

struct import_file {
	char version[8];
	bool is_own;      /* format 2.0 */
	bool is_verified; /* signed by this instance's key */
	uint8_t sha256[CRYPTO_HASH_SIZE];
	ROW(FileContent) * content; /* in the arena */
};

/* -ERR_TOO_LARGE; -ERR_INVALID with a text that says what is wrong, also for another version. */
int import_read(struct arena *a, const void *data, size_t len, const struct file_keys *keys,
		struct import_file *ret, struct err *err) BOX_MUST_CHECK;

/* Signature of format 1.2 over its three members; false when they cannot be written (a number too large). */
void import_old_signature(const json_t *signed_members, bool ascii, const char *root_text,
			  uint8_t ret[CRYPTO_HASH_SIZE]);
/* Identity of a server of a file: the same content gives the same digest. */
void import_digest(const ROW(FileServer) * server, uint8_t ret[CRYPTO_HASH_SIZE]);
