/* What the scanner takes, the tree library takes too (but for what it cannot hold), and the pieces
 * fit. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "json.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int check_span(void *arg, struct json_span value, struct err *err)
{
	const struct json_span *whole = arg;

	(void)err;
	box_assert(value.len > 0 && value.at >= whole->at &&
		   value.at + value.len <= whole->at + whole->len);
	box_assert(json_scan(value.at, value.len, NULL) == 0);
	return 0;
}

static int check_member(void *arg, struct json_span key, struct json_span value, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *name = NULL;
	struct buf again BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	size_t len;

	if (json_span_string(key, &name, &len) == 0) {
		json_add_string(&again, name, len);
		box_assert(json_scan(again.data, again.len, NULL) == 0);
	}
	return check_span(arg, value, err);
}

static void check_good(const uint8_t *data, size_t len)
{
	struct buf compact BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	struct json_span whole = { (const char *)data, len };
	static const char *const names[] = { "id", "method", "params" };
	struct json_span spans[3];

	json_add_compact(&compact, data, len);
	box_assert(json_scan(compact.data, compact.len, NULL) == 0);
	(void)(json_each_member(data, len, check_member, &whole, NULL) < 0 &&
	       json_each_element(data, len, check_span, &whole, NULL) < 0);
	if (json_scan_members(data, len, names, 3, spans, NULL) == 0)
		for (size_t i = 0; i < 3; i++)
			if (spans[i].at)
				(void)check_span(&whole, spans[i], NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	json_t *tree = NULL;
	json_error_t why;
	bool is_good = json_scan(data, len, NULL) == 0;

	if (is_good)
		check_good(data, len);
	tree = json_loadb((const char *)data, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
	/* All that the library takes and we do not: what is deeper than our ceiling, and a NUL for an end. */
	box_assert(is_good || !tree || len > JSON_DEPTH_MAX || memchr(data, 0, len));
	json_decref(tree);
	return 0;
}
