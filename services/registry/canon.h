/*
 * The bytes that hashes are over.  Pure.  A field is its length as u32 little-endian and its bytes, so no
 * two different lists of fields give the same bytes.  `audit verify` makes them again from what the
 * database shows; change nothing here without a new label.
 */
#pragma once

#include <stdint.h>
#include "buf.h"
#include "crypto.h"
#include "msg.h"
#include "store.h"

void canon_text(struct buf *b, const char *s);
void canon_bytes(struct buf *b, ProtobufCBinaryData bytes);
void canon_int(struct buf *b, int64_t n); /* as decimal text */

/* Row of the chain: prev_hash and every column but hash. */
void canon_audit_hash(const PB(AuditEvent) * e, uint8_t ret[CRYPTO_HASH_SIZE]);

/* What a reviewer approves: name, texts, code, schemas, limits. */
void canon_content_hash(const ROW(VersionRow) * v, uint8_t ret[CRYPTO_HASH_SIZE]);

/* Parts of a batch, appended in the order of their numbers within each kind. */
void canon_call_start(struct buf *b, const ROW(ExecutionRow) * e);
void canon_call_end(struct buf *b, const ROW(ExecutionRow) * e);
void canon_egress(struct buf *b, const ROW(EgressRow) * e);
