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

static int take_start(struct work *w, uint64_t batch, const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	ROW(ExecutionRow) row = MCPBOX__ROWS__EXECUTION_ROW__INIT;

	row.call_id = record->call_id;
	row.start_no = record->no;
	row.started_at_unix_ms = at_of(w, record);
	row.tool_id = c->tool_id;
	row.server_id = c->server_id;
	row.tool_name = c->tool_name;
	row.version = c->version;
	row.is_test = c->is_test;
	row.executed_by = c->executed_by;
	row.via = c->via;
	row.input_args = records_clean(w, c->input_args_json, ARGS_MAX);
	return store_call_started(w->tx, batch, &row);
}

static int take_end(struct work *w, uint64_t batch, const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	ROW(ExecutionRow) row = MCPBOX__ROWS__EXECUTION_ROW__INIT;

	row.call_id = record->call_id;
	row.end_no = record->no;
	row.ended_at_unix_ms = at_of(w, record);
	row.executor = c->executor; /* chosen after the start was written down */
	row.outcome = c->outcome;
	row.error = records_clean(w, c->error, ERROR_MAX);
	row.result = records_clean(w, c->result_json, RESULT_MAX);
	row.stdout = records_clean(w, c->stdout, STDOUT_MAX);
	row.duration_ms = c->duration_ms;
	row.cpu_ms = c->cpu_ms;
	row.memory_kb = c->memory_kb;
	return store_call_ended(w->tx, batch, &row);
}

static int take_egress(struct work *w, uint64_t batch, const PB(Record) * record)
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
	return store_egress_add(w->tx, batch, &row);
}

/* Which service may ship what. */
static const struct kind {
	PB(Record__Kind) kind;
	enum bus_role from;
	bool is_call;
	int (*take)(struct work *w, uint64_t batch, const PB(Record) * record);
} kinds[] = {
	{ MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED, ROLE_GATEWAY, true, take_start },
	{ MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, ROLE_GATEWAY, true, take_end },
	{ MCPBOX__V1__RECORD__KIND__KIND_EGRESS, ROLE_EGRESS, false, take_egress },
	{ MCPBOX__V1__RECORD__KIND__KIND_EGRESS_STARTED, ROLE_EGRESS, false, take_egress },
};

static const struct kind *kind_of(const PB(Record) * record, enum bus_role from)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].kind == record->kind && kinds[i].from == from &&
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

static int audit_batch(struct work *w, const PB(ShipRecordsRequest) * in, uint64_t batch,
		       uint64_t last_no, size_t taken)
{
	uint64_t newest = in->records[in->n_records - 1]->no;
	uint64_t first = newest - taken + 1;
	char hex[2 * CRYPTO_HASH_SIZE + 1];
	uint8_t hash[CRYPTO_HASH_SIZE];
	int r = merge_batch_hash(w->tx, batch, hash);

	if (r != 0)
		return r;
	format_hex(hash, sizeof(hash), hex);
	/* A gap is the mark of a lost spool; it is written down, not hidden. */
	work_audit(w, "batch", "batch", arena_printf(&w->arena, "%" PRIu64, batch), "ok",
		   json_pack("{s:s, s:I, s:I, s:I, s:s}", "origin", in->origin, "first",
			     (json_int_t)first, "last", (json_int_t)newest, "missing_before",
			     (json_int_t)(first - last_no - 1), "hash", hex));
	return store_origin_save(w->tx, in->origin, newest);
}

static int take_records(struct work *w, const PB(ShipRecordsRequest) * in, uint64_t last_no)
{
	uint64_t batch;
	size_t taken = 0;
	int r = store_batch_new(w->tx, &batch);

	for (size_t i = 0; r == 0 && i < in->n_records; i++) {
		const PB(Record) *record = in->records[i];

		if (record->no <= last_no)
			continue;
		r = kind_of(record, w->rq->from)->take(w, batch, record);
		taken++;
	}
	if (r == 0)
		r = audit_batch(w, in, batch, last_no, taken);
	return r == 0 ? incidents_take(w, in->records, in->n_records, last_no) : r;
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
		r = take_records(w, in, last_no);
	if (r != 0)
		return r;
	reply.committed_no = newest > last_no ? newest : last_no;
	work_answer(w, &reply.base);
	return 0;
}
