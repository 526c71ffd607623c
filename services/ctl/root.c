#include "root.h"

#include <string.h>
#include "crypto.h"
#include "mem.h"
#include "parse.h"
#include "place.h"

static int parse_root(const char *path, char *text, struct secret **ret, struct err *err)
{
	struct secret *root = secret_new(NULL, CRYPTO_KEY_SIZE);

	text[strcspn(text, "\r\n")] = 0;
	if (parse_hex(text, root->data, root->len) < 0) {
		secret_free(root);
		return err_set(err, ERR_INVALID, "%s does not hold 64 hex digits", path);
	}
	*ret = root;
	return 0;
}

int root_load(const char *path, struct secret **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len = 0;
	int r = place_read_file(path, 256, &text, &len, err);

	if (r < 0)
		return r;
	r = parse_root(path, text, ret, err);
	crypto_wipe(text, len);
	return r;
}
