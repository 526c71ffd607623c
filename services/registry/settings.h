/* The security policy, and what it means.  Pure readers. */
#pragma once

#include <stdbool.h>
#include "msg.h"

bool policy_is_auto(const PB(SecurityPolicy) * p);        /* tools need no review */
bool policy_allows_public(const PB(SecurityPolicy) * p);  /* public hosts need none */
bool policy_allows_modules(const PB(SecurityPolicy) * p); /* nor do modules */
