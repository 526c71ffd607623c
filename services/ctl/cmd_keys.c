/*
 * keys init: the root key and the key file of each role.  Run by `up` before the first start, and
 * safe to run again: what is there and right is left alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl.h"
#include "keys.h"
#include "mem.h"
#include "parse.h"
#include "root.h"

#define GENERATION  1
#define KEYFILE_MAX (64u * 1024)

/* All but the registry, which derives its keys from the root itself. */
static const enum bus_role file_roles[] = { ROLE_GATEWAY, ROLE_EXECUTOR, ROLE_EGRESS, ROLE_ADMIN,
					    ROLE_OPS };

static int create_root(const char *path, struct secret **ret, struct err *err)
{
	struct secret *root = secret_new(NULL, CRYPTO_KEY_SIZE);
	char text[2 * CRYPTO_KEY_SIZE + 1];
	int r;

	crypto_random(root->data, root->len);
	format_hex(root->data, root->len, text);
	text[sizeof(text) - 1] = '\n'; /* instead of the NUL */
	r = place_write_file(path, text, sizeof(text), err);
	crypto_wipe(text, sizeof(text));
	if (r < 0) {
		secret_free(root);
		return r;
	}
	*ret = root;
	return 0;
}

static int open_root(const char *path, struct secret **ret, struct err *err)
{
	int r = root_load(path, ret, err);

	return r == -ERR_NOT_FOUND ? create_root(path, ret, err) : r;
}

/* The text of a role's file, by way of a file that only lives in memory. */
static int role_text(const struct secret *root, enum bus_role role, char **ret, size_t *ret_len,
		     struct err *err)
{
	BOX_CLEANUP(fd_closep) int fd = memfd_create("keys", MFD_CLOEXEC);
	BOX_CLEANUP(mem_freep) char *text = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "memfd: %s", strerror(errno));
	r = keys_write_role(root, role, GENERATION, fd, err);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > KEYFILE_MAX)
		return err_set(err, ERR_INTERNAL, "key file of %s came out empty", role_name(role));
	text = mem_alloc((size_t)st.st_size + 1);
	if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		return err_set(err, ERR_INTERNAL, "key file of %s cannot be read", role_name(role));
	*ret_len = (size_t)st.st_size;
	*ret = TAKE(text);
	return 0;
}

static bool file_is(const char *path, const char *text, size_t len)
{
	BOX_CLEANUP(mem_freep) char *have = NULL;
	struct err ignored = { 0 };
	size_t have_len;

	if (place_read_file(path, KEYFILE_MAX, &have, &have_len, &ignored) < 0)
		return false;
	return have_len == len && crypto_equal(have, text, len);
}

static int write_role(const struct secret *root, enum bus_role role, const char *dir,
		      struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s.key", dir, role_name(role));
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len = 0;
	int r = role_text(root, role, &text, &len, err);

	if (r != 0)
		return r;
	/* Left as it is: `up` may have given it to the role's own account. */
	if (!file_is(path, text, len))
		r = place_write_file(path, text, len, err);
	crypto_wipe(text, len);
	return r;
}

static int write_roles(const struct secret *root, const char *dir, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(file_roles); i++) {
		int r = write_role(root, file_roles[i], dir, err);

		if (r < 0)
			return r;
	}
	return 0;
}

enum ctl_exit cmd_keys_init(struct ctl *ctl)
{
	const struct options *o = &ctl->options;
	BOX_CLEANUP(secret_freep) struct secret *root = NULL;
	BOX_CLEANUP(mem_freep)
	char *root_path = o->root ? mem_strdup(o->root) : place_path(&ctl->place, "keys/root.key");
	BOX_CLEANUP(mem_freep)
	char *out = o->out ? mem_strdup(o->out) : place_path(&ctl->place, "keys");
	struct err err = { 0 };
	int r = crypto_start();

	if (r == 0)
		r = open_root(root_path, &root, &err);
	if (r == 0)
		r = write_roles(root, out, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (o->json)
		(void)printf("{\"generation\":%d,\"roles\":%zu}\n", GENERATION,
			     ARRAY_LEN(file_roles));
	return CTL_DONE;
}
