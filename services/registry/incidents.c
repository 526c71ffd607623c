#include "incidents.h"

#include <string.h>
#include "json.h"
#include "records.h"

enum { TOUCHED_MAX = 256, REFUSED_MAX = 16, ERROR_SHOWN = 200 };

/* ---- the bound ----------------------------------------------------------------------------------- */

bool incident_is_over(const struct incident_window *i, int64_t now_unix_ms)
{
	return i->since_unix_ms == 0 || now_unix_ms - i->since_unix_ms >= INCIDENT_WINDOW_MS ||
	       now_unix_ms < i->since_unix_ms;
}

bool incident_may_write(struct incident_window *i, int64_t now_unix_ms)
{
	if (incident_is_over(i, now_unix_ms)) {
		i->since_unix_ms = now_unix_ms;
		i->written = 0;
	}
	if (i->written >= INCIDENT_BURST) {
		i->pending++;
		return false;
	}
	i->written++;
	return true;
}

/* ---- rows of storage ----------------------------------------------------------------------------- */

static struct incident_window window_of(const ROW(IncidentRow) * row)
{
	return (struct incident_window){ row->since_unix_ms, row->written, row->pending };
}

static void set_window(ROW(IncidentRow) * row, const struct incident_window *i)
{
	row->since_unix_ms = i->since_unix_ms;
	row->written = i->written;
	row->pending = i->pending;
}

/* How many calls an audit row speaks of, beside what it says of the newest. */
static void write_row(struct work *w, const ROW(IncidentRow) * row, json_t *detail,
		      const char *outcome, uint64_t calls)
{
	(void)json_object_set_new(detail, "calls", json_integer((json_int_t)calls));
	work_audit(w, row->topic, "tool", row->tool_id, outcome, detail);
}

static void write_pending(struct work *w, ROW(IncidentRow) * row)
{
	json_t *detail = NULL;

	if (json_load(row->detail.data, row->detail.len, &detail, NULL) < 0)
		detail = json_object();
	write_row(w, row, detail, row->outcome, row->pending);
	row->pending = 0;
}

/* ---- calls of which one row speaks ---------------------------------------------------------------- */

static json_int_t count_of(const json_t *item)
{
	return json_integer_value(json_object_get(item, "count"));
}

static json_t *find_refusal(json_t *list, const json_t *like)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (json_equal(json_object_get(item, "kind"), json_object_get(like, "kind")) &&
		    json_equal(json_object_get(item, "name"), json_object_get(like, "name")))
			return item;
	}
	return NULL;
}

/* What was asked for in vain, each once with the sum of its counts; what has no room is counted as `more`. */
static void merge_refused(json_t *detail, const json_t *earlier)
{
	json_t *list = json_object_get(detail, "refused"), *item, *same;
	json_int_t more = json_integer_value(json_object_get(earlier, "more"));
	size_t i;

	json_array_foreach(json_object_get(earlier, "refused"), i, item)
	{
		same = find_refusal(list, item);
		if (same)
			(void)json_object_set_new(same, "count",
						  json_integer(count_of(same) + count_of(item)));
		else if (json_array_size(list) < REFUSED_MAX)
			(void)json_array_append(list, item);
		else
			more += count_of(item);
	}
	if (more > 0)
		(void)json_object_set_new(detail, "more", json_integer(more));
}

/* How many calls ended in which way. */
static void merge_outcomes(json_t *detail, const json_t *earlier, const char *outcome)
{
	json_t *before = json_object_get(earlier, "outcomes");
	json_t *outcomes = before ? json_copy(before) : json_object();
	json_int_t n = json_integer_value(json_object_get(outcomes, outcome));

	(void)json_object_set_new(outcomes, outcome, json_integer(n + 1));
	(void)json_object_set_new(detail, "outcomes", outcomes);
}

/* The newest call's detail comes to speak of all that wait in the row. */
static void merge_pending(json_t *detail, const ROW(IncidentRow) * row, const char *outcome)
{
	BOX_CLEANUP(json_decrefp) json_t *earlier = NULL;

	if (row->pending == 0 || json_load(row->detail.data, row->detail.len, &earlier, NULL) < 0)
		earlier = json_object();
	if (json_object_get(detail, "refused"))
		merge_refused(detail, earlier);
	else
		merge_outcomes(detail, earlier, outcome);
}

/* Takes the detail. */
static void add(struct work *w, ROW(IncidentRow) * row, const char *outcome, json_t *detail)
{
	struct incident_window window = window_of(row);
	size_t len;
	char *text;

	if (row->pending > 0 && incident_is_over(&window, w->now_unix_ms)) {
		write_pending(w, row);
		window.pending = 0;
	}
	if (incident_may_write(&window, w->now_unix_ms)) {
		write_row(w, row, detail, outcome, 1);
	} else {
		merge_pending(detail, row, outcome);
		text = json_dump(detail, &len);
		row->outcome = arena_str(&w->arena, outcome);
		row->detail = pb_bytes(arena_dup(&w->arena, text, len), len);
		free(text);
		json_decref(detail);
	}
	set_window(row, &window);
}

