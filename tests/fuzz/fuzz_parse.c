/* Readers of short texts: what they take, they take in one spelling. */
#include <stdint.h>
#include <string.h>
#include "clock.h"
#include "err.h"
#include "mem.h"
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_base64(const char *text, size_t len)
{
	BOX_CLEANUP(mem_freep) uint8_t *data = NULL;
	BOX_CLEANUP(mem_freep) char *again = NULL;
	size_t data_len;

	if (parse_base64(text, len, &data, &data_len) < 0)
		return;
	again = format_base64(data, data_len);
	box_assert(strlen(again) == len && memcmp(again, text, len) == 0);
}

static void check_iso(const char *text)
{
	char again[32];
	int64_t ms;

	if (parse_iso(text, &ms) < 0)
		return;
	clock_format_iso(ms, again);
	box_assert(strncmp(again, text, 19) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	BOX_CLEANUP(mem_freep) char *text = mem_strndup((const char *)data, len);
	uint8_t bytes[8];
	uint64_t u;
	int64_t i;
	bool b;

	(void)(parse_u64(text, 0, UINT64_MAX, &u) + parse_i64(text, INT64_MIN, INT64_MAX, &i));
	(void)(parse_bool(text, &b) + parse_duration_ms(text, &u) + parse_size(text, &u));
	(void)(parse_hex(text, bytes, sizeof(bytes)) < 0);
	(void)(text_is_uuid(text) + text_is_name(text) + text_is_plain(data, len));
	check_base64(text, strlen(text));
	check_iso(text);
	return 0;
}
