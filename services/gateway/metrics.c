#include "metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_uint_fast64_t values[METRIC_COUNT];

static const struct {
	const char *family, *labels, *help; /* help on the first row of a family */
} rows[METRIC_COUNT] = {
	[METRIC_REQUESTS_MODERN] = { "requests_total", "era=\"modern\"", "MCP requests by era" },
	[METRIC_REQUESTS_LEGACY] = { "requests_total", "era=\"legacy\"", NULL },
	[METRIC_REQUESTS_REFUSED] = { "requests_refused_total", "",
				      "Requests refused before a method ran" },
	[METRIC_CALLS_OK] = { "calls_total", "outcome=\"ok\"", "Tool calls by outcome" },
	[METRIC_CALLS_TOOL_ERROR] = { "calls_total", "outcome=\"tool_error\"", NULL },
	[METRIC_CALLS_CANCELLED] = { "calls_total", "outcome=\"cancelled\"", NULL },
	[METRIC_CALLS_LOST] = { "calls_total", "outcome=\"lost\"", NULL },
	[METRIC_CALLS_REFUSED] = { "calls_total", "outcome=\"not_started\"", NULL },
	[METRIC_MANAGEMENT_OK] = { "management_total", "outcome=\"ok\"",
				   "Management tool calls by outcome" },
	[METRIC_MANAGEMENT_ERROR] = { "management_total", "outcome=\"error\"", NULL },
	[METRIC_LIST_CHANGED_SENT] = { "list_changed_total", "",
				       "list_changed notifications sent" },
};

void metrics_count(enum metric m)
{
	atomic_fetch_add_explicit(&values[m], 1, memory_order_relaxed);
}

uint64_t metrics_get(enum metric m)
{
	return atomic_load_explicit(&values[m], memory_order_relaxed);
}

void metrics_add_text(struct buf *b)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		if (rows[i].help)
			buf_printf(
				b,
				"# HELP mcpbox_gateway_%s %s\n# TYPE mcpbox_gateway_%s counter\n",
				rows[i].family, rows[i].help, rows[i].family);
		buf_printf(b,
			   rows[i].labels[0] ? "mcpbox_gateway_%s{%s} %" PRIu64 "\n"
					     : "mcpbox_gateway_%s%s %" PRIu64 "\n",
			   rows[i].family, rows[i].labels, metrics_get((enum metric)i));
	}
}
