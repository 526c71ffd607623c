#include "redact.h"

#include <stdbool.h>
#include <strings.h>

/* A key that contains one of these names a secret. */
static const char *const telling[] = {
	"password", "passwd",  "passphrase",    "secret",     "token",       "api_key",
	"apikey",   "api-key", "authorization", "credential", "private_key", "cookie",
};

static bool key_is_telling(const char *key, size_t len)
{
	for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++) {
		size_t n = __builtin_strlen(telling[i]);

		for (size_t at = 0; at + n <= len; at++) {
			if (strncasecmp(key + at, telling[i], n) == 0)
				return true;
		}
	}
	return false;
}

static size_t skip_space(const char *p, size_t at, size_t len)
{
	while (at < len && (p[at] == ' ' || p[at] == '\t' || p[at] == '\n' || p[at] == '\r'))
		at++;
	return at;
}

/* Behind the string that opens at `at`. */
static size_t skip_string(const char *p, size_t at, size_t len)
{
	for (at++; at < len && p[at] != '"'; at++) {
		if (p[at] == '\\')
			at++;
	}
	return at < len ? at + 1 : len;
}

/* Behind the value that begins at `at`: strings and brackets counted, scalars up to the next
 * separator. */
static size_t skip_value(const char *p, size_t at, size_t len)
{
	int depth = 0;

	for (; at < len; at++) {
		if (p[at] == '"') {
			at = skip_string(p, at, len) - 1;
		} else if (p[at] == '{' || p[at] == '[') {
			depth++;
		} else if (p[at] == '}' || p[at] == ']') {
			if (--depth < 0)
				return at;
		} else if (depth == 0 && p[at] == ',') {
			return at;
		}
	}
	return at;
}

static void add_redacted(struct buf *b, const char *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t end, colon;

		if (p[at] != '"') {
			buf_add_char(b, p[at++]);
			continue;
		}
		end = skip_string(p, at, len);
		buf_add(b, p + at, end - at);
		colon = skip_space(p, end, len);
		if (colon < len && p[colon] == ':' && key_is_telling(p + at, end - at)) {
			buf_add_str(b, ":\"[redacted]\"");
			end = skip_value(p, colon + 1, len);
		}
		at = end;
	}
}

void redact_json(struct buf *b, const char *text, size_t len, size_t max)
{
	struct buf all = BUF_INIT(max);

	if (len <= max)
		add_redacted(&all, text, len);
	if (len > max || all.is_over)
		buf_printf(b, "{\"cut\":true,\"bytes\":%zu}", len);
	else
		buf_add(b, all.data, all.len);
	buf_done(&all);
}