/* ---- one batch ----------------------------------------------------------------------------------- */

/* The rows that a batch touches: read once, saved once. */
struct touched {
	ROW(IncidentRow) * rows[TOUCHED_MAX];
	size_t count;
};

static int find_row(struct work *w, struct touched *t, const char *tool_id, const char *topic,
		    ROW(IncidentRow) * *ret)
{
	int r;

	for (size_t i = 0; i < t->count; i++) {
		*ret = t->rows[i];
		if (strcmp((*ret)->tool_id, tool_id) == 0 && strcmp((*ret)->topic, topic) == 0)
			return 0;
	}
	/* A lock for all: two batches that touch the same tools in another order would wait for each other. */
	r = t->count == 0 ? store_incidents_lock(w->tx) : 0;
	if (r == 0)
		r = store_incident_get(w->tx, tool_id, topic, ret);
	if (r == 0)
		t->rows[t->count++] = *ret;
	return r;
}

/* Ends that the tool's code brought about; all others are no news of a tool. */
static bool is_killed(const char *outcome)
{
	static const char *const outcomes[] = { "timeout",   "cpu",   "memory",  "output",
						"result",    "files", "threads", "scratch",
						"forbidden", "crash" };

	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
		if (strcmp(outcomes[i], outcome) == 0)
			return true;
	return false;
}

static json_t *call_detail(const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;

	return json_pack("{s:s, s:i, s:s, s:b}", "tool", c->tool_name, "version", (int)c->version,
			 "call_id", record->call_id, "is_test", (int)c->is_test);
}

static json_t *killed_detail(struct work *w, const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	ProtobufCBinaryData error = records_clean(w, c->error, ERROR_SHOWN);
	json_t *detail = call_detail(record);

	if (c->excess) {
		(void)json_object_set_new(detail, "limit", json_string(c->excess->limit));
		(void)json_object_set_new(detail, "allowed",
					  json_integer((json_int_t)c->excess->allowed));
		if (c->excess->used > 0)
			(void)json_object_set_new(detail, "used",
						  json_integer((json_int_t)c->excess->used));
	}
	(void)json_object_set_new(detail, "error",
				  json_stringn((const char *)error.data, error.len));
	return detail;
}

static json_t *refused_detail(const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	json_t *detail = call_detail(record), *list = json_array();

	for (size_t i = 0; i < c->n_refused && i < REFUSED_MAX; i++) {
		const PB(Refusal) *f = c->refused[i];
		json_t *item = json_pack("{s:s, s:s, s:I}", "kind", f->kind, "name", f->name,
					 "count", (json_int_t)f->count);

		if (f->line > 0)
			(void)json_object_set_new(item, "line", json_integer(f->line));
		(void)json_array_append_new(list, item);
	}
	(void)json_object_set_new(detail, "refused", list);
	return detail;
}

static int take_one(struct work *w, struct touched *t, const PB(Record) * record)
{
	const PB(CallRecord) *c = record->call;
	ROW(IncidentRow) * row;
	int r = 0;

	if (is_killed(c->outcome)) {
		r = find_row(w, t, c->tool_id, "sandbox.killed", &row);
		if (r == 0)
			add(w, row, c->outcome, killed_detail(w, record));
	}
	if (r == 0 && c->n_refused > 0) {
		r = find_row(w, t, c->tool_id, "tool.refused", &row);
		if (r == 0)
			add(w, row, "refused", refused_detail(record));
	}
	return r;
}

static int save_all(struct work *w, struct touched *t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++)
		r = store_incident_save(w->tx, t->rows[i]);
	t->count = 0;
	return r;
}

int incidents_take(struct work *w, PB(Record) *const *records, size_t count, uint64_t last_no)
{
	struct touched *t = arena_alloc(&w->arena, sizeof(*t));
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (records[i]->no <= last_no ||
		    records[i]->kind != MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED)
			continue;
		if (t->count + 2 > TOUCHED_MAX)
			r = save_all(w, t);
		if (r == 0)
			r = take_one(w, t, records[i]);
	}
	return r == 0 ? save_all(w, t) : r;
}

int incidents_flush(struct work *w, const void *message, struct err *err)
{
	ROW(IncidentRow) * *rows;
	size_t count = 0;
	int r = store_incidents_lock(w->tx);

	(void)message;
	(void)err;
	if (r == 0)
		r = store_incidents_over(w->tx, w->now_unix_ms - INCIDENT_WINDOW_MS, &rows, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		write_pending(w, rows[i]);
		r = store_incident_save(w->tx, rows[i]);
	}
	return r;
}
