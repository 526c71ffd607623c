#include "pinned.h"

#include <stdlib.h>
#include <string.h>
#include "mem.h"

static const char *find_port(const char *s, size_t len)
{
	const char *end = len > 0 && s[0] == '[' ? memchr(s, ']', len) : s;

	return end ? memchr(end, ':', len - (size_t)(end - s)) : NULL;
}

/* host[:port]; no port: 0. */
static int parse_side(const char *s, size_t len, struct host *ret, uint16_t *ret_port)
{
	const char *colon = find_port(s, len);
	size_t host_len = colon ? (size_t)(colon - s) : len;

	*ret_port = 0;
	if (host_parse(s, host_len, ret, NULL) < 0)
		return -ERR_INVALID;
	return colon ? port_parse(colon + 1, len - host_len - 1, ret_port, NULL) : 0;
}

static int parse_pin(const char *s, size_t len, struct pin *ret)
{
	const char *equal = memchr(s, '=', len);
	struct pin pin = { 0 };
	struct host address;
	size_t left;

	if (!equal)
		return -ERR_INVALID;
	left = (size_t)(equal - s);
	if (parse_side(s, left, &pin.name, &pin.port) < 0 ||
	    parse_side(equal + 1, len - left - 1, &address, &pin.to_port) < 0 ||
	    address.kind == HOST_IS_NAME)
		return -ERR_INVALID;
	pin.address = address.address;
	*ret = pin;
	return 0;
}

static void trim(const char **s, size_t *len)
{
	while (*len > 0 && **s == ' ') {
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && (*s)[*len - 1] == ' ')
		(*len)--;
}

int pinned_parse(const char *text, struct pinned *ret, struct err *err)
{
	struct pinned p = { .pins = mem_alloc_array(PINNED_MAX, sizeof(struct pin)) };
	const char *at = text ? text : "";

	while (*at) {
		size_t whole = strcspn(at, ",");
		const char *entry = at;
		size_t len = whole;

		trim(&entry, &len);
		if (p.count == PINNED_MAX || parse_pin(entry, len, &p.pins[p.count]) < 0) {
			pinned_done(&p);
			return err_set(err, ERR_INVALID,
				       "MCPBOX_EGRESS_PINNED_HOSTS: '%.*s' is not "
				       "name[:port]=address[:port]",
				       (int)len, entry);
		}
		p.count++;
		at += whole;
		if (*at == ',')
			at++;
	}
	*ret = p;
	return 0;
}

void pinned_done(struct pinned *p)
{
	free(p->pins);
	*p = (struct pinned){ 0 };
}

static size_t collect(const struct pinned *p, const char *name, uint16_t port,
		      const struct pin **ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count && n < max; i++)
		if (p->pins[i].port == port && strcmp(p->pins[i].name.text, name) == 0)
			ret[n++] = &p->pins[i];
	return n;
}

size_t pinned_find(const struct pinned *p, const struct host *host, uint16_t port,
		   const struct pin **ret, size_t max)
{
	size_t n = collect(p, host->text, port, ret, max);

	return n > 0 ? n : collect(p, host->text, 0, ret, max);
}
