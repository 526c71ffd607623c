/* SQL of shipped records: calls and outbound requests, and of the history of processes. */
#include <stddef.h>
#include <string.h>
#include "frame.h"
#include "store_pg.h"

int store_origin_lock(struct store_tx *tx, const char *origin, uint64_t *ret_last_no)
{
	int64_t last;
	int64_t n =
		pg_exec(tx, "INSERT INTO spool_origins (origin) VALUES ($1) ON CONFLICT DO NOTHING",
			P_TEXT(origin));
	int r = n < 0 ? (int)n
		      : pg_number(tx, &last,
				  "SELECT last_no FROM spool_origins WHERE origin = $1 FOR UPDATE",
				  PARAMS(P_TEXT(origin)));

	if (r == 0)
		*ret_last_no = (uint64_t)last;
	return r;
}

int store_origin_save(struct store_tx *tx, const char *origin, uint64_t last_no)
{
	return pg_touched(pg_exec(tx, "UPDATE spool_origins SET last_no = $2 WHERE origin = $1",
				  P_TEXT(origin), P_INT(last_no)));
}

int store_batch_new(struct store_tx *tx, uint64_t *ret)
{
	int64_t n;
	int r = pg_number(tx, &n, "SELECT nextval('batches')", NULL, 0);

	if (r == 0)
		*ret = (uint64_t)n;
	return r;
}

static struct param column_texts(struct store_tx *tx, ROW(ExecutionRow) *const *rows, size_t count,
				 size_t offset)
{
	char **items = (char **)arena_pointers(store_arena(tx), count);

	for (size_t i = 0; i < count; i++)
		items[i] = *(char **)((char *)rows[i] + offset);
	return P_TEXTS(items, count);
}

/* Texts that lie in bytes fields; all of them were copied into an arena, hence a NUL is behind them. */
static struct param column_bytes(struct store_tx *tx, ROW(ExecutionRow) *const *rows, size_t count,
				 size_t offset)
{
	char **items = (char **)arena_pointers(store_arena(tx), count);

	for (size_t i = 0; i < count; i++) {
		const ProtobufCBinaryData *b = (void *)((char *)rows[i] + offset);

		items[i] = b->len ? (char *)b->data : (char *)(uintptr_t) "";
	}
	return P_TEXTS(items, count);
}

/* Fields of 8 bytes, or of 4 that are never negative (counts, versions, truth values). */
static struct param column_ints(struct store_tx *tx, ROW(ExecutionRow) *const *rows, size_t count,
				size_t offset, size_t size)
{
	int64_t *items = arena_array(store_arena(tx), count, sizeof(int64_t));

	for (size_t i = 0; i < count; i++) {
		const char *field = (const char *)rows[i] + offset;
		uint32_t narrow;

		if (size == sizeof(items[i])) {
			memcpy(&items[i], field, sizeof(items[i]));
			continue;
		}
		memcpy(&narrow, field, sizeof(narrow));
		items[i] = narrow;
	}
	return P_INTS(items, count);
}

#define TEXTS(field) column_texts(tx, rows, count, offsetof(ROW(ExecutionRow), field))
#define BYTES(field) column_bytes(tx, rows, count, offsetof(ROW(ExecutionRow), field))
#define INTS(field)                                                      \
	column_ints(tx, rows, count, offsetof(ROW(ExecutionRow), field), \
		    sizeof(((ROW(ExecutionRow) *)0)->field))

#define START_COLUMNS                                                                         \
	"call_id, start_batch, start_no, started_at, tool_id, server_id, tool_name, version," \
	" is_test, executed_by, via, input_args"
#define START_VALUES                                                                            \
	"call_id, $1, start_no, " SQL_MS("started") ", tool_id, server_id, tool_name, version," \
						    " is_test <> 0, executed_by, via, input_args"
#define START_UNNEST                                                                             \
	"$2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::int[]," \
	" $9::int[], $10::text[], $11::text[], $12::text[]"
#define START_NAMES                                                                     \
	"call_id, start_no, started, tool_id, server_id, tool_name, version, is_test, " \
	"executed_by,"                                                                  \
	" via, input_args"
#define START_PARAMS                                                                            \
	P_INT(batch), TEXTS(call_id), INTS(start_no), INTS(started_at_unix_ms), TEXTS(tool_id), \
		TEXTS(server_id), TEXTS(tool_name), INTS(version), INTS(is_test),               \
		TEXTS(executed_by), TEXTS(via), BYTES(input_args)
