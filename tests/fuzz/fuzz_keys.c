/* Text that claims to be a key file. */
#include <stddef.h>
#include <stdint.h>

#include "crypto.h"
#include "err.h"
#include "keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct keys *keys;

	if (crypto_start() < 0)
		return -1;
	if (keys_parse((const char *)data, size, &keys, &err) == 0)
		keys_free(keys);
	return 0;
}
