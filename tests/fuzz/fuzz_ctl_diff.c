/* Two texts with a NUL between them: the lines out and the lines in are lines of the one and of the other, and
 * their numbers add up. */
#include <stdint.h>
#include <string.h>
#include "diff.h"
#include "err.h"
#include "mem.h"

static long count_lines(const char *text)
{
	long n = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");

		text += len + (text[len] == '\n');
		n++;
	}
	return n;
}

/* Lines that begin with the mark. */
static long count_marked(const char *diff, char mark)
{
	long n = 0;

	for (const char *line = diff; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		n += *line == mark;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	BOX_CLEANUP(mem_freep) char *before = mem_strndup((const char *)data, len);
	const char *after = strlen(before) < len ? before + strlen(before) + 1 : "";
	struct buf diff = BUF_INIT(4 * 1024 * 1024);

	diff_unified(before, after, &diff);
	box_assert(count_marked(buf_str(&diff), '+') - count_marked(buf_str(&diff), '-') ==
		   count_lines(after) - count_lines(before));
	if (strcmp(before, after) == 0)
		box_assert(diff.len == 0);
	buf_done(&diff);
	return 0;
}
