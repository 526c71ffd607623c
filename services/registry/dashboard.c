/* Figures over calls: what the front page of the web UI shows, and the statistics of the logs. */
#include "dashboard.h"

#include <string.h>
#include "nouns.h"

enum { SERVERS = 10, TOP_TOOLS = 5, RECENT_ERRORS = 10, HOURS_DEFAULT = 24, HOURS_MAX = 8760 };
#define MINUTE_MS INT64_C(60000)

/* ---- time ---------------------------------------------------------------------------------------- */

int64_t window_floor(int64_t unix_ms, uint32_t minutes)
{
	return unix_ms - unix_ms % (minutes * MINUTE_MS);
}

struct window window_of_hours(uint32_t hours, int64_t now_unix_ms)
{
	/* Fine buckets are kept for two days, those of an hour for long (retention.c). */
	bool is_short = hours <= 24;
	struct window w = { .fine_min = is_short ? 10 : 60, .coarse_min = is_short ? 60 : 1440 };
	int64_t coarse_ms = w.coarse_min * MINUTE_MS;

	w.from_unix_ms = window_floor(now_unix_ms - hours * 60 * MINUTE_MS, w.fine_min);
	w.coarse_unix_ms = window_floor(w.from_unix_ms + coarse_ms - 1, w.coarse_min);
	return w;
}

static const struct period {
	const char *name;
	uint32_t hours, point_min; /* a point of the curves: so many minutes */
} periods[] = { { "24h", 24, 60 }, { "1h", 1, 10 }, { "6h", 6, 10 }, { "7d", 168, 60 } };

static const struct period *period_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(periods); i++)
		if (!name[0] || strcmp(periods[i].name, name) == 0)
			return &periods[i];
	return NULL;
}

/* The curves begin where the sums do. */
static struct window window_of_period(const struct period *p, int64_t now_unix_ms)
{
	struct window w = window_of_hours(p->hours, now_unix_ms);

	w.from_unix_ms = window_floor(w.from_unix_ms, p->point_min);
	return w;
}

/* ---- the page ------------------------------------------------------------------------------------ */

static double average_ms(const ROW(RollupRow) * row)
{
	return row->calls ? (double)row->duration_ms / (double)row->calls : 0;
}

/* With two decimals. */
static double percent(uint64_t part, uint64_t whole)
{
	uint64_t hundredths = whole ? part * 10000 / whole : 0;

	return (double)hundredths / 100;
}

static int fill_stats(struct work *w, const struct window *window, PB(GetDashboardReply) * reply)
{
	ROW(RollupRow) * sum;
	int r = store_dashboard_counts(w->tx, &reply->stats);

	if (r == 0)
		r = store_rollup_sum(w->tx, window, &sum);
	if (r != 0)
		return r;
	reply->stats->total_requests_24h = sum->calls;
	reply->stats->total_errors_24h = sum->errors;
	reply->stats->error_rate_24h = percent(sum->errors, sum->calls);
	reply->stats->avg_response_time_ms = average_ms(sum);
	return 0;
}

