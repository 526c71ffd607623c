#include "id.h"

#include <stdio.h>
#include "clock.h"
#include "crypto.h"
#include "parse.h"

/* RFC 9562, 5.7: 48 bits of Unix milliseconds, version, 74 random bits around the variant. */
void id_new(char ret[ID_TEXT_SIZE])
{
	uint64_t now = (uint64_t)clock_unix_ms();
	uint8_t b[16];
	char hex[33];

	crypto_random(b, sizeof(b));
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(now >> (40 - 8 * i));
	b[6] = (uint8_t)(0x70 | (b[6] & 0x0f));
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
	format_hex(b, sizeof(b), hex);
	(void)snprintf(ret, ID_TEXT_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
}
