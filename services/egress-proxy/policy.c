#include "policy.h"

#include <libpsl.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "host_never.h"
#include "mem.h"

struct policy {
	struct rule *rules; /* sorted by host, so that a decision is a few comparisons */
	size_t count;
	size_t bad;
};

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

/* Beside those of host_is_never(), names by which clusters serve credentials; the list of the contract, section 4. */
static const char *const inside_names[] = {
	"kubernetes.default",
	"kubernetes.default.svc",
	"kubernetes.default.svc.cluster.local",
};
static const char *const inside_suffixes[] = { ".local", ".internal" };

unsigned policy_method(const char *method)
{
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i], method) == 0)
			return 1u << i;
	return 0;
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s);
	size_t m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool policy_can_be_granted(const struct host *h)
{
	if (h->kind != HOST_IS_NAME)
		return address_class_is_allowed(address_classify(&h->address), true);
	return !host_is_never(h->text);
}

static bool is_inside_name(const struct host *h)
{
	if (h->kind != HOST_IS_NAME)
		return false;
	if (!strchr(h->text, '.') || host_is_never(h->text))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(inside_names); i++)
		if (strcmp(h->text, inside_names[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(inside_suffixes); i++)
		if (ends_with(h->text, inside_suffixes[i]))
			return true;
	return false;
}

/* ---- making a policy of a grant ---- */

static void rule_done(struct rule *r)
{
	free(r->host);
	free(r->text);
	for (size_t i = 0; i < r->path_prefix_count; i++)
		free(r->path_prefixes[i]);
	free((void *)r->path_prefixes);
}

/* "*.com" and "*.co.uk" are everybody's. */
static bool is_public_suffix(const char *name)
{
	return psl_is_public_suffix(psl_builtin(), name) != 0;
}

static int compile_host(const char *text, struct rule *ret)
{
	struct host host;
	bool wildcard = strncmp(text, "*.", 2) == 0;
	const char *name = wildcard ? text + 2 : text;

	/* Grants write IPv6 literals with or without brackets; only one spelling goes on. */
	if (!wildcard && name[0] != '[' && strchr(name, ':')) {
		host.kind = HOST_IS_V6;
		if (address_parse_v6(name, strlen(name), &host.address) < 0)
			return -ERR_INVALID;
		address_format(&host.address, host.text);
	} else if (host_parse(name, strlen(name), &host, NULL) < 0) {
		return -ERR_INVALID;
	}
	if (wildcard && (host.kind != HOST_IS_NAME || is_public_suffix(host.text)))
		return -ERR_INVALID;
	ret->host = mem_strdup(host.text);
	ret->is_wildcard = wildcard;
	return 0;
}

static int compile_methods(const PB(HostGrant) * g, unsigned *ret)
{
	unsigned bits = 0;

	for (size_t i = 0; i < g->n_methods; i++) {
		unsigned bit = policy_method(g->methods[i]);

		if (bit == 0)
			return -ERR_INVALID;
		bits |= bit;
	}
	*ret = bits;
	return 0;
}

static char *describe(const struct rule *r)
{
	struct buf b = BUF_INIT(512);
	char *text;

	buf_printf(&b, "%s%s", r->is_wildcard ? "*." : "", r->host);
	if (r->port)
		buf_printf(&b, ":%u", r->port);
	if (r->allow_private)
		buf_add_str(&b, "+private");
	text = mem_strdup(buf_str(&b));
	buf_done(&b);
	return text;
}

static int compile_rule(const PB(HostGrant) * g, struct rule *ret)
{
	struct rule r = { .allow_private = g->allow_private, .takes_secrets = !g->by_policy };

	if (g->port > 65535 || compile_methods(g, &r.methods) < 0 || compile_host(g->host, &r) < 0)
		return -ERR_INVALID;
	r.port = (uint16_t)g->port;
	if (g->n_path_prefixes > 0)
		r.path_prefixes = mem_alloc_array(g->n_path_prefixes, sizeof(char *));
	for (size_t i = 0; i < g->n_path_prefixes; i++)
		r.path_prefixes[i] = mem_strdup(g->path_prefixes[i]);
	r.path_prefix_count = g->n_path_prefixes;
	r.text = describe(&r);
	*ret = r;
	return 0;
}

static int compare_rules(const void *a, const void *b)
{
	return strcmp(((const struct rule *)a)->host, ((const struct rule *)b)->host);
}

struct policy *policy_new(const PB(Grant) * grant)
{
	struct policy *p = mem_alloc(sizeof(*p));

	p->rules = mem_alloc_array(grant->n_hosts + 1, sizeof(*p->rules));
	for (size_t i = 0; i < grant->n_hosts; i++) {
		if (compile_rule(grant->hosts[i], &p->rules[p->count]) < 0)
			p->bad++;
		else
			p->count++;
	}
	qsort(p->rules, p->count, sizeof(*p->rules), compare_rules);
	return p;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++)
		rule_done(&p->rules[i]);
	free(p->rules);
	free(p);
}

size_t policy_rule_count(const struct policy *p)
{
	return p->count;
}

size_t policy_bad_entries(const struct policy *p)
{
	return p->bad;
}

/* ---- deciding ---- */

/* How near a rule came; the farthest refusal is the one worth telling. */
enum verdict { NOT_LISTED, WRONG_PORT, WRONG_METHOD, WRONG_PATH, INSIDE_NAME, ALLOWED };

