#include "negotiate.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The media type at s: its length without parameters and white space. */
static size_t type_length(const char *s)
{
	size_t len = strcspn(s, ";,");

	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return len;
}

static bool is_type(const char *s, const char *type)
{
	size_t len = type_length(s);

	return len == strlen(type) && strncasecmp(s, type, len) == 0;
}

bool negotiate_is_json(const char *content_type)
{
	if (!content_type)
		return false;
	content_type += strspn(content_type, " \t");
	return is_type(content_type, "application/json") && !strchr(content_type, ',');
}

/* Does the entry that begins at s say q=0 (also 0.0, 0.00, 0.000)? */
static bool is_refused(const char *s, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		if ((s[i] == ';' || s[i] == ' ') && (s[i + 1] == 'q' || s[i + 1] == 'Q') &&
		    s[i + 2] == '=') {
			const char *value = s + i + 3;
			size_t n = strspn(value, "0123456789.");

			return n > 0 && strspn(value, "0.") >= n;
		}
	}
	return false;
}

struct accepts negotiate_accept(const char *accept)
{
	struct accepts a = { false, false };

	if (!accept)
		return (struct accepts){ true, true };
	while (*accept) {
		size_t len;

		accept += strspn(accept, ", \t");
		len = strcspn(accept, ",");
		if (len > 0 && !is_refused(accept, len)) {
			bool any = is_type(accept, "*/*");

			a.json |= any || is_type(accept, "application/json") ||
				  is_type(accept, "application/*");
			a.sse |= any || is_type(accept, "text/event-stream") ||
				 is_type(accept, "text/*");
		}
		accept += len;
	}
	return a;
}
