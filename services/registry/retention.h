/*
 * Rows of calls and outbound requests that are past their time are taken away: older than log_retention_days, or
 * beyond the newest execution_log_keep of their tool.
 *
 * The chain holds a hash of each batch, so taking rows is written into the chain as well: a row `logs.expired` names
 * the batches and the hash of what is left of each.  Before, the rows are held against what the chain said so far: a
 * batch that was altered stays as it is, for it is evidence.  So `audit verify` tells what retention took from what
 * somebody else did.
 *
 * One thread; each step is one small transaction.
 */
#pragma once

#include "err.h"
#include "registry.h"

struct retention;

/* Begins to work after `every_ms`, and again each time that it is over. */
struct retention *retention_start(struct registry *reg, uint32_t every_ms);
void retention_stop(struct retention *r); /* NULL is fine */
