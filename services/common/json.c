#include "json.h"

#include <string.h>
#include "crypto.h"

void json_start(void)
{
	unsigned seed = 0;

	/* Zero would make jansson draw the seed at its first use, by then with threads about. */
	while (seed == 0)
		crypto_random(&seed, sizeof(seed));
	json_object_seed(seed);
}

static int load(const void *text, size_t len, size_t flags, json_t **ret, struct err *err)
{
	json_error_t why;
	json_t *tree;
	int r = json_scan(text, len, err); /* depth: jansson recurses up to 2048 levels */

	if (r < 0)
		return r;
	tree = json_loadb(text, len, flags | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!tree)
		return err_set(err, ERR_INVALID, "not valid JSON: %s at byte %d", why.text,
			       why.position);
	*ret = tree;
	return 0;
}

int json_load(const void *text, size_t len, json_t **ret, struct err *err)
{
	return load(text, len, 0, ret, err);
}

int json_load_with_nul(const void *text, size_t len, json_t **ret, struct err *err)
{
	return load(text, len, JSON_ALLOW_NUL, ret, err);
}

char *json_dump(const json_t *tree, size_t *ret_len)
{
	char *text = tree ? json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (tree && !text)
		box_bug("out of memory");
	*ret_len = text ? strlen(text) : 0;
	return text;
}
