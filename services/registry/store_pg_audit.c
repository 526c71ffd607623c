/* SQL of the audit chain. */
#include "store_pg.h"

int store_json_normal(struct store_tx *tx, const char *json, char **ret)
{
	ROW(Text) * row;
	int r = pg_one(tx, ROWS(text), &row, "SELECT $1::jsonb::text AS text", P_TEXT(json));

	if (r == 0)
		*ret = row->text;
	return r;
}

#define SQL_HEAD \
	"SELECT seq, hash, state_seq, signed_seq, signed_hash, signature, key_id FROM audit_head"

int store_head_get(struct store_tx *tx, bool lock, ROW(HeadRow) * *ret)
{
	return pg_row(tx, ROWS(head_row), (void **)ret, lock ? SQL_HEAD " FOR UPDATE" : SQL_HEAD,
		      NULL, 0);
}

int store_head_save(struct store_tx *tx, uint64_t seq, struct bytes hash, uint64_t state_seq)
{
	return pg_touched(pg_exec(tx, "UPDATE audit_head SET seq = $1, hash = $2, state_seq = $3",
				  P_INT(seq), P_BYTES(hash.data, hash.len), P_INT(state_seq)));
}

int store_head_sign(struct store_tx *tx, uint64_t seq, struct bytes hash, struct bytes signature,
		    uint32_t key_id)
{
	return pg_touched(
		pg_exec(tx,
			"UPDATE audit_head SET signed_seq = $1, signed_hash = $2, signature = $3,"
			" key_id = $4, signed_at = now()",
			P_INT(seq), P_BYTES(hash.data, hash.len),
			P_BYTES(signature.data, signature.len), P_INT(key_id)));
}

int store_checkpoint_add(struct store_tx *tx, uint64_t seq, struct bytes hash,
			 struct bytes signature, uint32_t key_id)
{
	int64_t n = pg_exec(tx,
			    "INSERT INTO audit_checkpoints (seq, hash, signature, key_id)"
			    " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			    P_INT(seq), P_BYTES(hash.data, hash.len),
			    P_BYTES(signature.data, signature.len), P_INT(key_id));

	return n < 0 ? (int)n : 0;
}

int store_checkpoint_list(struct store_tx *tx, ROW(HeadRow) * **ret, size_t *ret_count)
{
	return pg_rows(tx, ROWS(head_row), (void ***)ret, ret_count,
		       "SELECT seq AS signed_seq, hash AS signed_hash, signature, key_id"
		       " FROM audit_checkpoints ORDER BY seq",
		       NULL, 0);
}

int store_audit_insert(struct store_tx *tx, const PB(AuditEvent) * e)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO audit_log (seq, at, topic, actor, via, object_kind, object_id, "
		"outcome,"
		" detail, prev_hash, hash) VALUES ($1, " SQL_MS("$2") ", $3, $4, $5, $6, $7, $8,"
								      " $9::jsonb, $10, $11)",
		P_INT(e->seq), P_INT(e->at_unix_ms), P_TEXT(e->topic), P_TEXT(e->actor),
		P_TEXT(e->via), P_TEXT(e->object_kind), P_TEXT(e->object_id), P_TEXT(e->outcome),
		P_PB_TEXT(tx, e->detail_json), P_PB(e->prev_hash), P_PB(e->hash)));
}

/* Rows of batches ride along with a topic of their parts: what is in them is judged by the caller. */
#define SQL_TOPICS                                       \
	"($2::text[] = '{}' OR topic = ANY ($2::text[])" \
	" OR (topic = 'batch' AND $2::text[] && "        \
	"'{call.finished,egress.allowed,egress.denied}'::text[]))"

#define SQL_EVENT                                                                           \
	"SELECT seq, at AS at_unix_ms, topic, actor, via, object_kind, object_id, outcome," \
	" detail::text AS detail_json, prev_hash, hash FROM audit_log"

int store_audit_list(struct store_tx *tx, uint64_t since_seq, uint32_t limit, char *const *topics,
		     size_t topic_count, PB(AuditEvent) * **ret, size_t *ret_count)
{
	return pg_all(tx, MSGS(audit_event), ret, ret_count,
		      SQL_EVENT " WHERE seq > $1 AND " SQL_TOPICS " ORDER BY seq LIMIT $3",
		      P_INT(since_seq), P_TEXTS(topics, topic_count), P_INT(limit));
}

int store_batch_row(struct store_tx *tx, const char *batch, PB(AuditEvent) * *ret)
{
	return pg_one(tx, MSGS(audit_event), ret,
		      SQL_EVENT " WHERE topic = 'batch' AND object_id = $1 ORDER BY seq LIMIT 1",
		      P_TEXT(batch));
}

int store_batch_expired(struct store_tx *tx, const char *batch, PB(AuditEvent) * *ret)
{
	return pg_one(tx, MSGS(audit_event), ret,
		      SQL_EVENT " WHERE topic = 'logs.expired' AND detail -> 'batches' ? $1"
				" ORDER BY seq DESC LIMIT 1",
		      P_TEXT(batch));
}

/* Only among the newest rows: the chain has no index for it, and an older change was not in anybody's way. */
int store_audit_last(struct store_tx *tx, const char *object_id, char **ret)
{
	char **texts;
	size_t count;
	int r = pg_texts(
		tx, &texts, &count,
		"SELECT topic || CASE WHEN detail ? 'changed' THEN ' (' || (detail->>'changed') || "
		"')'"
		" ELSE '' END || ' by ' || actor || ' at '"
		" || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
		" FROM audit_log WHERE seq > (SELECT seq FROM audit_head) - 2000 AND object_id = $1"
		" AND outcome <> 'refused' ORDER BY seq DESC LIMIT 1",
		PARAMS(P_TEXT(object_id)));

	if (r == 0)
		*ret = count ? texts[0] : NULL;
	return r;
}

int store_audit_newest(struct store_tx *tx, uint32_t limit, char *const *topics, size_t topic_count,
		       uint64_t *ret_since)
{
	int64_t since;
	int r = pg_number(
		tx, &since,
		"SELECT coalesce(min(seq) - 1, 0) FROM (SELECT seq FROM audit_log WHERE " SQL_TOPICS
		" ORDER BY seq DESC LIMIT $1) newest",
		PARAMS(P_INT(limit), P_TEXTS(topics, topic_count)));

	if (r == 0)
		*ret_since = (uint64_t)since;
	return r;
}
