/*
 * One view of three tables: an audit row of topic `batch` stands for rows of executions and
 * egress_requests, which follow it as events of their own (seq 0) in a tail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "keys.h"
#include "store.h"

struct merged {
	PB(AuditEvent) * *events;
	size_t count;
};
/* What belongs behind `row`; nothing for rows that are no batch. */
int merge_parts(struct store_tx *tx, struct arena *arena, const PB(AuditEvent) * row,
		struct merged *ret) BOX_MUST_CHECK;

/* The rows of a batch, by record number within each kind. */
struct batch {
	uint64_t number;
	ROW(ExecutionRow) * *starts, **ends;
	ROW(EgressRow) * *egress;
	size_t start_count, end_count, egress_count;
};
int merge_load(struct store_tx *tx, uint64_t number, struct batch *b) BOX_MUST_CHECK;
/* Returns how many bytes the hash is over. */
size_t merge_hash(const struct batch *b, uint8_t ret[CRYPTO_HASH_SIZE]);
/* What the chain says that the hash is now: the newest row of retention that names the batch (its seq in
 * *ret_seq), else the batch's own (0).  -ERR_NOT_FOUND: the chain knows no such batch. */
int merge_expected(struct store_tx *tx, uint64_t number, uint8_t ret[CRYPTO_HASH_SIZE],
		   uint64_t *ret_seq) BOX_MUST_CHECK;

/* Hash over all parts of a batch as the tables show them now. */
int merge_batch_hash(struct store_tx *tx, uint64_t batch,
		     uint8_t ret[CRYPTO_HASH_SIZE]) BOX_MUST_CHECK;
/* The same, of calls whose rows were just written and are known to be in the tables like this, by number. */
void merge_calls_hash(ROW(ExecutionRow) * *starts, size_t start_count, ROW(ExecutionRow) * *ends,
		      size_t end_count, uint8_t ret[CRYPTO_HASH_SIZE]);
size_t merge_batch_size(const PB(AuditEvent) * row); /* records, as the row of a batch says */
/* Number of the batch that an audit row speaks of, and the hash that it holds; false: it is no batch. */
bool merge_batch_of(const PB(AuditEvent) * row, uint64_t *ret_batch,
		    uint8_t ret_hash[CRYPTO_HASH_SIZE]);

/* A checkpoint is kept of each row whose seq is a multiple. */
enum { MERGE_CHECKPOINT_ROWS = 1000 };
/* The bytes that a signature of the head is over. */
void merge_head_text(uint64_t seq, const uint8_t hash[CRYPTO_HASH_SIZE],
		     uint8_t ret[8 + CRYPTO_HASH_SIZE]);

/* Whether signed_seq and signed_hash carry the registry's signature. */
bool merge_head_is_signed(const struct keys *keys, const ROW(HeadRow) * head);
