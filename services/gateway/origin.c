#include "origin.h"

#include <string.h>
#include <strings.h>
#include "mem.h"

static const char *const loopback_names[] = { "localhost", "127.0.0.1", "[::1]" };

/* Is one entry of the comma-separated list equal to the len bytes at s? */
static bool list_holds(const char *list, const char *s, size_t len)
{
	while (list && *list) {
		size_t n;

		list += strspn(list, ", ");
		n = strcspn(list, ", ");
		if (n > 0 && n == len && strncasecmp(list, s, n) == 0)
			return true;
		list += n;
	}
	return false;
}

/* Length of the name in "name[:port]", 0 when it has another shape. */
static size_t name_length(const char *host)
{
	size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	const char *port;

	if (len > strlen(host) || (host[len] != '\0' && host[len] != ':'))
		return 0;
	port = host + len + (host[len] == ':');
	return strspn(port, "0123456789") == strlen(port) ? len : 0;
}

static bool is_loopback_name(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(loopback_names) / sizeof(loopback_names[0]); i++) {
		if (len == strlen(loopback_names[i]) &&
		    strncasecmp(name, loopback_names[i], len) == 0)
			return true;
	}
	return false;
}

bool origin_host_allowed(const struct origin_policy *p, const char *host)
{
	size_t len = host ? name_length(host) : 0;

	return len > 0 && (is_loopback_name(host, len) || list_holds(p->hosts, host, len));
}

/* Behind "http://" or "https://", else NULL. */
static const char *origin_authority(const char *origin)
{
	if (strncasecmp(origin, "http://", 7) == 0)
		return origin + 7;
	if (strncasecmp(origin, "https://", 8) == 0)
		return origin + 8;
	return NULL;
}

bool origin_allowed(const struct origin_policy *p, const char *origin, const char *host)
{
	const char *authority;
	size_t len;

	if (!origin)
		return true;
	if (list_holds(p->origins, origin, strlen(origin)))
		return true;
	authority = origin_authority(origin);
	if (!authority)
		return false;
	len = name_length(authority);
	if (len == 0)
		return false;
	if (p->is_loopback && is_loopback_name(authority, len))
		return true;
	/* Own origin: Host is judged before, so this does not let a rebound name in. */
	return host && origin_host_allowed(p, host) && strcasecmp(authority, host) == 0;
}

static bool is_origin(const char *text)
{
	const char *authority = origin_authority(text);

	return authority && strpbrk(authority, "/?#@") == NULL && name_length(authority) > 0;
}

int origin_list_check(const char *list, struct err *err)
{
	while (list && *list) {
		size_t len;
		BOX_CLEANUP(mem_freep) char *entry = NULL;

		list += strspn(list, ", ");
		len = strcspn(list, ", ");
		entry = mem_strndup(list, len);
		if (len > 0 && !is_origin(entry))
			return err_set(err, ERR_INVALID,
				       "MCPBOX_CORS_ORIGINS: '%s' is no origin; write "
				       "https://name or https://name:port",
				       entry);
		list += len;
	}
	return 0;
}
