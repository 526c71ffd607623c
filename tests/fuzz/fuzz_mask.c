/* Cut anywhere, a masked text is the same, and the values are not in it. */
#include <string.h>
#include "crypto.h"
#include "err.h"
#include "mask.h"

static void add(struct mask *m, const char *value)
{
	mask_add(m, value, strlen(value), 4, "#");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf whole = BUF_INIT(1 << 24), pieces = BUF_INIT(1 << 24);
	struct mask_stream s;
	struct mask *m;
	size_t step = len > 0 ? data[0] % 13u + 1 : 1;

	if (crypto_start() < 0)
		return 0;
	m = mask_new();
	add(m, "aaab");
	add(m, "aaabaaac");
	add(m, "q\"/ \\x");
	(void)mask_text(m, data, len, &whole);
	mask_begin(&s, m);
	for (size_t i = 0; i < len; i += step)
		mask_feed(&s, data + i, len - i < step ? len - i : step, &pieces);
	mask_end(&s, false, &pieces);
	box_assert(whole.len == pieces.len);
	box_assert(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
	box_assert(!memmem(whole.data, whole.len, "aaab", 4));
	buf_done(&whole);
	buf_done(&pieces);
	mask_free(m);
	return 0;
}
