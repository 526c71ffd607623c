#include "retention.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "merge.h"
#include "nouns.h"
#include "parse.h"

enum {
	ROWS_MAX = 500, /* of a step */
	BATCHES_MAX = 64,
	BYTES_MAX =
		16 * 1024 * 1024, /* of the batches that a step looks at; the last may go beyond */
	DAYS_DEFAULT = 7,
	DAYS_MAX = 90,
	ASKED_MS = 8000, /* somebody waits for the answer */
};
#define DAY_MS INT64_C(86400000)

/* ---- one step ------------------------------------------------------------------------------------ */

/* What a step does, and what it found to do. */
struct step {
	uint32_t days;             /* 0: the policy's, and the count of each tool too */
	const struct actor *actor; /* NULL: the registry itself */
	uint64_t *ret_rows;        /* taken */
	bool *ret_more;            /* look again */
};

struct trim {
	struct work *w;
	struct batch batches[BATCHES_MAX];
	bool is_altered[BATCHES_MAX];
	size_t count, bytes;
	char **calls; /* to be taken, by id */
	size_t call_count;
	uint64_t requests;
};

static bool is_full(const struct trim *t)
{
	return t->count + 2 > BATCHES_MAX || t->bytes > BYTES_MAX;
}

/* Read it and hold it against the chain.  *ret: its index. */
static int look_at(struct trim *t, uint64_t number, size_t *ret)
{
	uint8_t said[CRYPTO_HASH_SIZE], now[CRYPTO_HASH_SIZE];
	struct batch *b;
	uint64_t seq;
	int r;

	for (*ret = 0; *ret < t->count; (*ret)++)
		if (t->batches[*ret].number == number)
			return 0;
	b = &t->batches[t->count];
	r = merge_load(t->w->tx, number, b);
	if (r == 0)
		r = merge_expected(t->w->tx, number, said, &seq);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	if (r == 0)
		t->bytes += merge_hash(b, now);
	t->is_altered[t->count] = r != 0 || memcmp(said, now, sizeof(said)) != 0;
	if (t->is_altered[t->count]) {
		log_error("retention.batch_altered", F_UINT("batch", number));
		r = store_batch_altered(t->w->tx, number);
	}
	t->count++;
	return r;
}

static int take_call(struct trim *t, const ROW(VictimRow) * v)
{
	const uint64_t numbers[] = { v->start_batch, v->end_batch };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		size_t at;
		int r = numbers[i] ? look_at(t, numbers[i], &at) : 0;

		if (r != 0 || (numbers[i] && t->is_altered[at]))
			return r;
	}
	t->calls[t->call_count++] = v->call_id;
	return 0;
}

static int take_calls(struct trim *t, ROW(VictimRow) *const *victims, size_t count)
{
	int r = 0;

	t->calls = (char **)arena_pointers(&t->w->arena, count);
	for (size_t i = 0; r == 0 && i < count && !is_full(t); i++)
		r = take_call(t, victims[i]);
	return r == 0 ? store_calls_delete(t->w->tx, t->calls, t->call_count) : r;
}

static void keep_newer(struct batch *b, int64_t before_unix_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->egress_count; i++)
		if (b->egress[i]->at_unix_ms >= before_unix_ms)
			b->egress[kept++] = b->egress[i];
	b->egress_count = kept;
}

/* Of each batch all that are old. */
static int take_requests(struct trim *t, int64_t before_unix_ms, ROW(VictimRow) *const *victims,
			 size_t count)
{
	for (size_t i = 0; i < count && !is_full(t); i++) {
		size_t at;
		int64_t n;
		int r = look_at(t, victims[i]->start_batch, &at);

		if (r != 0)
			return r;
		if (t->is_altered[at])
			continue;
		n = store_egress_delete(t->w->tx, victims[i]->start_batch, before_unix_ms);
		if (n < 0)
			return (int)n;
		t->requests += (uint64_t)n;
		keep_newer(&t->batches[at], before_unix_ms);
	}
	return 0;
}

