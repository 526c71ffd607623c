/* URLs: what is taken is canonical, holds nothing that could end a line, and parses to itself
 * again. */
#include <stdlib.h>
#include <string.h>
#include "err.h"
#include "target.h"

static void check_host(const struct host *h)
{
	box_assert(strlen(h->text) > 0 && strlen(h->text) <= HOST_NAME_MAX_LEN);
	for (const char *p = h->text; *p; p++)
		box_assert(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.:", *p));
	box_assert(h->kind == HOST_IS_V6 || !strchr(h->text, ':'));
	box_assert(h->kind == HOST_IS_V6 || h->text[strlen(h->text) - 1] != '.');
}

static void check(const struct target *t)
{
	struct target again;
	char *url = target_url(t);

	check_host(&t->host);
	box_assert(t->port > 0 && t->path[0] == '/');
	for (const char *p = t->path; *p; p++)
		box_assert(*p > 0x20 && *p < 0x7f && *p != '#');
	/* Encoding may have made it longer than what a tool may write. */
	if (strlen(url) <= TARGET_URL_MAX) {
		box_assert(target_parse_url(url, strlen(url), &again, NULL) == 0);
		box_assert(strcmp(again.host.text, t->host.text) == 0 && again.port == t->port &&
			   strcmp(again.path, t->path) == 0);
		target_done(&again);
	}
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct target t;

	if (target_parse_url((const char *)data, len, &t, NULL) == 0) {
		check(&t);
		target_done(&t);
	}
	if (target_parse_authority((const char *)data, len, &t, NULL) == 0)
		check_host(&t.host);
	return 0;
}
