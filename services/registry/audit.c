/* Reading the chain, proving it, and events that other services report. */
#include <inttypes.h>
#include <string.h>
#include "canon.h"
#include "json.h"
#include "keys.h"
#include "log.h"
#include "merge.h"
#include "nouns.h"
#include "parse.h"
#include "status.h"

enum {
	LIST_MAX = 500,
	LIST_DEFAULT = 100,
	LIST_BYTES = 4 * 1024 * 1024, /* half a frame: the last batch may be large */
	VERIFY_ROWS = 500,
	RANGES_MAX = 64 * 1024,
};

/* ---- list ---------------------------------------------------------------------------------------- */

static bool wants(const PB(ListAuditRequest) * in, const char *topic)
{
	for (size_t i = 0; i < in->n_topics; i++)
		if (strcmp(in->topics[i], topic) == 0)
			return true;
	return in->n_topics == 0;
}

struct listing {
	const PB(ListAuditRequest) * in;
	PB(AuditEvent) * *events;
	size_t count, room, bytes;
};

static void add(struct work *w, struct listing *l, PB(AuditEvent) * e)
{
	if (!wants(l->in, e->topic))
		return;
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		PB(AuditEvent) **more = arena_pointers(&w->arena, room);

		if (l->count)
			memcpy(more, l->events, l->count * sizeof(void *));
		l->events = more;
		l->room = room;
	}
	l->events[l->count++] = e;
	l->bytes += protobuf_c_message_get_packed_size(&e->base);
}

/* A batch comes with its parts or not at all, so that a reader who goes on from the last seq misses none. */
static int add_with_parts(struct work *w, struct listing *l, PB(AuditEvent) * row)
{
	struct merged parts;
	int r = merge_parts(w->tx, &w->arena, row, &parts);

	if (r != 0)
		return r;
	add(w, l, row);
	for (size_t i = 0; i < parts.count; i++)
		add(w, l, parts.events[i]);
	return 0;
}

int audit_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListAuditRequest) *in = message;
	PB(ListAuditReply) reply = MCPBOX__V1__LIST_AUDIT_REPLY__INIT;
	uint32_t limit = in->limit ? in->limit : LIST_DEFAULT;
	uint64_t since = in->since_seq;
	struct listing l = { .in = in };
	PB(AuditEvent) * *rows;
	ROW(HeadRow) * head;
	size_t count;
	int r = store_head_get(w->tx, false, &head);

	(void)err;
	limit = limit > LIST_MAX ? LIST_MAX : limit;
	if (r == 0 && in->newest)
		r = store_audit_newest(w->tx, limit, in->topics, in->n_topics, &since);
	if (r == 0)
		r = store_audit_list(w->tx, since, limit, in->topics, in->n_topics, &rows, &count);
	for (size_t i = 0; r == 0 && i < count && l.bytes < LIST_BYTES; i++) {
		r = add_with_parts(w, &l, rows[i]);
		reply.last_seq = rows[i]->seq;
	}
	if (r != 0)
		return r;
	reply.events = l.events;
	reply.n_events = l.count;
	reply.head_seq = head->seq;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- verify -------------------------------------------------------------------------------------- */

/* A point that the chain must pass through: signed earlier, or kept outside. */
struct point {
	uint64_t seq; /* 0: none */
	uint8_t hash[CRYPTO_HASH_SIZE];
	const char *what;
};

enum { POINT_SIGNED, POINT_ANCHOR, POINT_REMEMBERED, POINTS };

struct verify {
	struct registry *reg;
	PB(VerifyAuditReply) * reply;
	uint64_t seq; /* last row that was good */
	uint8_t hash[CRYPTO_HASH_SIZE];
	struct point points[POINTS];
	ROW(HeadRow) * *checkpoints; /* ascending; those before the next are passed */
	size_t checkpoint_count, checkpoint_next;
	ROW(HeadRow) head;
	uint8_t head_hash[CRYPTO_HASH_SIZE];
	uint64_t expired_seq;      /* newest row of retention that explained something */
	uint64_t range[2];         /* of batches that retention has been at; not written yet */
	struct buf past_retention; /* those that are */
};

static void found(struct verify *v, uint64_t seq, const char *reason)
{
	if (v->reply->first_bad_seq)
		return;
	v->reply->intact = false;
	v->reply->first_bad_seq = seq;
	v->reply->reason = pb_text(reason);
}