/* ---- what is left of the batches ------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t without(const struct trim *t, ROW(ExecutionRow) * *rows, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!bsearch(&rows[i]->call_id, t->calls, t->call_count, sizeof(char *),
			     compare_texts))
			rows[kept++] = rows[i];
	return kept;
}

/* {"45": hash of what is left, "46": null} */
static json_t *remains(struct trim *t)
{
	json_t *list = json_object();
	char key[24], hex[2 * CRYPTO_HASH_SIZE + 1];
	uint8_t hash[CRYPTO_HASH_SIZE];

	if (t->call_count)
		qsort(t->calls, t->call_count, sizeof(char *), compare_texts);
	for (size_t i = 0; i < t->count; i++) {
		struct batch *b = &t->batches[i];

		if (t->is_altered[i])
			continue;
		if (t->call_count) {
			b->start_count = without(t, b->starts, b->start_count);
			b->end_count = without(t, b->ends, b->end_count);
		}
		(void)merge_hash(b, hash);
		format_hex(hash, sizeof(hash), hex);
		(void)snprintf(key, sizeof(key), "%" PRIu64, b->number);
		(void)json_object_set_new(list, key,
					  b->start_count + b->end_count + b->egress_count
						  ? json_string(hex)
						  : json_null());
	}
	return list;
}

static void tell(struct trim *t, const char *why)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (size_t i = 0; i < t->count; i++) {
		first = t->batches[i].number < first ? t->batches[i].number : first;
		last = t->batches[i].number > last ? t->batches[i].number : last;
	}
	work_audit(t->w, "logs.expired", "batches",
		   arena_printf(&t->w->arena, "%" PRIu64 "-%" PRIu64, first, last), "ok",
		   json_pack("{s:s, s:I, s:I, s:o}", "reason", why, "calls",
			     (json_int_t)t->call_count, "requests", (json_int_t)t->requests,
			     "batches", remains(t)));
}

/* ---- which rows ----------------------------------------------------------------------------------- */

enum victims_of { OLD_CALLS, OLD_REQUESTS, TOO_MANY_CALLS, VICTIM_KINDS };
static const struct {
	const char *why;
	bool is_requests, is_by_policy_alone;
} kinds[] = {
	[OLD_CALLS] = { "age", false, false },
	[OLD_REQUESTS] = { "age", true, false },
	[TOO_MANY_CALLS] = { "count", false, true },
};

static int find(struct work *w, enum victims_of kind, int64_t before_unix_ms, uint32_t keep,
		ROW(VictimRow) * **ret, size_t *ret_count)
{
	switch (kind) {
	case OLD_CALLS:
		return store_calls_before(w->tx, before_unix_ms, ROWS_MAX, ret, ret_count);
	case OLD_REQUESTS:
		return store_egress_before(w->tx, before_unix_ms, ROWS_MAX, ret, ret_count);
	default:
		return store_calls_over(w->tx, keep, ROWS_MAX, ret, ret_count);
	}
}

static int take(struct work *w, const struct step *step, enum victims_of kind,
		int64_t before_unix_ms, ROW(VictimRow) *const *victims, size_t count)
{
	struct trim *t = arena_alloc(&w->arena, sizeof(*t));
	int r;

	t->w = w;
	r = kinds[kind].is_requests ? take_requests(t, before_unix_ms, victims, count)
				    : take_calls(t, victims, count);
	if (r == 0 && t->call_count + t->requests > 0)
		tell(t, step->days ? "asked" : kinds[kind].why);
	*step->ret_rows = t->call_count + t->requests;
	*step->ret_more = true; /* victims in altered batches are not found again */
	return r;
}