struct question {
	const struct target *target;
	const char *method;
	enum verdict verdict;
	const struct rule *rule;
};

static bool port_matches(const struct rule *r, const struct target *t)
{
	if (r->port)
		return r->port == t->port;
	return t->port == 443 || (t->port == 80 && t->mode == TARGET_FORWARD);
}

static bool method_matches(const struct rule *r, const char *method)
{
	return r->methods == 0 || (method && (r->methods & policy_method(method)));
}

/* A dot segment, also percent-encoded, would step out of a granted prefix at the origin. */
static bool has_dot_segment(const char *path)
{
	const char *p = path;

	while (*p && *p != '?') {
		size_t dots = 0;

		p++;
		for (;;) {
			if (*p == '.')
				p++;
			else if (strncasecmp(p, "%2e", 3) == 0)
				p += 3;
			else
				break;
			dots++;
		}
		if ((dots == 1 || dots == 2) &&
		    (*p == '\0' || strchr("/?;", *p) || strncasecmp(p, "%2f", 3) == 0 ||
		     strncasecmp(p, "%5c", 3) == 0))
			return true;
		while (*p && *p != '?' && *p != '/' && strncasecmp(p, "%2f", 3) != 0 &&
		       strncasecmp(p, "%5c", 3) != 0)
			p++;
		if (*p == '%')
			p += 2;
	}
	return false;
}

static bool has_prefix(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (n == 0 || strncmp(path, prefix, n) != 0)
		return false;
	return prefix[n - 1] == '/' || path[n] == '\0' || path[n] == '/' || path[n] == '?';
}

static bool path_matches(const struct rule *r, const char *path)
{
	if (r->path_prefix_count == 0)
		return true;
	/* Inside a tunnel no path can be seen, so a rule with paths allows none. */
	if (!path || has_dot_segment(path))
		return false;
	for (size_t i = 0; i < r->path_prefix_count; i++)
		if (has_prefix(path, r->path_prefixes[i]))
			return true;
	return false;
}

static enum verdict judge(const struct rule *r, const struct target *t, const char *method)
{
	if (!port_matches(r, t))
		return WRONG_PORT;
	if (!method_matches(r, method))
		return WRONG_METHOD;
	if (!path_matches(r, t->path))
		return WRONG_PATH;
	if (is_inside_name(&t->host) && !r->allow_private)
		return INSIDE_NAME;
	return ALLOWED;
}

static size_t first_rule(const struct policy *p, const char *host)
{
	size_t low = 0;
	size_t high = p->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(p->rules[mid].host, host) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void try_rules(const struct policy *p, const char *host, bool wildcard, struct question *q)
{
	for (size_t i = first_rule(p, host);
	     q->verdict != ALLOWED && i < p->count && strcmp(p->rules[i].host, host) == 0; i++) {
		enum verdict v;

		if (p->rules[i].is_wildcard != wildcard)
			continue;
		v = judge(&p->rules[i], q->target, q->method);
		if (v > q->verdict) {
			q->verdict = v;
			q->rule = &p->rules[i];
		}
	}
}

static const char *const reasons[] = {
	[NOT_LISTED] = "not-listed", [WRONG_PORT] = "port",        [WRONG_METHOD] = "method",
	[WRONG_PATH] = "path",       [INSIDE_NAME] = "local-name",
};

static int refuse(const struct question *q, struct err *err)
{
	const char *host = q->target->host.text;
	unsigned port = q->target->port;

	switch (q->verdict) {
	case WRONG_PORT:
		return err_set(err, ERR_DENIED, "%s is allowed, but not on port %u", host, port);
	case WRONG_METHOD:
		return err_set(err, ERR_DENIED, "%s:%u is not allowed for method %s", host, port,
			       q->method ? q->method : "CONNECT");
	case WRONG_PATH:
		return err_set(err, ERR_DENIED, "%s:%u is not allowed for this path", host, port);
	case INSIDE_NAME:
		return err_set(err, ERR_DENIED,
			       "%s is a name of the local network and needs a private grant", host);
	default:
		return err_set(err, ERR_DENIED,
			       "%s:%u is not on the server's list of allowed hosts", host, port);
	}
}

int policy_check(const struct policy *p, const struct target *t, const char *method,
		 const struct rule **ret_rule, const char **ret_reason, struct err *err)
{
	struct question q = { .target = t, .method = method, .verdict = NOT_LISTED };
	const char *dot = t->host.text;

	try_rules(p, t->host.text, false, &q);
	while (t->host.kind == HOST_IS_NAME && q.verdict != ALLOWED && (dot = strchr(dot, '.'))) {
		dot++;
		try_rules(p, dot, true, &q);
	}
	if (q.verdict != ALLOWED) {
		*ret_rule = NULL;
		*ret_reason = reasons[q.verdict];
		return refuse(&q, err);
	}
	*ret_rule = q.rule;
	return 0;
}

int policy_judge_address(const struct rule *rule, const struct host *host, const struct address *a,
			 struct err *err)
{
	enum address_class class = address_classify(a);

	if (address_class_is_allowed(class, rule->allow_private))
		return 0;
	if (class == ADDRESS_PRIVATE)
		return err_set(err, ERR_DENIED,
			       "%s leads to a private address and needs a private grant",
			       host->text);
	return err_set(err, ERR_DENIED, "%s leads to an address that is never reachable (%s)",
		       host->text, address_class_name(class));
}
