/*
 * keys mark, keys seal, keys open: what back-ups need of the root key (deploy/lib/backup.sh).  The mark of a file
 * proves that it was written by who holds the key; a sealed key is opened by a passphrase alone.
 *
 * A sealed key, text: "mcpbox-sealed-key 1\n" salt, nonce and sealed key as hex, a line each.
 */
#include <stdio.h>
#include <string.h>
#include "ask.h"
#include "ctl.h"
#include "crypto.h"
#include "mem.h"
#include "parse.h"
#include "root.h"

#define MARK_LABEL    "mcpbox backup 1"
#define SEALED_HEAD   "mcpbox-sealed-key 1\n"
#define MARKED_MAX    (64u * 1024)
#define PASSPHRASE_OK 12 /* as for passwords */

struct sealed {
	uint8_t salt[CRYPTO_SALT_SIZE];
	uint8_t nonce[CRYPTO_NONCE_SIZE];
	uint8_t key[CRYPTO_KEY_SIZE + CRYPTO_TAG_SIZE];
};

/* The root key that --root names; it must be there. */
static int load_root(const struct ctl *ctl, struct secret **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *path = ctl->options.root ? mem_strdup(ctl->options.root)
				       : place_path(&ctl->place, "keys/root.key");

	return root_load(path, ret, err);
}

enum ctl_exit cmd_keys_mark(struct ctl *ctl)
{
	BOX_CLEANUP(secret_freep) struct secret *root = NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;
	uint8_t key[CRYPTO_KEY_SIZE], mark[CRYPTO_HASH_SIZE];
	char hex[2 * CRYPTO_HASH_SIZE + 1];
	struct err err = { 0 };
	size_t len;
	int r = crypto_start();

	if (r == 0)
		r = load_root(ctl, &root, &err);
	if (r == 0)
		r = place_read_file(ctl->args[0], MARKED_MAX, &text, &len, &err);
	if (r != 0)
		return ctl_fail(ctl, &err);
	crypto_derive(root->data, MARK_LABEL, key);
	crypto_keyed_hash(key, text, len, mark);
	crypto_wipe(key, sizeof(key));
	format_hex(mark, sizeof(mark), hex);
	(void)puts(hex);
	return CTL_DONE;
}

/* Argon2id of the passphrase. */
static int passphrase_key(const struct ctl *ctl, bool is_new, const uint8_t *salt, uint8_t *ret,
			  struct err *err)
{
	char passphrase[ASK_MAX_BYTES] = { 0 };
	int r = ask_password(ctl, is_new, passphrase, err);

	if (r == 0 && is_new && strlen(passphrase) < PASSPHRASE_OK)
		r = err_set(err, ERR_INVALID, "the passphrase must have at least %d characters",
			    PASSPHRASE_OK);
	if (r == 0 && crypto_passphrase_key(passphrase, strlen(passphrase), salt, ret) < 0)
		r = err_set(err, ERR_BUSY, "there is not enough memory for the passphrase");
	crypto_wipe(passphrase, sizeof(passphrase));
	return r;
}

static int write_sealed(const char *path, const struct sealed *s, struct err *err)
{
	char salt[2 * sizeof(s->salt) + 1], nonce[2 * sizeof(s->nonce) + 1];
	char key[2 * sizeof(s->key) + 1];
	BOX_CLEANUP(mem_freep) char *text = NULL;

	format_hex(s->salt, sizeof(s->salt), salt);
	format_hex(s->nonce, sizeof(s->nonce), nonce);
	format_hex(s->key, sizeof(s->key), key);
	text = mem_printf(SEALED_HEAD "%s\n%s\n%s\n", salt, nonce, key);
	return place_write_file(path, text, strlen(text), err);
}

enum ctl_exit cmd_keys_seal(struct ctl *ctl)
{
	BOX_CLEANUP(secret_freep) struct secret *root = NULL;
	uint8_t key[CRYPTO_KEY_SIZE];
	struct sealed s;
	struct err err = { 0 };
	int r = crypto_start();

	if (r == 0)
		r = load_root(ctl, &root, &err);
	if (r == 0) {
		crypto_random(s.salt, sizeof(s.salt));
		crypto_random(s.nonce, sizeof(s.nonce));
		r = passphrase_key(ctl, true, s.salt, key, &err);
	}
	if (r == 0) {
		crypto_seal(key, s.nonce, SEALED_HEAD, strlen(SEALED_HEAD), root->data,
			    CRYPTO_KEY_SIZE, s.key);
		r = write_sealed(ctl->args[0], &s, &err);
	}
	crypto_wipe(key, sizeof(key));
	return r != 0 ? ctl_fail(ctl, &err) : CTL_DONE;
}

static int next_line(char **text, uint8_t *ret, size_t len)
{
	char *line = *text;
	char *end = strchr(line, '\n');

	if (!end)
		return -ERR_INVALID;
	*end = '\0';
	*text = end + 1;
	return parse_hex(line, ret, len);
}

static int read_sealed(const char *path, struct sealed *ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;
	char *at;
	int r = place_read_file(path, 1024, &text, &len, err);

	if (r != 0)
		return r;
	at = text + strlen(SEALED_HEAD);
	if (strncmp(text, SEALED_HEAD, strlen(SEALED_HEAD)) != 0 ||
	    next_line(&at, ret->salt, sizeof(ret->salt)) < 0 ||
	    next_line(&at, ret->nonce, sizeof(ret->nonce)) < 0 ||
	    next_line(&at, ret->key, sizeof(ret->key)) < 0 || *at)
		return err_set(err, ERR_INVALID, "%s is no sealed key", path);
	return 0;
}

/* Where the key goes; nowhere else, so that it is on no screen. */
static int open_sealed(const struct ctl *ctl, const struct sealed *s, struct err *err)
{
	uint8_t key[CRYPTO_KEY_SIZE], root[CRYPTO_KEY_SIZE];
	char text[2 * CRYPTO_KEY_SIZE + 1];
	int r = passphrase_key(ctl, false, s->salt, key, err);

	if (r == 0 && crypto_open(key, s->nonce, SEALED_HEAD, strlen(SEALED_HEAD), s->key,
				  sizeof(s->key), root) < 0)
		r = err_set(err, ERR_DENIED, "the passphrase is wrong, or the file was changed");
	crypto_wipe(key, sizeof(key));
	if (r != 0)
		return r;
	format_hex(root, sizeof(root), text);
	text[sizeof(text) - 1] = '\n'; /* instead of the NUL */
	r = place_write_file(ctl->options.out, text, sizeof(text), err);
	crypto_wipe(root, sizeof(root));
	crypto_wipe(text, sizeof(text));
	return r;
}

enum ctl_exit cmd_keys_open(struct ctl *ctl)
{
	struct sealed s;
	struct err err = { 0 };
	int r = crypto_start();

	if (r == 0 && !ctl->options.out)
		r = err_set_field(&err, ERR_INVALID, "out", "--out FILE", "where to?");
	if (r == 0)
		r = read_sealed(ctl->args[0], &s, &err);
	if (r == 0)
		r = open_sealed(ctl, &s, &err);
	return r != 0 ? ctl_fail(ctl, &err) : CTL_DONE;
}
