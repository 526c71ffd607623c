/*
 * Counts of answers, one cell per route and class of status, for GET /metrics (Prometheus text).
 * Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "buf.h"

struct metrics;
struct metrics *metrics_new(size_t routes);
void metrics_free(struct metrics *m);
void metrics_count(struct metrics *m, size_t route, int status, uint64_t duration_us);

/* Append the lines of one route that was asked at least once. */
void metrics_write(const struct metrics *m, size_t route, const char *method, const char *pattern,
		   struct buf *ret);
