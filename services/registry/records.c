/* Records that gateways and egress-proxies ship from their spools: taken exactly once, in order. */
#include <inttypes.h>
#include <string.h>
#include "checks.h"
#include "log.h"
#include "incidents.h"
#include "merge.h"
#include "nouns.h"
#include "parse.h"
#include "records.h"

enum {
	RECORDS_MAX = 4096,
	ARGS_MAX = 64 * 1024,
	RESULT_MAX = 64 * 1024,
	STDOUT_MAX = 64 * 1024,
	ERROR_MAX = 8 * 1024,
	PATH_MAX_BYTES = 4 * 1024,
};

ProtobufCBinaryData records_clean(struct work *w, ProtobufCBinaryData b, size_t max)
{
	uint8_t *copy;
	size_t len = b.len < max ? b.len : max;

	while (len > 0 && len < b.len && (b.data[len] & 0xc0) == 0x80)
		len--; /* not inside a sign */
	copy = arena_dup(&w->arena, b.data, len);
	for (size_t i = 0; i < len; i++)
		if (copy[i] == 0)
			copy[i] = ' ';
	if (!text_is_utf8(copy, len))
		for (size_t i = 0; i < len; i++)
			if (copy[i] >= 0x80)
				copy[i] = '?';
	return pb_bytes(copy, len);
}

static int64_t at_of(const struct work *w, const PB(Record) * record)
{
	return record->at_unix_ms > 0 ? record->at_unix_ms : w->now_unix_ms;
}

/* ---- the calls of a batch -------------------------------------------------------------------- */

/*
 * A batch mostly holds start and end of a call; then they are one row and written at once.  Rows lie in the
 * order of the records, so that the batch's hash is over them in the order in which they are read back.
 */
struct intake {
	uint64_t batch;
	ROW(ExecutionRow) * *starts, **ends; /* the same row for both where both came */
	size_t start_count, end_count;
	ROW(ExecutionRow) *
		*by_call; /* open addressing; by_call_mask + 1 places, half of them empty at least */
	size_t by_call_mask;
	bool is_odd;      /* a start or an end came twice: one statement cannot take it */
	bool is_as_given; /* what was written is what the rows here say */
};

static void intake_init(struct work *w, struct intake *in, uint64_t batch, size_t records)
{
	size_t places = 4;

	while (places < 2 * records)
		places *= 2;
	*in = (struct intake){
		.batch = batch,
		.starts = (ROW(ExecutionRow) **)arena_pointers(&w->arena, records),
		.ends = (ROW(ExecutionRow) **)arena_pointers(&w->arena, records),
		.by_call = (ROW(ExecutionRow) **)arena_pointers(&w->arena, places),
		.by_call_mask = places - 1,
		.is_as_given = true,
	};
}

/* The row of a call; a new one when there is none yet. */
static ROW(ExecutionRow) * intake_row(struct work *w, struct intake *in, char *call_id)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */
	size_t place;

	for (const char *c = call_id; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	for (place = hash & in->by_call_mask; in->by_call[place];
	     place = (place + 1) & in->by_call_mask)
		if (strcmp(in->by_call[place]->call_id, call_id) == 0)
			return in->by_call[place];
	in->by_call[place] = arena_msg(&w->arena, &mcpbox__rows__execution_row__descriptor);
	in->by_call[place]->call_id = call_id;
	return in->by_call[place];
}

static ROW(ExecutionRow) * intake_twice(struct work *w, struct intake *in, char *call_id)
{
	ROW(ExecutionRow) *row = arena_msg(&w->arena, &mcpbox__rows__execution_row__descriptor);

	in->is_odd = true;
	row->call_id = call_id;
	return row;
}

static int take_start(struct work *w, struct intake *in, const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	ROW(ExecutionRow) *row = intake_row(w, in, record->call_id);

	if (row->start_no != 0)
		row = intake_twice(w, in, record->call_id);
	row->start_no = record->no;
	row->started_at_unix_ms = at_of(w, record);
	row->tool_id = c->tool_id;
	row->server_id = c->server_id;
	row->tool_name = c->tool_name;
	row->version = c->version;
	row->is_test = c->is_test;
	row->executed_by = c->executed_by;
	row->via = c->via;
	row->input_args = records_clean(w, c->input_args_json, ARGS_MAX);
	in->starts[in->start_count++] = row;
	return 0;
}