#define END_NAMES \
	"end_no, ended, executor, outcome, error, result, stdout, duration_ms, cpu_ms, memory_kb"
#define END_COLUMNS                                                                            \
	"end_batch, end_no, ended_at, executor, outcome, error, result, stdout, duration_ms, " \
	"cpu_ms,"                                                                              \
	" memory_kb"
#define END_VALUES                                                                                \
	"$1, end_no, " SQL_MS("ended") ", executor, outcome, error, result, stdout, duration_ms," \
				       " cpu_ms, memory_kb"
#define END_PARAMS                                                                           \
	INTS(end_no), INTS(ended_at_unix_ms), TEXTS(executor), TEXTS(outcome), BYTES(error), \
		BYTES(result), BYTES(stdout), INTS(duration_ms), INTS(cpu_ms), INTS(memory_kb)

int64_t store_calls_started(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) *const *rows,
			    size_t count)
{
	if (count == 0)
		return 0;
	return pg_exec(tx,
		       "INSERT INTO executions (" START_COLUMNS ") SELECT " START_VALUES
		       " FROM unnest(" START_UNNEST ") AS new (" START_NAMES ")"
		       " ON CONFLICT DO NOTHING",
		       START_PARAMS);
}

/* An end without a start (its spool was lost) still makes a row. */
int64_t store_calls_ended(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) *const *rows,
			  size_t count)
{
	if (count == 0)
		return 0;
	return pg_exec(
		tx,
		"INSERT INTO executions (call_id, " END_COLUMNS ") SELECT call_id, " END_VALUES
		" FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],"
		" $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[])"
		" AS new (call_id, " END_NAMES ") ON CONFLICT (call_id) DO UPDATE SET"
		" (" END_COLUMNS ") = (excluded.end_batch, excluded.end_no, excluded.ended_at,"
		" excluded.executor, excluded.outcome, excluded.error, excluded.result,"
		" excluded.stdout, excluded.duration_ms, excluded.cpu_ms, excluded.memory_kb)"
		" WHERE executions.end_batch IS NULL",
		P_INT(batch), TEXTS(call_id), END_PARAMS);
}

int64_t store_calls_whole(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) *const *rows,
			  size_t count)
{
	if (count == 0)
		return 0;
	return pg_exec(tx,
		       "INSERT INTO executions (" START_COLUMNS ", " END_COLUMNS ")"
		       " SELECT " START_VALUES ", " END_VALUES " FROM unnest(" START_UNNEST ","
		       " $13::bigint[], $14::bigint[], $15::text[], $16::text[], $17::text[],"
		       " $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::bigint[])"
		       " AS new (" START_NAMES ", " END_NAMES ") ON CONFLICT DO NOTHING",
		       START_PARAMS, END_PARAMS);
}

int store_incidents_lock(struct store_tx *tx)
{
	/* "incident" */
	return pg_script(tx, "SELECT pg_advisory_xact_lock(x'696e636964656e74'::bigint)");
}

#define SQL_INCIDENT                                                                             \
	"SELECT tool_id, topic, since AS since_unix_ms, written, pending, outcome, detail FROM " \
	"incidents"

int store_incident_get(struct store_tx *tx, const char *tool_id, const char *topic,
		       ROW(IncidentRow) * *ret)
{
	struct arena *a = store_arena(tx);
	int r = pg_one(tx, ROWS(incident_row), ret,
		       SQL_INCIDENT " WHERE tool_id = $1 AND topic = $2", P_TEXT(tool_id),
		       P_TEXT(topic));

	if (r != -ERR_NOT_FOUND)
		return r;
	*ret = arena_msg(a, ROWS(incident_row));
	(*ret)->tool_id = arena_str(a, tool_id);
	(*ret)->topic = arena_str(a, topic);
	return 0;
}

int store_incident_save(struct store_tx *tx, const ROW(IncidentRow) * i)
{
	const char *detail = arena_dup(store_arena(tx), i->detail.data, i->detail.len);

	return pg_touched(pg_exec(
		tx,
		"INSERT INTO incidents (tool_id, topic, since, written, pending, outcome, detail)"
		" VALUES ($1, $2, " SQL_MS(
			"$3") ", $4, $5, $6, $7) ON CONFLICT (tool_id, topic) DO UPDATE SET"
			      " since = excluded.since, written = excluded.written, pending = "
			      "excluded.pending,"
			      " outcome = excluded.outcome, detail = excluded.detail",
		P_TEXT(i->tool_id), P_TEXT(i->topic), P_INT(i->since_unix_ms), P_INT(i->written),
		P_INT(i->pending), P_TEXT(i->outcome), P_TEXT(detail)));
}

