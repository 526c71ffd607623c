/*
 * The injected secrets of one grant: where each may go, and, while a call that needs them is under way, their values.
 * Values are opened once one of them may be sent, lie in guarded memory, and are wiped by vault_close().  Loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "cleanup.h"
#include "err.h"
#include "inject.h"
#include "keys.h"
#include "mask.h"
#include "msg.h"
#include "policy.h"

struct vault;

/* grant: borrowed for the vault's life. */
struct vault *vault_new(const PB(Grant) * grant);
void vault_free(struct vault *v);
BOX_DEFINE_CLEANUP(struct vault *, vault_free)
size_t vault_count(const struct vault *v);
/* Forgets all values. */
void vault_close(struct vault *v);

/* Where a request goes. */
struct vault_target {
	const struct target *target;
	const struct rule *rule; /* that allows it */
	bool is_pinned; /* the operator says where the name leads, so nobody is on the way */
};
/*
 * What each secret is for this request, in an array of vault_count() (the caller's, on the heap); when one of them may go
 * to its host, all are opened.  ret_mask: finds all of them, until vault_close(); NULL: the host can know none.
 * -ERR_DENIED: a value does not open.
 */
int vault_list(struct vault *v, const struct keys *keys, const char *call_id,
	       const struct vault_target *to, struct inject_secret **ret,
	       const struct mask **ret_mask, struct err *err) BOX_MUST_CHECK;
