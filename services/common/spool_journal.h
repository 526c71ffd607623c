/*
 * One spool on disk: a directory <root>/<origin> of append-only segments, held by a lock.  Knows nothing of
 * the bus.  Any thread; one thread at a time reads and commits.
 *
 *	<first number, 16 hex>.seg   entries: u32 length, 8 bytes BLAKE2b of the rest, packed Record
 *	committed                    text: the last number that the registry has
 *
 * A segment goes when everything in it is committed and no start in it still waits for its end: an
 * adopter must be able to find those.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"
#include "msg.h"

#define JOURNAL_SEGMENT_MAX (8u * 1024 * 1024)
#define JOURNAL_ORIGIN_SIZE 64

struct journal;

/* Record kinds that open and close something. */
struct journal_kinds {
	int start, end;
};

/* A new spool of this process.  root exists. */
int journal_create(const char *root, const char *origin, const struct journal_kinds *kinds,
		   struct journal **ret, struct err *err) BOX_MUST_CHECK;
/* Before the first record: it will hold so much at most, so its segments are small enough for room to come back. */
void journal_bound(struct journal *j, uint64_t max_bytes);
/*
 * One that its owner left.  -ERR_BUSY while somebody holds it, -ERR_NOT_FOUND when it is gone.  A torn last
 * entry (kill, power cut) is cut off.
 */
int journal_adopt(const char *root, const char *origin, const struct journal_kinds *kinds,
		  struct journal **ret, struct err *err) BOX_MUST_CHECK;
/* Closes and lets go of the lock; the files stay. */
void journal_free(struct journal *j);
/* Deletes the files and frees. */
void journal_remove(struct journal *j);

const char *journal_origin(const struct journal *j);
uint64_t journal_pending(struct journal *j); /* records not committed */
uint64_t journal_bytes(struct journal *j);   /* on disk */
size_t journal_open_starts(struct journal *j);

/* Sets record->no and at_unix_ms when 0; one write().  -ERR_UNAVAILABLE when the disk refuses; then nothing
 * was kept. */
int journal_append(struct journal *j, PB(Record) * record, struct err *err) BOX_MUST_CHECK;
/* fdatasync what was appended.  Returns the last number that is on disk for certain. */
uint64_t journal_sync(struct journal *j);

/* The next records to ship, oldest first; at least one if any is pending. */
struct journal_batch {
	PB(Record) * *records;
	size_t count;
	uint64_t last_no;
};
int journal_read(struct journal *j, size_t max_records, size_t max_bytes,
		 struct journal_batch *ret) BOX_MUST_CHECK;
void journal_batch_done(struct journal_batch *batch);
/* The registry has everything up to `no`. */
void journal_commit(struct journal *j, uint64_t no);

/* Append an end with outcome "unknown" for each start without one.  For adopted ones. */
int journal_end_open(struct journal *j, struct err *err) BOX_MUST_CHECK;
