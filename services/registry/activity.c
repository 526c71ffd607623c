#include "activity.h"

#include <inttypes.h>
#include <string.h>
#include "checks.h"
#include "dashboard.h"
#include "merge.h"
#include "nouns.h"
#include "parse.h"

enum {
	PAGE_DEFAULT = 50,
	PAGE_MAX = 200,
	RECENT_DEFAULT = 100,
	RECENT_MAX = 1000,
	COUNTED = 1000,    /* a total beyond is said to be no exact one */
	REACH = 10000,     /* of pages */
	SEARCHED = 2000,   /* newest rows of each kind */
	FOLLOW_ROWS = 100, /* of the audit in one answer */
	FOLLOW_PARTS = 1000,
	REPLAY_MAX = 10000, /* rows of the audit that a stream may be behind */
	FILTER_MAX = 255,
};
#define DAY_MS INT64_C(86400000)

int activity_read_id(const char *text, struct activity_id *ret)
{
	char number[24];
	const char *dot = strchr(text, '.');
	uint64_t a, b = 0;

	*ret = (struct activity_id){ 0 };
	if (text[0] == 'a') {
		if (parse_u64(text + 1, 1, INT64_MAX, &a) < 0)
			return -ERR_INVALID;
		ret->seq = (int64_t)a;
		return 0;
	}
	if (text[0] != 'b' || !dot || dot - text - 1 >= (ptrdiff_t)sizeof(number))
		return -ERR_INVALID;
	memcpy(number, text + 1, (size_t)(dot - text - 1));
	number[dot - text - 1] = '\0';
	if (parse_u64(number, 1, INT64_MAX, &a) < 0 || parse_u64(dot + 1, 1, INT64_MAX, &b) < 0)
		return -ERR_INVALID;
	ret->batch = (int64_t)a;
	ret->no = (int64_t)b;
	return 0;
}

/* ---- what is asked for ----------------------------------------------------------------------------- */

static const char *const types[] = { "mcp_request", "mcp_response", "network", "alert",
				     "error",       "system",       "audit",   NULL };
static const char *const levels[] = { "debug", "info", "warning", "error", NULL };

static bool is_one_of(const char *const *names, const char *text, size_t len)
{
	for (; *names; names++)
		if (strlen(*names) == len && memcmp(*names, text, len) == 0)
			return true;
	return false;
}

/* "mcp_request,alert" */
static int check_list(struct work *w, const char *field, ProtobufCBinaryData given,
		      const char *const *names, const char **ret, struct err *err)
{
	const char *text = work_text(w, given);

	*ret = text;
	while (*text) {
		size_t len = strcspn(text, ",");

		if (!is_one_of(names, text, len))
			return err_set_field(err, ERR_INVALID, field, NULL, "there is no %s '%.*s'",
					     field, (int)(len < 64 ? len : 64), text);
		text += len;
		if (*text == ',' && !*++text)
			return err_set_field(err, ERR_INVALID, field, NULL, "%s ends with a comma",
					     field);
	}
	return 0;
}

static int fill_server(struct work *w, const char *server_id, struct activity_choice *c)
{
	c->server_id = server_id;
	return server_id[0] ? store_server_objects(w->tx, server_id, &c->objects, &c->object_count)
			    : 0;
}

/* Nothing is shown that retention would take. */
static int fill_time(struct work *w, int64_t since, int64_t until, struct activity_choice *c,
		     struct err *err)
{
	PB(SecurityPolicy) * policy;
	int r = store_policy_get(w->tx, false, &policy);
	int64_t oldest;

	if (r != 0)
		return r;
	oldest = w->now_unix_ms - policy->log_retention_days * DAY_MS;
	c->since_unix_ms = since > oldest ? since : oldest;
	c->until_unix_ms = until > 0 ? until : w->now_unix_ms + DAY_MS;
	if (until < 0 || since < 0 || (until > 0 && until < since))
		return err_set_field(err, ERR_INVALID, "until", NULL, "until is before since");
	return 0;
}

static int fill_choice(struct work *w, const PB(ActivityFilter) * in, struct activity_choice *c,
		       struct err *err)
{
	int r = check_list(w, "log_type", in->log_type, types, &c->log_types, err);

	*c = (struct activity_choice){ .log_types = c->log_types };
	c->sees_audit = w->actor->sees_audit;
	c->request_id = work_text(w, in->request_id);
	c->search = work_text(w, in->search);
	if (r == 0)
		r = check_list(w, "level", in->level, levels, &c->levels, err);
	if (r == 0)
		r = check_text("search", in->search, FILTER_MAX, err);
	if (r == 0)
		r = check_text("request_id", in->request_id, FILTER_MAX, err);
	if (r == 0)
		r = fill_time(w, in->since_unix_ms, in->until_unix_ms, c, err);
	return r == 0 ? fill_server(w, in->server_id, c) : r;
}

/* ---- lists ----------------------------------------------------------------------------------------- */

