#include <string.h>
#include <strings.h>
#include "mem.h"
#include "origin.h"

static const char *const always[] = { "127.0.0.1", "localhost" };
static const char *const wildcards[] = { "0.0.0.0", "*", "" };

static bool is_in(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(name, list[i]) == 0)
			return true;
	return false;
}

static void add_name(struct origin_names *n, const char *name, size_t len)
{
	n->names = mem_realloc_array(n->names, n->count + 1, sizeof(*n->names));
	n->names[n->count++] = mem_strndup(name, len);
}

/* Letters, digits, dot, dash: what a host name or an IPv4 address is made of. */
static bool is_host_name(const char *s, size_t len)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!s[i] || !strchr(allowed, s[i]))
			return false;
	return true;
}

static int add_list(struct origin_names *n, const char *list, struct err *err)
{
	while (*list) {
		size_t len;

		list += strspn(list, ", ");
		len = strcspn(list, ", ");
		if (len == 0)
			break;
		if (!is_host_name(list, len))
			return err_set(err, ERR_INVALID, "not a host name: '%.*s'", (int)len, list);
		add_name(n, list, len);
		list += len;
	}
	return 0;
}

int origin_names_init(struct origin_names *n, const char *listen_host, const char *more,
		      struct err *err)
{
	*n = (struct origin_names){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		add_name(n, always[i], strlen(always[i]));
	if (!is_in(listen_host, wildcards, ARRAY_LEN(wildcards)))
		add_name(n, listen_host, strlen(listen_host));
	return add_list(n, more ? more : "", err);
}

void origin_names_done(struct origin_names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->names[i]);
	free(n->names);
	*n = (struct origin_names){ 0 };
}

/* Length of the name in "name" or "name:port"; 0 when it is neither. */
static size_t name_length(const char *authority)
{
	size_t len = strcspn(authority, ":");

	if (!is_host_name(authority, len))
		return 0;
	if (authority[len] == 0)
		return len;
	if (!authority[len + 1] ||
	    strspn(authority + len + 1, "0123456789") != strlen(authority + len + 1))
		return 0;
	return len;
}

static bool host_is_known(const struct origin_names *n, const char *host)
{
	size_t len = name_length(host);

	for (size_t i = 0; len > 0 && i < n->count; i++)
		if (strlen(n->names[i]) == len && strncasecmp(n->names[i], host, len) == 0)
			return true;
	return false;
}

/* Is the origin the place that the browser asked?  The scheme may be https when a proxy stands
 * before us. */
static bool origin_is_host(const char *origin, const char *host)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i]);

		if (strncmp(origin, schemes[i], len) == 0)
			return strcasecmp(origin + len, host) == 0;
	}
	return false;
}

bool origin_method_is_safe(const char *method)
{
	static const char *const safe[] = { "GET", "HEAD", "OPTIONS" };

	return is_in(method, safe, ARRAY_LEN(safe));
}

int origin_check(const struct origin_names *n, const struct origin_facts *facts, struct err *err)
{
	if (!facts->host || !host_is_known(n, facts->host))
		return err_set_field(err, ERR_DENIED, "Host",
				     "set MCPBOX_ADMIN_HOST_NAMES to add a name",
				     "this server does not answer to that host name");
	if (facts->origin && !origin_is_host(facts->origin, facts->host))
		return err_set_field(err, ERR_DENIED, "Origin", NULL,
				     "requests from another site are refused");
	/* Old forms and images send no Origin; browsers of today say where a request comes from. */
	if (facts->fetch_site && !origin_method_is_safe(facts->method) &&
	    strcmp(facts->fetch_site, "same-origin") != 0 && strcmp(facts->fetch_site, "none") != 0)
		return err_set_field(err, ERR_DENIED, "Sec-Fetch-Site", NULL,
				     "requests from another site are refused");
	return 0;
}