static int take_end(struct work *w, struct intake *in, const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	ROW(ExecutionRow) *row = intake_row(w, in, record->call_id);

	if (row->end_no != 0)
		row = intake_twice(w, in, record->call_id);
	row->end_no = record->no;
	row->ended_at_unix_ms = at_of(w, record);
	row->executor = c->executor; /* chosen after the start was written down */
	row->outcome = c->outcome;
	row->error = records_clean(w, c->error, ERROR_MAX);
	row->result = records_clean(w, c->result_json, RESULT_MAX);
	row->stdout = records_clean(w, c->stdout, STDOUT_MAX);
	row->duration_ms = c->duration_ms;
	row->cpu_ms = c->cpu_ms;
	row->memory_kb = c->memory_kb;
	in->ends[in->end_count++] = row;
	return 0;
}

/* Of `rows` those that have the other half, or those that have not. */
static size_t pick(ROW(ExecutionRow) *const *rows, size_t count, bool whole,
		   ROW(ExecutionRow) * *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if ((rows[i]->start_no != 0 && rows[i]->end_no != 0) == whole)
			ret[n++] = rows[i];
	return n;
}

/* In three statements.  False: some were there already, or a statement failed. */
static bool write_at_once(struct work *w, const struct intake *in)
{
	ROW(ExecutionRow) **rows =
		(ROW(ExecutionRow) **)arena_pointers(&w->arena, in->start_count + in->end_count);
	size_t n = pick(in->starts, in->start_count, true, rows);

	if (store_calls_whole(w->tx, in->batch, rows, n) != (int64_t)n)
		return false;
	n = pick(in->starts, in->start_count, false, rows);
	if (store_calls_started(w->tx, in->batch, rows, n) != (int64_t)n)
		return false;
	n = pick(in->ends, in->end_count, false, rows);
	return store_calls_ended(w->tx, in->batch, rows, n) == (int64_t)n;
}

/* What was written already stays as it is. */
static int write_one_by_one(struct work *w, const struct intake *in)
{
	int64_t r = 0;

	for (size_t i = 0; r >= 0 && i < in->start_count; i++)
		r = store_calls_started(w->tx, in->batch, &in->starts[i], 1);
	for (size_t i = 0; r >= 0 && i < in->end_count; i++)
		r = store_calls_ended(w->tx, in->batch, &in->ends[i], 1);
	return r < 0 ? (int)r : 0;
}

static int write_calls(struct work *w, struct intake *in)
{
	if (!in->is_odd && write_at_once(w, in))
		return 0;
	in->is_as_given = false;
	return write_one_by_one(w, in);
}

/* ---- outbound requests -------------------------------------------------------------------------- */

static int take_egress(struct work *w, struct intake *in, const PB(Record) * record)
{
	const PB(EgressRecord) *e = record->egress;
	ROW(EgressRow) row = MCPBOX__ROWS__EGRESS_ROW__INIT;
	bool started = record->kind == MCPBOX__V1__RECORD__KIND__KIND_EGRESS_STARTED;

	row.no = record->no;
	row.at_unix_ms = at_of(w, record);
	row.stage = arena_str(&w->arena, started ? "started" : "finished");
	row.call_id = record->call_id;
	row.request_no = e->request_no;
	row.tool_id = e->tool_id;
	row.server_id = e->server_id;
	row.tool_name = e->tool_name;
	row.version = e->version;
	row.method = e->method;
	row.host = e->host;
	row.port = e->port;
	row.path = records_clean(w, e->path, PATH_MAX_BYTES);
	row.status = e->status;
	row.bytes_out = (int64_t)e->bytes_out;
	row.bytes_in = (int64_t)e->bytes_in;
	row.ttfb_ms = e->ttfb_ms;
	row.total_ms = e->total_ms;
	row.decision = e->decision;
	row.rule = e->rule;
	row.error = records_clean(w, e->error, ERROR_MAX);
	row.address = e->address;
	row.mode = e->mode;
	in->is_as_given = false;
	return store_egress_add(w->tx, in->batch, &row);
}

/* ---- a batch ------------------------------------------------------------------------------------ */

/* Which service may ship what; the registry has its own test runs. */
#define CALLERS (FROM(ROLE_GATEWAY) | FROM(ROLE_REGISTRY))
static const struct kind {
	PB(Record__Kind) kind;
	uint32_t from; /* FROM() of roles */
	bool is_call;
	int (*take)(struct work *w, struct intake *in, const PB(Record) * record);
} kinds[] = {
	{ MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED, CALLERS, true, take_start },
	{ MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, CALLERS, true, take_end },
	{ MCPBOX__V1__RECORD__KIND__KIND_EGRESS, FROM(ROLE_EGRESS), false, take_egress },
	{ MCPBOX__V1__RECORD__KIND__KIND_EGRESS_STARTED, FROM(ROLE_EGRESS), false, take_egress },
};

static const struct kind *kind_of(const PB(Record) * record, enum bus_role from)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].kind == record->kind && (kinds[i].from & FROM(from)) &&
		    (kinds[i].is_call ? record->call != NULL : record->egress != NULL))
			return &kinds[i];
	return NULL;
}

