#include <stdatomic.h>
#include "err.h"
#include "mem.h"
#include "metrics.h"

#define CLASSES 5 /* 1xx .. 5xx */

struct cell {
	_Atomic uint64_t answers[CLASSES];
	_Atomic uint64_t duration_us;
};

struct metrics {
	size_t routes;
	struct cell *cells;
};

struct metrics *metrics_new(size_t routes)
{
	struct metrics *m = mem_alloc(sizeof(*m));

	m->routes = routes;
	m->cells = mem_alloc_array(routes, sizeof(*m->cells));
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	free(m->cells);
	free(m);
}

void metrics_count(struct metrics *m, size_t route, int status, uint64_t duration_us)
{
	box_assert(route < m->routes && status >= 100 && status < 600);
	atomic_fetch_add_explicit(&m->cells[route].answers[status / 100 - 1], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&m->cells[route].duration_us, duration_us, memory_order_relaxed);
}

void metrics_write(const struct metrics *m, size_t route, const char *method, const char *pattern,
		   struct buf *ret)
{
	const struct cell *cell = &m->cells[route];
	uint64_t total = 0;

	for (unsigned i = 0; i < CLASSES; i++) {
		uint64_t n = atomic_load_explicit(&cell->answers[i], memory_order_relaxed);

		total += n;
		if (n > 0)
			buf_printf(ret,
				   "mcpbox_http_requests_total{method=\"%s\",handler=\"%s\","
				   "status=\"%uxx\"} %llu\n",
				   method, pattern, i + 1, (unsigned long long)n);
	}
	if (total == 0)
		return;
	buf_printf(ret, "mcpbox_http_request_seconds_sum{method=\"%s\",handler=\"%s\"} %.6f\n",
		   method, pattern,
		   (double)atomic_load_explicit(&cell->duration_us, memory_order_relaxed) / 1e6);
	buf_printf(ret, "mcpbox_http_request_seconds_count{method=\"%s\",handler=\"%s\"} %llu\n",
		   method, pattern, (unsigned long long)total);
}