static bool is_hash(ProtobufCBinaryData b, const uint8_t hash[CRYPTO_HASH_SIZE])
{
	return b.len == CRYPTO_HASH_SIZE && memcmp(b.data, hash, CRYPTO_HASH_SIZE) == 0;
}

static struct point point_of(const ROW(HeadRow) * head, const char *what)
{
	struct point ret = { .seq = head->signed_seq, .what = what };

	memcpy(ret.hash, head->signed_hash.data, CRYPTO_HASH_SIZE);
	return ret;
}

static void verify_checkpoint(struct verify *v, const PB(AuditEvent) * row)
{
	const ROW(HeadRow) * c;

	if (v->checkpoint_next == v->checkpoint_count)
		return;
	c = v->checkpoints[v->checkpoint_next];
	if (c->signed_seq != row->seq)
		return;
	v->checkpoint_next++;
	if (!is_hash(row->hash, c->signed_hash.data))
		found(v, row->seq,
		      "the chain was rewritten: it does not pass through a checkpoint");
}

static void write_range(struct verify *v)
{
	if (v->range[0] == 0)
		return;
	buf_printf(&v->past_retention, v->past_retention.len ? ", %" PRIu64 : "%" PRIu64,
		   v->range[0]);
	if (v->range[1] > v->range[0])
		buf_printf(&v->past_retention, "-%" PRIu64, v->range[1]);
}

static void add_past_retention(struct verify *v, uint64_t batch)
{
	v->reply->past_retention_batches++;
	if (v->range[0] == 0 || batch != v->range[1] + 1) {
		write_range(v);
		v->range[0] = batch;
	}
	v->range[1] = batch;
}