int store_incidents_over(struct store_tx *tx, int64_t before_unix_ms, ROW(IncidentRow) * **ret,
			 size_t *ret_count)
{
	return pg_all(tx, ROWS(incident_row), ret, ret_count,
		      SQL_INCIDENT " WHERE pending > 0 AND since <= " SQL_MS("$1"),
		      P_INT(before_unix_ms));
}

int store_egress_add(struct store_tx *tx, uint64_t batch, const ROW(EgressRow) * e)
{
	struct arena *a = store_arena(tx);

	return pg_touched(pg_exec(
		tx,
		"INSERT INTO egress_requests (batch, no, at, stage, call_id, request_no, tool_id, "
		"server_id,"
		" tool_name, version, method, host, port, path, status, bytes_out, bytes_in, "
		"ttfb_ms, total_ms,"
		" decision, rule, error, address, mode) VALUES ($1, $2, " SQL_MS(
			"$3") ", $4, $5, $6, $7, $8,"
			      " $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, "
			      "$22, $23, $24)",
		P_INT(batch), P_INT(e->no), P_INT(e->at_unix_ms), P_TEXT(e->stage),
		P_TEXT(e->call_id), P_TEXT(e->request_no), P_TEXT(e->tool_id), P_TEXT(e->server_id),
		P_TEXT(e->tool_name), P_INT(e->version), P_TEXT(e->method), P_TEXT(e->host),
		P_INT(e->port), P_TEXT(arena_dup(a, e->path.data, e->path.len)), P_INT(e->status),
		P_INT(e->bytes_out), P_INT(e->bytes_in), P_INT(e->ttfb_ms), P_INT(e->total_ms),
		P_TEXT(e->decision), P_TEXT(e->rule),
		P_TEXT(arena_dup(a, e->error.data, e->error.len)), P_TEXT(e->address),
		P_TEXT(e->mode)));
}

int store_batch_starts(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) * **ret,
		       size_t *ret_count)
{
	return pg_all(
		tx, ROWS(execution_row), ret, ret_count,
		"SELECT call_id, start_no, started_at AS started_at_unix_ms, tool_id, server_id,"
		" tool_name, version, executor, is_test, executed_by, via, input_args"
		" FROM executions WHERE start_batch = $1 ORDER BY start_no",
		P_INT(batch));
}

int store_batch_ends(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) * **ret,
		     size_t *ret_count)
{
	return pg_all(
		tx, ROWS(execution_row), ret, ret_count,
		"SELECT call_id, end_no, ended_at AS ended_at_unix_ms, outcome, error, result,"
		" stdout, duration_ms, cpu_ms, memory_kb, tool_id, server_id, tool_name, version,"
		" executor, is_test, executed_by, via"
		" FROM executions WHERE end_batch = $1 ORDER BY end_no",
		P_INT(batch));
}

int store_batch_egress(struct store_tx *tx, uint64_t batch, ROW(EgressRow) * **ret,
		       size_t *ret_count)
{
	return pg_all(tx, ROWS(egress_row), ret, ret_count,
		      "SELECT no, at AS at_unix_ms, stage, call_id, request_no, tool_id, "
		      "server_id, tool_name,"
		      " version, method, host, port, path, status, bytes_out, bytes_in, ttfb_ms, "
		      "total_ms,"
		      " decision, rule, error, address, mode FROM egress_requests"
		      " WHERE batch = $1 ORDER BY no",
		      P_INT(batch));
}

int store_instance_joined(struct store_tx *tx, const PB(Instance) * i)
{
	int64_t n = pg_exec(tx,
			    "INSERT INTO instances (boot_id, instance, role, version, joined_at)"
			    " VALUES ($1, $2, $3, $4, now()) ON CONFLICT (boot_id) DO UPDATE SET "
			    "left_at = NULL",
			    P_PB(i->boot_id), P_TEXT(i->instance),
			    P_TEXT(role_name((enum bus_role)i->role)), P_TEXT(i->version));

	return n < 0 ? (int)n : 0;
}

int store_instance_left(struct store_tx *tx, struct bytes boot_id)
{
	int64_t n = pg_exec(tx, "UPDATE instances SET left_at = now() WHERE boot_id = $1",
			    P_BYTES(boot_id.data, boot_id.len));

	return n < 0 ? (int)n : 0;
}
