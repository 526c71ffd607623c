/*
 * Records that must reach the registry: appended with write() before the thing they speak of happens
 * (survives SIGKILL), fdatasync at most sync_ms later, shipped in order, freed when committed.
 *
 * A spool is a directory <root>/<origin>/ with segments; the owner holds a lock on it.  A spool whose owner
 * died is adopted by the next process with the same root: shipped under its own origin; then `unknown` is
 * asked to make an end for each start without one.  Any thread.
 */
#pragma once

#include <stdint.h>
#include <stddef.h>
#include "attrs.h"
#include "bus.h"
#include "err.h"

struct spool;
struct spool_config {
	const char *root; /* directory, exists or is made, 0700 */
	struct bus *bus;  /* for ShipRecords */
	uint32_t sync_ms; /* MCPBOX_AUDIT_SYNC_MS; 0: each append waits for fdatasync */
	/* MCPBOX_SPOOL_MAX: at this size nothing new may begin.  What has begun may still get its end, within an
	 * eighth more: else a full disk of starts would lose how they ended. */
	uint64_t max_bytes;
	/* Record kinds that open and close something, for orphans: a start without end gets an end of
	 * `end_kind` with outcome "unknown". */
	int start_kind, end_kind; /* Record.Kind */
};
int spool_start(const struct spool_config *config, struct spool **ret,
		struct err *err) BOX_MUST_CHECK;
/* Sets record->no and at_unix_ms when 0.  -ERR_UNAVAILABLE ("records cannot be kept") when full or the disk
 * refuses: the caller must not go on with what it wanted to do. */
int spool_append(struct spool *s, PB(Record) * record, struct err *err) BOX_MUST_CHECK;
uint64_t spool_pending(const struct spool *s); /* records not yet committed */
/* Ship what is left, at most timeout_ms; then close. */
void spool_stop(struct spool *s, uint32_t timeout_ms);
