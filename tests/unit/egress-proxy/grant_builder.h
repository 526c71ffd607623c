/* A Grant of entries as people write them: "host[:port][+private]", comma-separated. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include "mem.h"
#include "msg.h"
#include "policy.h"

#define GRANT_ENTRIES_MAX 16

struct grant_builder {
	PB(Grant) grant;
	PB(HostGrant) hosts[GRANT_ENTRIES_MAX];
	PB(HostGrant) * list[GRANT_ENTRIES_MAX];
	char *text;
};

static inline char *grant_trim(char *s)
{
	while (*s == ' ')
		s++;
	for (size_t n = strlen(s); n > 0 && s[n - 1] == ' '; n--)
		s[n - 1] = '\0';
	return s;
}

/* What the registry does when an entry is saved: trims, cuts off port and flag; the policy judges
 * the rest. */
static inline void grant_add(struct grant_builder *b, char *entry)
{
	PB(HostGrant) *h = &b->hosts[b->grant.n_hosts];
	char *host = grant_trim(entry);
	char *flag = strstr(host, "+private");
	char *colon;

	mcpbox__v1__host_grant__init(h);
	if (flag && flag[8] == '\0') {
		*flag = '\0';
		h->allow_private = true;
	}
	colon = host[0] == '[' ? strstr(host, "]:") : strrchr(host, ':');
	if (colon && host[0] == '[')
		colon++;
	if (colon) {
		uint16_t port;

		if (port_parse(colon + 1, strlen(colon + 1), &port, NULL) == 0) {
			h->port = port;
			*colon = '\0';
		}
	}
	h->host = host;
	b->list[b->grant.n_hosts++] = h;
}

static inline void grant_build(struct grant_builder *b, const char *entries)
{
	char *rest;
	char *entry;

	*b = (struct grant_builder){ .text = mem_strdup(entries) };
	mcpbox__v1__grant__init(&b->grant);
	b->grant.hosts = b->list;
	rest = b->text;
	while (strcmp(entries, "-") != 0 && (entry = strsep(&rest, ",")))
		if (*entry)
			grant_add(b, entry);
}

static inline void grant_done(struct grant_builder *b)
{
	free(b->text);
}
