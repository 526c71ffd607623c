/* Addresses: whatever parses has a class and comes back from its own text. */
#include <string.h>
#include "address.h"
#include "err.h"

static void check(const struct address *a, bool v6)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address again = { 0 };
	int r;

	box_assert((unsigned)address_classify(a) < ADDRESS_CLASS_COUNT);
	address_format(a, text);
	r = v6 ? address_parse_v6(text, strlen(text), &again)
	       : address_parse_v4(text, strlen(text), &again);
	box_assert(r == 0 && address_equal(a, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct address a = { 0 };

	if (address_parse_v4((const char *)data, len, &a) == 0)
		check(&a, false);
	if (address_parse_v6((const char *)data, len, &a) == 0)
		check(&a, true);
	if (len == 16) {
		a.len = 16;
		memcpy(a.bytes, data, 16);
		check(&a, true);
	}
	return 0;
}
