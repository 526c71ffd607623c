/* Host entries: what is taken is canonical, and parses to itself again. */
#include <string.h>
#include "err.h"
#include "hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host_entry h = { 0 }, again = { 0 };
	char text[300];

	if (host_parse((const char *)data, size, &h, NULL) < 0)
		return 0;
	box_assert(h.host[0] && h.port <= 65535);
	for (const char *p = h.host; *p; p++)
		box_assert(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.:*", *p));
	host_format(&h, h.is_private, text);
	box_assert(host_parse(text, strlen(text), &again, NULL) == 0);
	box_assert(strcmp(h.host, again.host) == 0 && h.port == again.port &&
		   h.is_private == again.is_private && h.needs_private == again.needs_private);
	return 0;
}