int activity_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListActivityRequest) *in = message;
	PB(ListActivityReply) reply = MCPBOX__V1__LIST_ACTIVITY_REPLY__INIT;
	PB(ActivityFilter) filter = MCPBOX__V1__ACTIVITY_FILTER__INIT;
	struct page page = { in->page ? in->page : 1,
			     in->page_size ? in->page_size : PAGE_DEFAULT };
	struct activity_choice c;
	int64_t total;
	int r;

	filter.server_id = in->server_id;
	filter.log_type = in->log_type;
	filter.level = in->level;
	filter.request_id = in->request_id;
	filter.since_unix_ms = in->since_unix_ms;
	filter.until_unix_ms = in->until_unix_ms;
	filter.search = in->search;
	if (page.size > PAGE_MAX)
		return err_set_field(err, ERR_INVALID, "page_size", NULL,
				     "page_size must be from 1 to %d", PAGE_MAX);
	if ((uint64_t)page.number * page.size > REACH)
		return err_set_field(err, ERR_INVALID, "page",
				     "give until: the time of the last row",
				     "pages reach to row %d", REACH);
	r = fill_choice(w, &filter, &c, err);
	if (r == 0)
		r = store_activity_count(w->tx, &c, c.search[0] ? SEARCHED : COUNTED + 1, &total);
	if (r == 0)
		r = store_activity_list(w->tx, &c, SEARCHED, page, &reply.items, &reply.n_items);
	if (r != 0)
		return r;
	reply.total_is_exact = total <= COUNTED && !c.search[0];
	total = total < COUNTED ? total : COUNTED;
	WORK_FILL_PAGE(&reply, page, total);
	work_answer(w, &reply.base);
	return 0;
}

int activity_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetActivityRequest) *in = message;
	struct activity_id id;
	PB(Activity) * row;
	int r = -ERR_NOT_FOUND;

	if (activity_read_id(in->activity_id, &id) == 0)
		r = store_activity_get(w->tx, &id, w->actor->sees_audit, &row);
	if (r < 0)
		return work_missing(err, r, "activity", in->activity_id);
	work_answer(w, &row->base);
	return 0;
}

static int newest(struct work *w, ProtobufCBinaryData request_id, uint32_t count,
		  PB(Activity) * **ret, size_t *ret_count, struct err *err)
{
	PB(ActivityFilter) filter = MCPBOX__V1__ACTIVITY_FILTER__INIT;
	struct activity_choice c;
	int r;

	filter.request_id = request_id;
	r = fill_choice(w, &filter, &c, err);
	return r == 0 ? store_activity_list(w->tx, &c, SEARCHED, (struct page){ 1, count }, ret,
					    ret_count)
		      : r;
}

int activity_recent(struct work *w, const void *message, struct err *err)
{
	const PB(RecentActivityRequest) *in = message;
	PB(RecentActivityReply) reply = MCPBOX__V1__RECENT_ACTIVITY_REPLY__INIT;
	uint32_t count = in->count_opt_case ? in->count : RECENT_DEFAULT;
	int r;

	if (count < 1 || count > RECENT_MAX)
		return err_set_field(err, ERR_INVALID, "count", NULL, "count must be from 1 to %d",
				     RECENT_MAX);
	r = newest(w, pb_text(""), count, &reply.logs, &reply.n_logs, err);
	if (r != 0)
		return r;
	reply.count = (uint32_t)reply.n_logs;
	work_answer(w, &reply.base);
	return 0;
}

