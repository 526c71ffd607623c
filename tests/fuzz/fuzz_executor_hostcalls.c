/* What a sandbox sends over its host channel. */
#include <stdlib.h>
#include "hostcalls.h"
#include "refusals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct refusals refusals = { 0 };
	struct hostcall call;
	long n;

	while ((n = hostcall_take(data, len, &call)) > 0) {
		if ((size_t)n > len || (call.op != HOSTCALL_OPEN &&
					json_scan(call.event.at, call.event.len, NULL) < 0))
			abort();
		if (call.op == HOSTCALL_REFUSED)
			refusals_add(&refusals, &call);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}
