/* Packets between supervisor and worker: whatever unpacks packs to the same bytes. */
#include <stdlib.h>
#include <string.h>
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct wire_message m;
	static uint8_t packet[WIRE_PACKET_MAX];

	if (wire_unpack(data, len, &m) == 0 &&
	    (wire_pack(&m, packet) != len || memcmp(packet, data, len) != 0))
		abort();
	return 0;
}
