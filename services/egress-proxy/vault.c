#include "vault.h"

#include <stdlib.h>
#include <string.h>
#include "mem.h"
#include "parse.h"

struct entry {
	const PB(SecretBinding) * binding; /* the grant's */
	struct policy *hosts;              /* NULL: those that a person approved for the server */
	unsigned places;
	struct secret *value; /* NULL: not opened */
};

struct vault {
	const PB(Grant) * grant;
	struct entry *entries;
	size_t count;
	struct mask *mask; /* of all values; NULL: they are not open */
};

/* "host", "host:port", "[v6]:port", "*.suffix:port" */
static PB(HostGrant) split_host(const char *text, char host[300])
{
	PB(HostGrant) g = MCPBOX__V1__HOST_GRANT__INIT;
	const char *colon = strrchr(text, ':');
	size_t len = strlen(text);
	uint64_t port;

	if (colon && (text[0] == '[' ? colon[-1] == ']' : strchr(text, ':') == colon) &&
	    parse_u64(colon + 1, 1, 65535, &port) == 0) {
		g.port = (uint32_t)port;
		len = (size_t)(colon - text);
	}
	if (len >= 300)
		len = 0; /* the grammar knows none that long: it binds to nothing */
	memcpy(host, text, len);
	host[len] = '\0';
	g.host = host;
	/* Whether it may lead to a private address is the grant's rule to say. */
	g.allow_private = true;
	return g;
}

static struct policy *compile_hosts(const PB(SecretBinding) * b)
{
	PB(Grant) all = MCPBOX__V1__GRANT__INIT;
	PB(HostGrant) *hosts = mem_alloc_array(b->n_hosts, sizeof(*hosts));
	PB(HostGrant) **list = mem_alloc_array(b->n_hosts, sizeof(*list));
	char(*names)[300] = mem_alloc_array(b->n_hosts, sizeof(*names));
	struct policy *p;

	for (size_t i = 0; i < b->n_hosts; i++) {
		hosts[i] = split_host(b->hosts[i], names[i]);
		list[i] = &hosts[i];
	}
	all.hosts = list;
	all.n_hosts = b->n_hosts;
	p = policy_new(&all);
	free(names);
	free(list);
	free(hosts);
	return p;
}

struct vault *vault_new(const PB(Grant) * grant)
{
	struct vault *v = mem_alloc(sizeof(*v));

	v->grant = grant;
	if (grant->placeholder_seed.len == PLACEHOLDER_SEED_LEN)
		v->count = grant->n_secrets;
	v->entries = mem_alloc_array(v->count + 1, sizeof(*v->entries));
	for (size_t i = 0; i < v->count; i++) {
		struct entry *e = &v->entries[i];

		e->binding = grant->secrets[i];
		e->hosts = e->binding->n_hosts ? compile_hosts(e->binding) : NULL;
		for (size_t k = 0; k < e->binding->n_places; k++)
			e->places |= inject_place_of(e->binding->places[k]);
	}
	return v;
}

void vault_close(struct vault *v)
{
	mask_free(v->mask);
	v->mask = NULL;
	for (size_t i = 0; i < v->count; i++) {
		secret_free(v->entries[i].value);
		v->entries[i].value = NULL;
	}
}

void vault_free(struct vault *v)
{
	if (!v)
		return;
	vault_close(v);
	for (size_t i = 0; i < v->count; i++)
		policy_free(v->entries[i].hosts);
	free(v->entries);
	free(v);
}

size_t vault_count(const struct vault *v)
{
	return v->count;
}

static bool is_bound(const struct entry *e, const struct vault_target *to)
{
	const struct rule *rule = to->rule;
	const char *reason;

	if (e->hosts && policy_check(e->hosts, to->target, NULL, &rule, &reason, NULL) < 0)
		return false;
	if (!e->hosts && !rule->takes_secrets)
		return false;
	/* In the clear only where a person wrote down the port, or the operator the address. */
	return to->target->is_https || to->is_pinned || (rule->port != 0 && rule->port != 443);
}

/* All of them, so that what a host knows of one is found in the answer to a request with another, and so that the mask
 * stays the same while answers are read. */
static int open_all(struct vault *v, const struct keys *keys, struct err *err)
{
	int r = 0;

	if (v->mask)
		return 0;
	for (size_t i = 0; r == 0 && i < v->count; i++)
		r = delivery_open(keys, v->grant->server_id, v->entries[i].binding,
				  &v->entries[i].value, err);
	if (r < 0) {
		vault_close(v);
		return r;
	}
	v->mask = mask_new();
	for (size_t i = 0; i < v->count; i++)
		mask_add(v->mask, v->entries[i].value->data, v->entries[i].value->len,
			 MASK_VALUE_MIN, "[REDACTED]");
	return 0;
}

static void fill(const struct vault *v, const struct entry *e, const char *call_id,
		 struct inject_secret *ret)
{
	const uint8_t *seed = v->grant->placeholder_seed.data;

	ret->key = e->binding->key;
	ret->places = e->places;
	ret->value = ret->is_bound ? e->value : NULL;
	delivery_placeholder(seed, call_id, ret->key, ret->placeholders[0]);
	delivery_placeholder(seed, PLACEHOLDER_ANY_CALL, ret->key, ret->placeholders[1]);
}

int vault_list(struct vault *v, const struct keys *keys, const char *call_id,
	       const struct vault_target *to, struct inject_secret **ret,
	       const struct mask **ret_mask, struct err *err)
{
	struct inject_secret *list = mem_alloc_array(v->count + 1, sizeof(*list));
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < v->count; i++) {
		list[i].is_bound = is_bound(&v->entries[i], to);
		any |= list[i].is_bound;
	}
	if (any)
		r = open_all(v, keys, err);
	if (r < 0) {
		free(list);
		return r;
	}
	for (size_t i = 0; i < v->count; i++)
		fill(v, &v->entries[i], call_id, &list[i]);
	*ret = list;
	*ret_mask = any ? v->mask : NULL;
	return 0;
}
