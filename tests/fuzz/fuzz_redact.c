/* Redacted JSON is JSON within its bound. */
#include <stdint.h>
#include "err.h"
#include "json.h"
#include "redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf b = BUF_INIT(4096);

	if (json_scan(data, len, NULL) < 0)
		return 0;
	redact_json(&b, (const char *)data, len, 2048);
	box_assert(!b.is_over && json_scan(b.data, b.len, NULL) == 0);
	buf_done(&b);
	return 0;
}