static int run_step(struct work *w, const void *in, struct err *err)
{
	const struct step *step = *(const struct step *const *)in;
	PB(SecurityPolicy) * policy;
	int r = store_policy_get(w->tx, false, &policy);
	int64_t before;

	(void)err;
	*step->ret_rows = 0;
	*step->ret_more = false;
	if (r != 0)
		return r;
	if (step->actor)
		w->actor = step->actor;
	before = w->now_unix_ms - (step->days ? step->days : policy->log_retention_days) * DAY_MS;
	for (enum victims_of kind = 0; kind < VICTIM_KINDS; kind++) {
		ROW(VictimRow) * *victims;
		size_t count;

		if (step->days && kinds[kind].is_by_policy_alone)
			continue;
		r = find(w, kind, before, policy->execution_log_keep, &victims, &count);
		if (r != 0)
			return r;
		if (count > 0)
			return take(w, step, kind, before, victims, count);
	}
	return step->days ? 0 : store_rollup_expire(w->tx);
}

static int do_step(struct registry *reg, uint32_t days, const struct actor *actor,
		   uint64_t *ret_rows, bool *ret_more, struct err *err)
{
	const struct step step = { days, actor, ret_rows, ret_more }, *p = &step;

	return work_system(reg, run_step, &p, err);
}

/* ---- when somebody asks --------------------------------------------------------------------------- */

int retention_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteActivityRequest) *in = message;
	PB(DeleteActivityReply) reply = MCPBOX__V1__DELETE_ACTIVITY_REPLY__INIT;
	bool is_given = in->retention_days_opt_case;
	uint64_t until = clock_mono_ms() + ASKED_MS, rows;
	bool more = true;

	reply.retention_days = is_given ? in->retention_days : DAYS_DEFAULT;
	if (reply.retention_days < 1 || reply.retention_days > DAYS_MAX)
		return err_set_field(err, ERR_INVALID, "retention_days", NULL,
				     "retention_days must be from 1 to %d", DAYS_MAX);
	while (more && clock_mono_ms() < until) {
		int r = do_step(w->reg, reply.retention_days, w->actor, &rows, &more, err);

		if (r < 0)
			return r;
		reply.deleted_count += rows;
	}
	reply.more = more;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- the thread ----------------------------------------------------------------------------------- */

struct retention {
	struct registry *reg;
	uint32_t every_ms;
	pthread_t thread;
	pthread_mutex_t lock; /* guards is_stopping */
	pthread_cond_t changed;
	bool is_stopping;
};

/* False: it is time to stop. */
static bool wait_ms(struct retention *r, uint64_t ms)
{
	struct timespec until;
	bool go_on;
	int waited = 0;

	clock_abs_after((uint32_t)ms, &until);
	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping && waited == 0)
		waited = pthread_cond_timedwait(&r->changed, &r->lock, &until);
	go_on = !r->is_stopping;
	pthread_mutex_unlock(&r->lock);
	return go_on;
}

static void *work_off(void *arg)
{
	struct retention *r = arg;

	while (wait_ms(r, r->every_ms)) {
		bool more = true;

		while (more) {
			uint64_t began_ms = clock_mono_ms(), rows;
			struct err err = { 0 };

			if (do_step(r->reg, 0, NULL, &rows, &more, &err) < 0) {
				log_warn("retention.failed", F_ERR(&err));
				more = false;
			}
			err_done(&err);
			/* Half of the time belongs to others. */
			if (more && !wait_ms(r, clock_mono_ms() - began_ms))
				return NULL;
		}
	}
	return NULL;
}

struct retention *retention_start(struct registry *reg, uint32_t every_ms)
{
	struct retention *r = mem_alloc(sizeof(*r));
	pthread_condattr_t clock;
	pthread_attr_t attr;

	r->reg = reg;
	r->every_ms = every_ms;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &clock);
	pthread_condattr_destroy(&clock);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1024 * 1024);
	if (pthread_create(&r->thread, &attr, work_off, r) != 0)
		box_bug("no thread");
	pthread_attr_destroy(&attr);
	return r;
}

void retention_stop(struct retention *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