int activity_of_request(struct work *w, const void *message, struct err *err)
{
	const PB(RequestActivityRequest) *in = message;
	PB(RequestActivityReply) reply = MCPBOX__V1__REQUEST_ACTIVITY_REPLY__INIT;
	int r = newest(w, in->request_id, RECENT_MAX, &reply.logs, &reply.n_logs, err);

	if (r != 0)
		return r;
	reply.request_id = in->request_id;
	reply.count = (uint32_t)reply.n_logs;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- figures --------------------------------------------------------------------------------------- */

int activity_stats(struct work *w, const void *message, struct err *err)
{
	static const struct {
		const char *name;
		uint32_t minutes, grain_min;
	} periods[] = {
		{ "1h", 60, 10 }, { "6h", 360, 10 }, { "24h", 1440, 60 }, { "7d", 10080, 60 }
	};
	const PB(ActivityStatsRequest) *in = message;
	PB(ActivityStatsReply) reply = MCPBOX__V1__ACTIVITY_STATS_REPLY__INIT;
	ROW(RollupRow) * all, *denied, *calls;
	int64_t from;
	size_t p = 0;
	int r;

	while (p < ARRAY_LEN(periods) && in->period[0] && strcmp(periods[p].name, in->period) != 0)
		p++;
	if (p == ARRAY_LEN(periods))
		return err_set_field(err, ERR_INVALID, "period", NULL,
				     "period must be 1h, 6h, 24h or 7d");
	from = window_floor(w->now_unix_ms - periods[p].minutes * INT64_C(60000),
			    periods[p].grain_min);
	r = store_activity_sums(w->tx, in->server_id, from, w->actor->sees_audit, &reply.by_type,
				&reply.by_level);
	if (r == 0)
		r = store_activity_requests(w->tx, in->server_id, from, periods[p].grain_min, &all,
					    &denied, &calls);
	if (r != 0)
		return r;
	reply.by_type->mcp_request = calls->calls;
	reply.by_type->mcp_response = calls->calls;
	reply.by_type->network = all->calls;
	reply.by_level->info +=
		2 * calls->calls - calls->errors + all->calls - all->errors - denied->calls;
	reply.by_level->warning += denied->calls;
	reply.by_level->error += calls->errors + all->errors;
	reply.total = reply.by_level->info + reply.by_level->warning + reply.by_level->error;
	reply.errors = reply.by_level->error;
	if (calls->calls)
		reply.avg_duration_ms = (double)calls->duration_ms / (double)calls->calls;
	reply.requests_per_minute = (double)calls->calls / periods[p].minutes;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- the stream ------------------------------------------------------------------------------------ */

/* Rows of the chain to show: -1 in the other array. */
struct chain {
	int64_t seqs[FOLLOW_ROWS], batches[FOLLOW_ROWS];
	size_t count;
};

/* The row of the chain after which to go on; of that row itself, what is behind record `no` (0: it is done). */
static int find_start(struct work *w, const char *after, uint64_t *ret_since, int64_t *ret_batch,
		      int64_t *ret_no, struct err *err)
{
	struct activity_id id;
	PB(AuditEvent) * row;
	int r;

	*ret_batch = *ret_no = 0;
	if (activity_read_id(after, &id) < 0)
		return err_set_field(err, ERR_INVALID, "after", NULL, "there is no event '%.40s'",
				     after);
	*ret_since = (uint64_t)id.seq;
	if (id.seq)
		return 0;
	r = store_batch_row(w->tx, arena_printf(&w->arena, "%" PRId64, id.batch), &row);
	if (r == -ERR_NOT_FOUND)
		return err_set_field(err, ERR_INVALID, "after", NULL, "there is no event '%.40s'",
				     after);
	if (r == 0) {
		*ret_since = row->seq - 1;
		*ret_batch = id.batch;
		*ret_no = id.no;
	}
	return r;
}

static int read_chain(struct work *w, uint64_t *since, struct chain *chain)
{
	PB(AuditEvent) * *rows;
	size_t count, parts = 0;
	int r = store_audit_list(w->tx, *since, FOLLOW_ROWS, NULL, 0, &rows, &count);

	chain->count = 0;
	for (size_t i = 0; r == 0 && i < count && parts < FOLLOW_PARTS; i++) {
		bool is_batch = strcmp(rows[i]->topic, "batch") == 0;
		uint64_t batch = 0;
		uint8_t ignored[CRYPTO_HASH_SIZE];

		if (is_batch && merge_batch_of(rows[i], &batch, ignored))
			parts += merge_batch_size(rows[i]);
		chain->seqs[chain->count] = is_batch ? -1 : (int64_t)rows[i]->seq;
		chain->batches[chain->count++] = is_batch ? (int64_t)batch : -1;
		*since = rows[i]->seq;
	}
	return r;
}

/* Of the batch in which the reader is, what he has. */
static void drop_seen(PB(FollowActivityReply) * reply, int64_t batch, int64_t no)
{
	size_t kept = 0;

	for (size_t i = 0; i < reply->n_items; i++) {
		struct activity_id id;

		if (batch && activity_read_id(reply->items[i]->id, &id) == 0 && id.batch == batch &&
		    id.no <= no)
			continue;
		reply->items[kept++] = reply->items[i];
	}
	reply->n_items = kept;
}

int activity_follow(struct work *w, const void *message, struct err *err)
{
	const PB(FollowActivityRequest) *in = message;
	PB(FollowActivityReply) reply = MCPBOX__V1__FOLLOW_ACTIVITY_REPLY__INIT;
	PB(ActivityFilter) none = MCPBOX__V1__ACTIVITY_FILTER__INIT;
	struct activity_choice c;
	struct chain chain = { .count = 0 };
	uint64_t since = 0;
	int64_t batch = 0, no = 0;
	ROW(HeadRow) * head;
	int r = fill_choice(w, in->filter ? in->filter : &none, &c, err);

	if (r == 0)
		r = store_head_get(w->tx, false, &head);
	if (r != 0)
		return r;
	since = head->seq;
	if (in->after[0])
		r = find_start(w, in->after, &since, &batch, &no, err);
	if (r == 0 && head->seq > REPLAY_MAX && since < head->seq - REPLAY_MAX) {
		since = head->seq - REPLAY_MAX;
		reply.gap = true;
	}
	if (r == 0)
		r = read_chain(w, &since, &chain);
	if (r == 0 && chain.count > 0)
		r = store_activity_of(w->tx, &c, chain.seqs, chain.batches, chain.count,
				      &reply.items, &reply.n_items);
	if (r != 0)
		return r;
	drop_seen(&reply, batch, no);
	reply.cursor = arena_printf(&w->arena, "a%" PRIu64, since);
	reply.more = since < head->seq;
	work_answer(w, &reply.base);
	return 0;
}
