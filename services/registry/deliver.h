/*
 * Secrets on their way into a grant: opened with the key of the registry, sealed to the role that may use them.  Between
 * the two a value lies in guarded memory and nowhere else.
 */
#pragma once

#include "work.h"

/* Sets secrets, revealed and placeholder_seed of a grant whose server_id is set.  A value that does not open is left
 * out, and logged. */
int deliver_secrets(struct work *w, PB(Grant) * grant) BOX_MUST_CHECK;
