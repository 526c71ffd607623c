#include "merge.h"

#include <inttypes.h>
#include <string.h>
#include "canon.h"
#include "json.h"
#include "mem.h"
#include "parse.h"

enum { BATCH_BYTES = 256 * 1024 * 1024 };

void merge_head_text(uint64_t seq, const uint8_t hash[CRYPTO_HASH_SIZE],
		     uint8_t ret[8 + CRYPTO_HASH_SIZE])
{
	for (unsigned i = 0; i < 8; i++)
		ret[i] = (uint8_t)(seq >> (8 * i));
	memcpy(ret + 8, hash, CRYPTO_HASH_SIZE);
}

bool merge_head_is_signed(const struct keys *keys, const ROW(HeadRow) * head)
{
	uint8_t text[8 + CRYPTO_HASH_SIZE];
	const uint8_t *key = keys_verify(keys, head->key_id);

	if (!key || head->signed_hash.len != CRYPTO_HASH_SIZE ||
	    head->signature.len != CRYPTO_SIGN_SIZE)
		return false;
	merge_head_text(head->signed_seq, head->signed_hash.data, text);
	return crypto_verify(key, "mcpbox audit", text, sizeof(text), head->signature.data);
}

/* ---- the batch as a whole ------------------------------------------------------------------------ */

bool merge_batch_of(const PB(AuditEvent) * row, uint64_t *ret_batch,
		    uint8_t ret_hash[CRYPTO_HASH_SIZE])
{
	BOX_CLEANUP(json_decrefp) json_t *detail = NULL;
	const char *hash;

	if (strcmp(row->topic, "batch") != 0 ||
	    parse_u64(row->object_id, 1, UINT64_MAX, ret_batch) < 0 ||
	    json_load(row->detail_json.data, row->detail_json.len, &detail, NULL) < 0)
		return false;
	hash = json_string_value(json_object_get(detail, "hash"));
	return hash && parse_hex(hash, ret_hash, CRYPTO_HASH_SIZE) == 0;
}

int merge_load(struct store_tx *tx, uint64_t number, struct batch *b)
{
	int r = store_batch_starts(tx, number, &b->starts, &b->start_count);

	b->number = number;
	if (r == 0)
		r = store_batch_ends(tx, number, &b->ends, &b->end_count);
	if (r == 0)
		r = store_batch_egress(tx, number, &b->egress, &b->egress_count);
	return r;
}

size_t merge_hash(const struct batch *b, uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct buf canon = BUF_INIT(BATCH_BYTES);
	size_t len;

	for (size_t i = 0; i < b->start_count; i++)
		canon_call_start(&canon, b->starts[i]);
	for (size_t i = 0; i < b->end_count; i++)
		canon_call_end(&canon, b->ends[i]);
	for (size_t i = 0; i < b->egress_count; i++)
		canon_egress(&canon, b->egress[i]);
	if (canon.is_over)
		box_bug("a batch over %d bytes", BATCH_BYTES);
	len = canon.len;
	crypto_hash(canon.data, len, ret);
	buf_done(&canon);
	return len;
}

size_t merge_batch_size(const PB(AuditEvent) * row)
{
	BOX_CLEANUP(json_decrefp) json_t *detail = NULL;
	json_int_t first, last;

	if (json_load(row->detail_json.data, row->detail_json.len, &detail, NULL) < 0)
		return 0;
	first = json_integer_value(json_object_get(detail, "first"));
	last = json_integer_value(json_object_get(detail, "last"));
	return last >= first ? (size_t)(last - first) + 1 : 0;
}

/* null: nothing is left */
static int read_remains(ProtobufCBinaryData detail, const char *number,
			uint8_t ret[CRYPTO_HASH_SIZE])
{
	static const struct batch nothing;
	BOX_CLEANUP(json_decrefp) json_t *json = NULL;
	const json_t *left;

	if (json_load(detail.data, detail.len, &json, NULL) < 0)
		return -ERR_INTERNAL;
	left = json_object_get(json_object_get(json, "batches"), number);
	if (json_is_null(left)) {
		(void)merge_hash(&nothing, ret);
		return 0;
	}
	return json_is_string(left) &&
			       parse_hex(json_string_value(left), ret, CRYPTO_HASH_SIZE) == 0
		       ? 0
		       : -ERR_NOT_FOUND;
}