/* What is left may be what retention said that it left: its row is part of the chain, and proven with it. */
static int verify_remains(struct verify *v, struct store_tx *tx, uint64_t batch,
			  const uint8_t now[CRYPTO_HASH_SIZE], bool *ret_good)
{
	uint8_t expected[CRYPTO_HASH_SIZE];
	uint64_t seq;
	int r = merge_expected(tx, batch, expected, &seq);

	*ret_good = r == 0 && seq > 0 && memcmp(expected, now, sizeof(expected)) == 0;
	if (*ret_good) {
		add_past_retention(v, batch);
		v->expired_seq = seq > v->expired_seq ? seq : v->expired_seq;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int verify_batch(struct verify *v, struct store_tx *tx, const PB(AuditEvent) * row)
{
	uint8_t said[CRYPTO_HASH_SIZE], now[CRYPTO_HASH_SIZE];
	uint64_t batch;
	bool is_good;
	int r;

	if (!merge_batch_of(row, &batch, said))
		return 0;
	r = merge_batch_hash(tx, batch, now);
	is_good = memcmp(said, now, sizeof(said)) == 0;
	if (r == 0 && !is_good)
		r = verify_remains(v, tx, batch, now, &is_good);
	if (r == 0 && !is_good)
		found(v, row->seq,
		      "rows of executions or egress_requests in this batch were altered or "
		      "removed");
	return r;
}

static int verify_row(struct verify *v, struct store_tx *tx, const PB(AuditEvent) * row)
{
	uint8_t hash[CRYPTO_HASH_SIZE];

	canon_audit_hash(row, hash);
	if (row->seq != v->seq + 1)
		found(v, v->seq + 1, "a row is missing");
	else if (!is_hash(row->hash, hash))
		found(v, row->seq, "the row was altered");
	else if (!is_hash(row->prev_hash, v->hash))
		found(v, row->seq, "the row does not follow the one before it");
	for (size_t i = 0; i < ARRAY_LEN(v->points); i++)
		if (v->points[i].seq == row->seq && !is_hash(row->hash, v->points[i].hash))
			found(v, row->seq, v->points[i].what);
	verify_checkpoint(v, row);
	if (v->reply->first_bad_seq)
		return 0;
	v->seq = row->seq;
	memcpy(v->hash, hash, sizeof(hash));
	v->reply->rows++;
	return verify_batch(v, tx, row);
}

/* A few hundred rows in a transaction and an arena of their own: the chain may be long. */
static int verify_some(struct verify *v, bool *ret_more)
{
	struct arena arena = { 0 };
	struct store_tx *tx;
	PB(AuditEvent) * *rows;
	size_t count = 0;
	int r = store_begin(v->reg->store, STORE_SNAPSHOT, &arena, &tx);

	if (r < 0) {
		arena_done(&arena);
		return r;
	}
	r = store_audit_list(tx, v->seq, VERIFY_ROWS, NULL, 0, &rows, &count);
	for (size_t i = 0; r == 0 && i < count && !v->reply->first_bad_seq; i++)
		if (rows[i]->seq <= v->head.seq)
			r = verify_row(v, tx, rows[i]);
	*ret_more = count == VERIFY_ROWS && v->seq < v->head.seq && !v->reply->first_bad_seq;
	store_end(tx);
	arena_done(&arena);
	return r;
}

/* The signed head proves that the chain was at least so long, with that hash. */
static void read_signed_head(struct verify *v, const ROW(HeadRow) * head)
{
	if (head->signature.len == 0) {
		found(v, 1, "the head is not signed");
	} else if (!merge_head_is_signed(v->reg->keys, head)) {
		found(v, head->signed_seq ? head->signed_seq : 1,
		      "the signature of the head was altered");
	} else {
		if (head->signed_seq < v->points[POINT_REMEMBERED].seq)
			found(v, head->signed_seq + 1, "an older signature was put back");
		v->points[POINT_SIGNED] = point_of(
			head, "the chain was rewritten: it does not lead to its signed head");
	}
}

/* One for each thousand rows that the registry signed. */
static void read_checkpoints(struct verify *v, const ROW(HeadRow) * head)
{
	uint64_t due = 1;

	for (size_t i = 0; i < v->checkpoint_count; i++) {
		const ROW(HeadRow) *c = v->checkpoints[i];

		if (c->signed_seq / MERGE_CHECKPOINT_ROWS > due)
			break;
		due = c->signed_seq / MERGE_CHECKPOINT_ROWS + 1;
		if (!merge_head_is_signed(v->reg->keys, c))
			found(v, c->signed_seq, "a checkpoint was altered");
		else if (c->signed_seq > head->seq)
			found(v, head->seq + 1, "the end of the chain was cut off");
	}
	if (due <= head->signed_seq / MERGE_CHECKPOINT_ROWS)
		found(v, due * MERGE_CHECKPOINT_ROWS, "a checkpoint is missing");
}

static int read_head(struct verify *v, struct arena *arena)
{
	struct store_tx *tx;
	ROW(HeadRow) * head;
	int r = store_begin(v->reg->store, STORE_SNAPSHOT, arena, &tx);

	if (r == 0) {
		r = store_head_get(tx, false, &head);
		if (r == 0)
			r = store_checkpoint_list(tx, &v->checkpoints, &v->checkpoint_count);
		if (r == 0) {
			v->head.seq = head->seq;
			memcpy(v->head_hash, head->hash.data,
			       head->hash.len < CRYPTO_HASH_SIZE ? head->hash.len
								 : CRYPTO_HASH_SIZE);
			read_signed_head(v, head);
			read_checkpoints(v, head);
		}
		store_end(tx);
	}
	return r;
}

/* {"seq","hash"} kept outside by the operator. */
static int read_anchor(struct verify *v, ProtobufCBinaryData json, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *anchor = NULL;
	const char *hash;
	json_int_t seq;

	if (json.len == 0)
		return 0;
	if (json_load(json.data, json.len, &anchor, err) < 0)
		return -ERR_INVALID;
	seq = json_integer_value(json_object_get(anchor, "seq"));
	hash = json_string_value(json_object_get(anchor, "hash"));
	if (seq < 1 || !hash || parse_hex(hash, v->points[POINT_ANCHOR].hash, CRYPTO_HASH_SIZE) < 0)
		return err_set_field(err, ERR_INVALID, "anchor", NULL,
				     "an anchor is {\"seq\": N, \"hash\": hex}");
	v->points[POINT_ANCHOR].seq = (uint64_t)seq;
	v->points[POINT_ANCHOR].what =
		"the chain was rewritten: it does not pass through the anchor";
	return 0;
}

static void verify_end(struct verify *v, uint64_t seen)
{
	if (v->reply->first_bad_seq)
		return;
	if (v->seq != v->head.seq)
		found(v, v->seq + 1, "the end of the chain was cut off");
	else if (memcmp(v->hash, v->head_hash, sizeof(v->hash)) != 0)
		found(v, v->seq, "the head does not match the last row");
	for (size_t i = 0; i < ARRAY_LEN(v->points); i++)
		if (v->points[i].seq > v->head.seq)
			found(v, v->head.seq + 1, "the end of the chain was cut off");
	/* This process has published rows that are no longer there. */
	if (seen > v->head.seq)
		found(v, v->head.seq + 1, "the end of the chain was cut off");
}

/* Sign what is not signed yet, for the rows of the last second are no fault; then read what must hold. */
static int prepare(struct verify *v, struct work *w)
{
	struct point *remembered = &v->points[POINT_REMEMBERED];
	int r = status_sign(w->reg->status);

	if (r < 0)
		return r;
	remembered->seq = status_signed_head(w->reg->status, remembered->hash);
	remembered->what =
		"the chain was rewritten: it does not pass through what this process signed";
	return read_head(v, &w->arena);
}

int audit_verify(struct work *w, const void *message, struct err *err)
{
	const PB(VerifyAuditRequest) *in = message;
	PB(VerifyAuditReply) reply = MCPBOX__V1__VERIFY_AUDIT_REPLY__INIT;
	struct verify v = { .reg = w->reg,
			    .reply = &reply,
			    .past_retention = BUF_INIT(RANGES_MAX) };
	uint64_t seen = status_audit_seq(w->reg->status);
	bool more = true;
	int r = read_anchor(&v, in->anchor_json, err);

	reply.intact = true;
	if (r == 0)
		r = prepare(&v, w);
	while (r == 0 && more)
		r = verify_some(&v, &more);
	/* Retention went on meanwhile: what it said must be proven too. */
	while (r == 0 && !reply.first_bad_seq && v.expired_seq > v.head.seq) {
		uint64_t wanted = v.expired_seq;

		r = prepare(&v, w);
		if (r == 0 && wanted > v.head.seq)
			found(&v, v.head.seq + 1, "the end of the chain was cut off");
		for (more = true; r == 0 && more;)
			r = verify_some(&v, &more);
	}
	write_range(&v);
	reply.past_retention = pb_text(arena_str(&w->arena, buf_str(&v.past_retention)));
	buf_done(&v.past_retention);
	if (r != 0)
		return r;
	verify_end(&v, seen);
	reply.head_seq = v.head.seq;
	reply.head_hash = pb_bytes(v.head_hash, CRYPTO_HASH_SIZE);
	if (!reply.intact)
		log_error("audit.broken", F_UINT("seq", reply.first_bad_seq),
			  F_STR("reason", work_text(w, reply.reason)));
	work_answer(w, &reply.base);
	return 0;
}

/* ---- reported events ----------------------------------------------------------------------------- */

/* What each role may put into the audit on its own account. */
static const struct {
	enum bus_role role;
	const char *topic;
} reportable[] = {
	{ ROLE_GATEWAY, "bus.refused" },     { ROLE_EXECUTOR, "bus.refused" },
	{ ROLE_EGRESS, "bus.refused" },      { ROLE_ADMIN, "bus.refused" },
	{ ROLE_EXECUTOR, "sandbox.killed" }, { ROLE_EGRESS, "egress.refused" },
};

static bool is_reportable(enum bus_role role, const char *topic)
{
	for (size_t i = 0; i < ARRAY_LEN(reportable); i++)
		if (reportable[i].role == role && strcmp(reportable[i].topic, topic) == 0)
			return true;
	return false;
}

int audit_report(struct work *w, const void *message, struct err *err)
{
	const PB(ReportEventRequest) *in = message;
	PB(Empty) reply = MCPBOX__V1__EMPTY__INIT;
	json_t *detail = NULL;

	if (!is_reportable(w->rq->from, in->topic))
		return err_set_field(err, ERR_DENIED, "topic", NULL, "a %s does not report '%s'",
				     role_name(w->rq->from), in->topic);
	if (in->detail_json.len &&
	    json_load(in->detail_json.data, in->detail_json.len, &detail, err) < 0)
		return -ERR_INVALID;
	work_audit(w, in->topic, in->object_kind, in->object_id, in->outcome, detail);
	work_answer(w, &reply.base);
	return 0;
}