/* The whole batch is judged before any of it is taken. */
static int check_batch(const struct work *w, const PB(ShipRecordsRequest) * in, struct err *err)
{
	const char *role = role_name(w->rq->from);
	size_t len = strlen(role);

	if (strncmp(in->origin, role, len) != 0 || in->origin[len] != '-')
		return err_set_field(err, ERR_DENIED, "origin", NULL,
				     "a %s ships no records of '%s'", role, in->origin);
	if (in->n_records > RECORDS_MAX)
		return err_set(err, ERR_TOO_LARGE, "at most %d records at once", RECORDS_MAX);
	for (size_t i = 0; i < in->n_records; i++) {
		if (in->records[i]->no == 0 ||
		    (i > 0 && in->records[i]->no != in->records[i - 1]->no + 1))
			return err_set(err, ERR_INVALID, "record numbers are not consecutive");
		if (!kind_of(in->records[i], w->rq->from))
			return err_set(err, ERR_INVALID,
				       "record %" PRIu64 " is of a kind that a %s does not ship",
				       in->records[i]->no, role);
	}
	return 0;
}

/* The rows are read back only where they may differ from what came. */
static int batch_hash(struct work *w, const struct intake *taken, uint8_t ret[CRYPTO_HASH_SIZE])
{
	if (!taken->is_as_given)
		return merge_batch_hash(w->tx, taken->batch, ret);
	merge_calls_hash(taken->starts, taken->start_count, taken->ends, taken->end_count, ret);
	return 0;
}

static int audit_batch(struct work *w, const PB(ShipRecordsRequest) * in, uint64_t last_no,
		       size_t count, const struct intake *taken)
{
	uint64_t newest = in->records[in->n_records - 1]->no;
	uint64_t first = newest - count + 1;
	char hex[2 * CRYPTO_HASH_SIZE + 1];
	uint8_t hash[CRYPTO_HASH_SIZE];
	int r = batch_hash(w, taken, hash);

	if (r != 0)
		return r;
	format_hex(hash, sizeof(hash), hex);
	/* A gap is the mark of a lost spool; it is written down, not hidden. */
	work_audit(w, "batch", "batch", arena_printf(&w->arena, "%" PRIu64, taken->batch), "ok",
		   json_pack("{s:s, s:I, s:I, s:I, s:s}", "origin", in->origin, "first",
			     (json_int_t)first, "last", (json_int_t)newest, "missing_before",
			     (json_int_t)(first - last_no - 1), "hash", hex));
	return store_origin_save(w->tx, in->origin, newest);
}

static int take_records(struct work *w, const PB(ShipRecordsRequest) * in, enum bus_role from,
			uint64_t last_no)
{
	struct intake taken;
	uint64_t batch;
	size_t count = 0;
	int r = store_batch_new(w->tx, &batch);

	if (r != 0)
		return r;
	intake_init(w, &taken, batch, in->n_records);
	for (size_t i = 0; r == 0 && i < in->n_records; i++) {
		const PB(Record) *record = in->records[i];

		if (record->no <= last_no)
			continue;
		r = kind_of(record, from)->take(w, &taken, record);
		count++;
	}
	if (r == 0)
		r = write_calls(w, &taken);
	if (r == 0)
		r = audit_batch(w, in, last_no, count, &taken);
	return r == 0 ? incidents_take(w, in->records, in->n_records, last_no) : r;
}

int records_add(struct work *w, PB(Record) * record)
{
	static char origin[] = "registry-trials";
	PB(ShipRecordsRequest) own = MCPBOX__V1__SHIP_RECORDS_REQUEST__INIT;
	uint64_t last_no = 0;
	int r = store_origin_lock(w->tx, origin, &last_no);

	if (r != 0)
		return r;
	record->no = last_no + 1;
	own.origin = origin;
	own.records = &record;
	own.n_records = 1;
	return take_records(w, &own, ROLE_REGISTRY, last_no);
}

int records_ship(struct work *w, const void *message, struct err *err)
{
	const PB(ShipRecordsRequest) *in = message;
	PB(ShipRecordsReply) reply = MCPBOX__V1__SHIP_RECORDS_REPLY__INIT;
	uint64_t newest = in->n_records ? in->records[in->n_records - 1]->no : 0;
	uint64_t last_no = 0;
	int r = check_batch(w, in, err);

	if (r == 0)
		r = store_origin_lock(w->tx, in->origin, &last_no);
	if (r == 0 && newest > last_no)
		r = take_records(w, in, w->rq->from, last_no);
	if (r != 0)
		return r;
	reply.committed_no = newest > last_no ? newest : last_no;
	work_answer(w, &reply.base);
	return 0;
}