int merge_expected(struct store_tx *tx, uint64_t number, uint8_t ret[CRYPTO_HASH_SIZE],
		   uint64_t *ret_seq)
{
	const char *text = arena_printf(store_arena(tx), "%" PRIu64, number);
	PB(AuditEvent) * row;
	uint64_t ignored;
	int r = store_batch_expired(tx, text, &row);

	if (r == 0) {
		*ret_seq = row->seq;
		return read_remains(row->detail_json, text, ret);
	}
	if (r != -ERR_NOT_FOUND)
		return r;
	*ret_seq = 0;
	r = store_batch_row(tx, text, &row);
	if (r == 0 && !merge_batch_of(row, &ignored, ret))
		r = -ERR_NOT_FOUND;
	return r;
}

int merge_batch_hash(struct store_tx *tx, uint64_t batch, uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct batch b;
	int r = merge_load(tx, batch, &b);

	if (r == 0)
		(void)merge_hash(&b, ret);
	return r;
}

void merge_calls_hash(ROW(ExecutionRow) * *starts, size_t start_count, ROW(ExecutionRow) * *ends,
		      size_t end_count, uint8_t ret[CRYPTO_HASH_SIZE])
{
	const struct batch b = {
		.starts = starts, .start_count = start_count, .ends = ends, .end_count = end_count
	};

	(void)merge_hash(&b, ret);
}

/* ---- its parts as events ------------------------------------------------------------------------- */

static PB(AuditEvent) * event_of(struct arena *arena, int64_t at_unix_ms, const char *topic,
				 const char *tool_id, json_t *detail)
{
	PB(AuditEvent) *e = arena_msg(arena, &mcpbox__v1__audit_event__descriptor);
	size_t len;
	BOX_CLEANUP(mem_freep) char *text = detail ? json_dump(detail, &len) : NULL;

	json_decref(detail);
	e->at_unix_ms = at_unix_ms;
	e->topic = arena_str(arena, topic);
	e->object_kind = arena_str(arena, "tool");
	e->object_id = arena_str(arena, tool_id);
	e->detail_json = pb_text(arena_str(arena, text ? text : "{}"));
	return e;
}

static PB(AuditEvent) * call_event(struct arena *arena, const ROW(ExecutionRow) * row)
{
	const char *error = arena_dup(arena, row->error.data, row->error.len);
	/* A call that was refused or ran out of time before one was chosen has none. */
	const char *executor = row->executor[0] ? row->executor : NULL;
	PB(AuditEvent) *e =
		event_of(arena, row->ended_at_unix_ms, "call.finished", row->tool_id,
			 json_pack("{s:s, s:s, s:i, s:s?, s:b, s:I, s:s}", "call_id", row->call_id,
				   "tool", row->tool_name, "version", (int)row->version, "executor",
				   executor, "is_test", (int)row->is_test, "duration_ms",
				   (json_int_t)row->duration_ms, "error", error));

	e->actor = arena_str(arena, row->executed_by[0] ? row->executed_by : row->via);
	e->via = row->via;
	e->outcome = row->outcome;
	return e;
}

static PB(AuditEvent) * egress_event(struct arena *arena, const ROW(EgressRow) * row)
{
	bool denied = strcmp(row->decision, "denied") == 0;
	const char *path = arena_dup(arena, row->path.data, row->path.len);
	const char *error = arena_dup(arena, row->error.data, row->error.len);
	PB(AuditEvent) *e = event_of(
		arena, row->at_unix_ms, denied ? "egress.denied" : "egress.allowed", row->tool_id,
		json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:I, s:I, s:s, s:s}", "call_id",
			  row->call_id, "tool", row->tool_name, "method", row->method, "host",
			  row->host, "port", (int)row->port, "path", path, "status",
			  (int)row->status, "bytes_out", (json_int_t)row->bytes_out, "bytes_in",
			  (json_int_t)row->bytes_in, "rule", row->rule, "error", error));

	e->actor = arena_printf(arena, "tool:%s", row->tool_name);
	e->via = arena_str(arena, "egress");
	e->outcome = arena_str(arena, denied ? "refused" : row->error.len ? "error" : "ok");
	return e;
}

int merge_parts(struct store_tx *tx, struct arena *arena, const PB(AuditEvent) * row,
		struct merged *ret)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	struct batch b;
	uint64_t number;
	int r;

	*ret = (struct merged){ 0 };
	if (!merge_batch_of(row, &number, hash))
		return 0;
	r = merge_load(tx, number, &b);
	if (r != 0)
		return r;
	ret->events = arena_pointers(arena, b.end_count + b.egress_count);
	for (size_t i = 0; i < b.end_count; i++)
		ret->events[ret->count++] = call_event(arena, b.ends[i]);
	for (size_t i = 0; i < b.egress_count; i++)
		if (strcmp(b.egress[i]->stage, "finished") == 0)
			ret->events[ret->count++] = egress_event(arena, b.egress[i]);
	return 0;
}