static int fill_servers(struct work *w, const struct window *window, PB(GetDashboardReply) * reply)
{
	ROW(RollupRow) * *rows;
	size_t count;
	int r = store_dashboard_servers(w->tx, SERVERS, &reply->servers, &reply->n_servers);

	if (r == 0)
		r = store_rollup_servers(w->tx, window, &rows, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		for (size_t k = 0; k < reply->n_servers; k++)
			if (strcmp(rows[i]->server_id, reply->servers[k]->id) == 0) {
				reply->servers[k]->requests_24h = rows[i]->calls;
				reply->servers[k]->errors_24h = rows[i]->errors;
			}
	return r;
}

static PB(TimePoint) * point(struct work *w, int64_t at, uint64_t value)
{
	PB(TimePoint) *p = arena_msg(&w->arena, &mcpbox__v1__time_point__descriptor);

	p->timestamp_unix_ms = at;
	p->value = value;
	return p;
}

static int fill_curves(struct work *w, const struct period *period, int64_t from_unix_ms,
		       PB(GetDashboardReply) * reply)
{
	ROW(RollupRow) * *rows;
	size_t count;
	int r = store_rollup_points(w->tx, period->point_min, from_unix_ms, w->now_unix_ms, &rows,
				    &count);

	if (r != 0)
		return r;
	reply->requests_over_time = arena_pointers(&w->arena, count);
	reply->errors_over_time = arena_pointers(&w->arena, count);
	for (size_t i = 0; i < count; i++) {
		reply->requests_over_time[i] = point(w, rows[i]->at_unix_ms, rows[i]->calls);
		reply->errors_over_time[i] = point(w, rows[i]->at_unix_ms, rows[i]->errors);
	}
	reply->n_requests_over_time = count;
	reply->n_errors_over_time = count;
	return 0;
}

static int fill_top(struct work *w, const struct window *window, PB(GetDashboardReply) * reply)
{
	ROW(RollupRow) * *rows;
	size_t count;
	int r = store_rollup_top_tools(w->tx, window, TOP_TOOLS, &rows, &count);

	if (r != 0)
		return r;
	reply->top_tools = arena_pointers(&w->arena, count);
	for (size_t i = 0; i < count; i++) {
		PB(TopTool) *t = arena_msg(&w->arena, &mcpbox__v1__top_tool__descriptor);

		t->tool_name = rows[i]->tool_name;
		if (rows[i]->server_name[0]) {
			t->server_name = rows[i]->server_name;
			t->server_name_opt_case = MCPBOX__V1__TOP_TOOL__SERVER_NAME_OPT_SERVER_NAME;
		}
		t->invocations = rows[i]->calls;
		t->avg_duration_ms = average_ms(rows[i]);
		reply->top_tools[i] = t;
	}
	reply->n_top_tools = count;
	return 0;
}

int dashboard_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetDashboardRequest) *in = message;
	const struct period *period = period_of(in->period);
	PB(GetDashboardReply) reply = MCPBOX__V1__GET_DASHBOARD_REPLY__INIT;
	struct window window;
	int r;

	if (!period)
		return err_set_field(err, ERR_INVALID, "period", NULL,
				     "period must be 1h, 6h, 24h or 7d");
	window = window_of_period(period, w->now_unix_ms);
	r = fill_stats(w, &window, &reply);
	if (r == 0)
		r = fill_servers(w, &window, &reply);
	if (r == 0)
		r = fill_curves(w, period, window.from_unix_ms, &reply);
	if (r == 0)
		r = fill_top(w, &window, &reply);
	if (r == 0)
		r = store_execution_failed(w->tx, window.from_unix_ms, RECENT_ERRORS,
					   &reply.recent_errors, &reply.n_recent_errors);
	if (r != 0)
		return r;
	reply.period = arena_str(&w->arena, period->name);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- statistics of the logs ----------------------------------------------------------------------- */

int execution_stats(struct work *w, const void *message, struct err *err)
{
	const PB(GetExecutionStatsRequest) *in = message;
	uint32_t hours = in->period_hours ? in->period_hours : HOURS_DEFAULT;
	struct window window = window_of_hours(hours, w->now_unix_ms);
	PB(GetExecutionStatsReply) * reply;
	ROW(RollupRow) * sum;
	int r;

	if (hours > HOURS_MAX)
		return err_set_field(err, ERR_INVALID, "period_hours", NULL,
				     "period_hours must be from 1 to %d", HOURS_MAX);
	r = store_execution_stats(w->tx, &reply);
	if (r == 0)
		r = store_rollup_sum(w->tx, &window, &sum);
	if (r != 0)
		return r;
	reply->period_executions = (uint32_t)sum->calls;
	reply->period_hours = hours;
	work_answer(w, &reply->base);
	return 0;
}
