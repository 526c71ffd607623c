/* Counters of the gateway, as /metrics shows them.  Any thread. */
#pragma once

#include <stdint.h>
#include "buf.h"

enum metric {
	METRIC_REQUESTS_MODERN,
	METRIC_REQUESTS_LEGACY,
	METRIC_REQUESTS_REFUSED, /* answered with an HTTP error before a method ran */
	METRIC_CALLS_OK,
	METRIC_CALLS_TOOL_ERROR, /* the executor reported something else than OK */
	METRIC_CALLS_CANCELLED,
	METRIC_CALLS_LOST,    /* may have run */
	METRIC_CALLS_REFUSED, /* not started */
	METRIC_MANAGEMENT_OK,
	METRIC_MANAGEMENT_ERROR,
	METRIC_LIST_CHANGED_SENT,
	METRIC_COUNT
};

void metrics_count(enum metric m);
uint64_t metrics_get(enum metric m);
void metrics_add_text(struct buf *b); /* Prometheus text format */
