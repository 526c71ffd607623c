/* The security policy, and what it means. */
#pragma once

#include <stdbool.h>
#include "work.h"

bool policy_is_auto(const PB(SecurityPolicy) * p);        /* tools need no review */
bool policy_allows_public(const PB(SecurityPolicy) * p);  /* public hosts need none */
bool policy_allows_modules(const PB(SecurityPolicy) * p); /* nor do modules */

/* What `in` brings becomes p, which is saved with its audit row. */
int policy_apply(struct work *w, const PB(UpdateSecurityPolicyRequest) * in, PB(SecurityPolicy) * p,
		 struct err *err);
