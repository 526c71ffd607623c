/* Any text, escaped, holds nothing that a terminal obeys; any JSON that is tamed has the same length or more. */
#include <stdint.h>
#include <string.h>
#include "client.h"
#include "err.h"
#include "mem.h"
#include "parse.h"
#include "print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	BOX_CLEANUP(mem_freep) char *text = mem_strndup((const char *)data, len);
	struct buf safe = BUF_INIT(1024 * 1024), tame = BUF_INIT(1024 * 1024);

	print_escape(&safe, (const char *)data, len, true);
	box_assert(!safe.is_over && text_is_utf8(buf_str(&safe), safe.len));
	for (size_t i = 0; i < safe.len; i++)
		box_assert(safe.data[i] >= 0x20 && safe.data[i] != 0x7f);
	client_tame_numbers(text, &tame);
	box_assert(!tame.is_over && tame.len >= strlen(text));
	buf_done(&safe);
	buf_done(&tame);
	return 0;
}
