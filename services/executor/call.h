/* One call, as the table of calls sees it. */
#pragma once

#include "calls.h"
#include "events.h"
#include "refusals.h"
#include "run.h"
#include "secrets.h"

#define CALL_ID_MAX 128

struct call {
	struct calls *all;
	const struct calls_config *config; /* borrowed from all */
	atomic_uint refs;
	char id[CALL_ID_MAX];
	char permit_id[CALL_ID_MAX];
	struct buf permit;      /* packed SignedPermit; only with a grant */
	struct blob *grant;     /* or NULL */
	PB(ToolSpec) * spec;    /* own */
	uint8_t *arguments;     /* own */
	struct secrets secrets; /* until it is done */
	bool wants_progress;
	char log_level[16];
	struct job job; /* points into the above */
	struct run run;
	struct run_hooks hooks;
	uint64_t received_us;
	/* guarded by calls.lock */
	struct call *next; /* of those that run, or of those that are kept */
	uint64_t done_ms;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct events events;
	struct refusals refusals;
	bool is_done;
	struct result result;
	struct wire_ended ended;
	uint64_t judged_us;
};

/* One reference, the caller's. */
int call_new(struct calls *all, const struct calls_config *config, const struct call_order *order,
	     struct call **ret, struct err *err) BOX_MUST_CHECK;
static inline void call_unrefp(struct call **p)
{
	call_unref(*p);
}
/* Goes on with it as run_step does; true: it is done. */
bool call_step(struct call *call, uint64_t until_mono_ms, bool is_foreground);
/* Ends it, unless it is done. */
void call_cancel(struct call *call, const char *reason);
void call_init_condition(pthread_cond_t *cond);
