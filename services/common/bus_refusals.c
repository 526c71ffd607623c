/* Bytes that did not prove their sender: counted, and reported at most once a minute per cause and address. */
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define ROWS_MAX        128
#define REPORT_EVERY_MS 60000

/* One cause at one address. */
struct refusal {
	bool is_used;
	enum bus_refusal cause;
	char remote[64]; /* without port: each connection has another */
	uint64_t count;  /* since the last report */
	uint64_t reported_ms;
};

struct refusals {
	_Atomic uint64_t counts[REFUSED_COUNT];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct refusal rows[ROWS_MAX]; /* guarded by lock, like all below */
	bus_refused_fn *on_refused;
	void *on_refused_arg;
	bool is_stopping;
	bool has_reporter;
	pthread_t reporter;
};

static const char *const refusal_names[REFUSED_COUNT] = {
	[REFUSED_SHAPE] = "shape",     [REFUSED_SEAL] = "seal", [REFUSED_REPLAY] = "replay",
	[REFUSED_VERSION] = "version", [REFUSED_ROLE] = "role",
};

const char *bus_refusal_name(enum bus_refusal cause)
{
	return (unsigned)cause < REFUSED_COUNT ? refusal_names[cause] : "unknown";
}

uint64_t bus_refused(const struct bus *b, enum bus_refusal cause)
{
	return atomic_load(&b->refusals->counts[cause]);
}

static struct refusal *refusal_row(struct refusals *all, enum bus_refusal cause, const char *remote)
{
	struct refusal *oldest = &all->rows[0];

	for (size_t i = 0; i < ROWS_MAX; i++) {
		struct refusal *row = &all->rows[i];

		if (!row->is_used) {
			oldest = row;
			break;
		}
		if (row->cause == cause && strcmp(row->remote, remote) == 0)
			return row;
		/* Rows with nothing to tell make room first; a flood of addresses evicts itself. */
		if (row->count == 0 &&
		    (oldest->count > 0 || row->reported_ms < oldest->reported_ms))
			oldest = row;
	}
	*oldest = (struct refusal){ .is_used = true, .cause = cause };
	(void)snprintf(oldest->remote, sizeof(oldest->remote), "%s", remote);
	return oldest;
}

/* What everybody but the registry does with a refusal: have it audited. */
static bool report_to_registry(void *arg, enum bus_refusal cause, const char *remote,
			       uint64_t count)
{
	PB(ReportEventRequest) event = MCPBOX__V1__REPORT_EVENT_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = 2000, .repeatable = true };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	BOX_CLEANUP(mem_freep) char *detail = NULL;
	struct bus *b = arg;

	detail = mem_printf("{\"cause\":\"%s\",\"count\":%llu,\"instance\":\"%s\"}",
			    bus_refusal_name(cause), (unsigned long long)count, b->instance);
	event.topic = (char *)"bus.refused";
	event.object_kind = (char *)"address";
	event.object_id = (char *)(uintptr_t)remote;
	event.outcome = (char *)"refused";
	event.detail_json = pb_text(detail);
	if (bus_ask_registry(b, MSG_REPORT_EVENT, &event.base, &opts, &reply, NULL) == 0)
		return true;
	log_warn("bus.refusal_unaudited", F_STR("cause", bus_refusal_name(cause)));
	return false;
}

void bus_on_refused(struct bus *b, bus_refused_fn *fn, void *arg)
{
	struct refusals *all = b->refusals;

	(void)pthread_mutex_lock(&all->lock);
	all->on_refused = fn;
	all->on_refused_arg = arg;
	(void)pthread_mutex_unlock(&all->lock);
}

static bool refusal_is_due(const struct refusal *row, uint64_t now)
{
	return row->is_used && row->count > 0 &&
	       (row->reported_ms == 0 || now - row->reported_ms >= REPORT_EVERY_MS);
}

/* Called and returns with the lock held; lets go of it around the report. */
static void refusal_report(struct refusals *all, struct refusal *row, uint64_t now)
{
	bus_refused_fn *fn = all->on_refused;
	void *arg = all->on_refused_arg;
	struct refusal copy = *row;

	row->reported_ms = now;
	row->count = 0;
	(void)pthread_mutex_unlock(&all->lock);
	log_warn("bus.refused", F_STR("cause", bus_refusal_name(copy.cause)),
		 F_STR("remote", copy.remote), F_UINT("count", copy.count));
	if (fn(arg, copy.cause, copy.remote, copy.count)) {
		(void)pthread_mutex_lock(&all->lock);
		return;
	}
	/* Nobody took it: it is told with what comes meanwhile, in a minute. */
	(void)pthread_mutex_lock(&all->lock);
	row = refusal_row(all, copy.cause, copy.remote);
	row->count += copy.count;
	row->reported_ms = now;
}

static void *reporter_run(void *arg)
{
	struct refusals *all = arg;

	(void)pthread_mutex_lock(&all->lock);
	while (!all->is_stopping) {
		for (size_t i = 0; i < ROWS_MAX && !all->is_stopping; i++) {
			uint64_t now = clock_mono_ms();

			if (refusal_is_due(&all->rows[i], now))
				refusal_report(all, &all->rows[i], now);
		}
		if (!all->is_stopping)
			bus_sync_wait(&all->lock, &all->changed, 1000);
	}
	(void)pthread_mutex_unlock(&all->lock);
	return NULL;
}

void bus_refuse(struct bus *b, enum bus_refusal cause, const char *remote)
{
	struct refusals *all = b->refusals;
	char host[64];
	char *colon;

	atomic_fetch_add(&all->counts[cause], 1);
	(void)snprintf(host, sizeof(host), "%s", remote);
	colon = strrchr(host, ':');
	if (colon)
		*colon = '\0';
	(void)pthread_mutex_lock(&all->lock);
	refusal_row(all, cause, host)->count++;
	if (!all->has_reporter && !all->is_stopping) {
		all->reporter = bus_thread("bus-refusals", reporter_run, all);
		all->has_reporter = true;
	}
	(void)pthread_cond_signal(&all->changed);
	(void)pthread_mutex_unlock(&all->lock);
}

void refusals_init(struct bus *b)
{
	struct refusals *all = mem_alloc(sizeof(*all));

	b->refusals = all;
	bus_sync_init(&all->lock, &all->changed);
	all->on_refused = report_to_registry;
	all->on_refused_arg = b;
}

void refusals_stop(struct bus *b)
{
	struct refusals *all = b->refusals;

	(void)pthread_mutex_lock(&all->lock);
	all->is_stopping = true;
	(void)pthread_cond_broadcast(&all->changed);
	(void)pthread_mutex_unlock(&all->lock);
	/* Nobody starts it any more. */
	if (all->has_reporter)
		(void)pthread_join(all->reporter, NULL);
}
