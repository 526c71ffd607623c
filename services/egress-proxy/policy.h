/*
 * May this server's tools reach this host, port, method and path?  Pure: no I/O, no clock; a policy
 * is made once per grant and then read by any thread.
 *
 * The decision comes before any name is looked up: a name that is not granted causes no query. What
 * a name resolves to is judged after (policy_judge_address), what is dialled once more when it is
 * dialled.
 *
 * The rules: exact names, or "*." and a suffix (every depth, not the suffix itself); a rule without
 * port means 443, and 80 in forward mode; a name of the inside (single label, localhost, .local,
 * .internal, metadata services) needs the private grant; literals only where exactly that literal
 * is granted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "address.h"
#include "attrs.h"
#include "cleanup.h"
#include "err.h"
#include "msg.h"
#include "target.h"

struct policy;

struct rule {
	char *host; /* canonical; wildcards: the suffix behind "*." */
	bool is_wildcard;
	bool allow_private;
	bool takes_secrets;   /* also those that are bound to no host: a person approved it */
	uint16_t port;        /* 0: 443, and 80 in forward mode */
	unsigned methods;     /* bits of policy_method(); 0: all */
	char **path_prefixes; /* none: all */
	size_t path_prefix_count;
	char *text; /* as records and people see it: "*.example.com:443+private" */
};

/*
 * grant: borrowed.  An entry that the grammar does not know grants nothing (the registry refuses it
 * when it is saved, so that it gets here only by an error) and is counted.
 */
struct policy *policy_new(const PB(Grant) * grant);
void policy_free(struct policy *p);
BOX_DEFINE_CLEANUP(struct policy *, policy_free)
size_t policy_rule_count(const struct policy *p);
size_t policy_bad_entries(const struct policy *p);

/* Bit of a method that the proxy knows (GET HEAD POST PUT PATCH DELETE OPTIONS), 0 of another. */
unsigned policy_method(const char *method);

/* Could a grant ever open it?  False for loopback, link-local, metadata and the like, by address or name. */
bool policy_can_be_granted(const struct host *h);

/*
 * t, method: borrowed; method NULL for tunnels.
 * ret_rule: on success the rule that allows it, owned by p; on refusal NULL.
 * ret_reason: on refusal the name of what refuses: "not-listed" "port" "method" "path"
 * "local-name". -ERR_DENIED with a text for the tool's author.
 */
int policy_check(const struct policy *p, const struct target *t, const char *method,
		 const struct rule **ret_rule, const char **ret_reason,
		 struct err *err) BOX_MUST_CHECK;

/* May this address be dialled under that rule?  -ERR_DENIED, the class in the text, never the
 * address. */
int policy_judge_address(const struct rule *rule, const struct host *host, const struct address *a,
			 struct err *err) BOX_MUST_CHECK;
