/* Four lines: Authorization, Cookie, Host, Origin.  Whatever they hold, a token is one of the allowed alphabet
 * and a host that passes is one of ours. */
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include "err.h"
#include "mem.h"
#include "origin.h"
#include "session.h"

static void judge_token(const struct session *s)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";

	box_assert(strlen(s->token) <= SESSION_TOKEN_MAX);
	box_assert(strspn(s->token, allowed) == strlen(s->token));
}

static void judge_host(const char *host)
{
	box_assert(strncasecmp(host, "127.0.0.1", 9) == 0 ||
		   strncasecmp(host, "localhost", 9) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	BOX_CLEANUP(mem_freep) char *text = mem_strndup((const char *)data, len);
	const char *lines[4] = { "", "", "", "" };
	char *rest = text;
	struct origin_names names;
	struct session session;
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(lines) && rest; i++)
		lines[i] = strsep(&rest, "\n");
	if (session_read(*lines[0] ? lines[0] : NULL, lines[1], &session, &err) == 0)
		judge_token(&session);
	box_assert(origin_names_init(&names, "127.0.0.1", "", &err) == 0);
	if (origin_check(&names, &(struct origin_facts){ "POST", lines[2], lines[3], NULL },
			 &err) == 0)
		judge_host(lines[2]);
	origin_names_done(&names);
	return 0;
}
