/* The executor as its handlers see it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include "blobs.h"
#include "bus.h"
#include "calls.h"
#include "egress_link.h"
#include "executor_cfg.h"
#include "pool.h"
#include "service.h"

#define INSPECT_MAX     4u    /* checks of code at once; they do not count as calls */
#define INSPECT_WAITING 8u    /* that wait for one of those to end */
#define INSPECT_WAIT_MS 2000u /* so long; the registry lets nobody have all of them */

struct executor {
	struct service service;
	struct executor_cfg cfg;
	struct keys *keys;
	struct bus_tls *tls;
	struct pool *pool;
	struct blobs *blobs;
	struct calls *calls;
	struct bus *bus;
	struct egress_link link;
	char work_addr[64], control_addr[64];
	struct buf layers_json, missing_json;
	pthread_mutex_t inspect_lock; /* guards the two below */
	pthread_cond_t inspect_ended;
	uint32_t inspections, inspections_waiting;
	atomic_bool is_draining;
};

extern const struct bus_route executor_work_routes[], executor_control_routes[];
extern const size_t executor_work_route_count, executor_control_route_count;
/* bus_news.on_status: ends calls of revoked permits. */
void executor_on_status(void *arg, const PB(Status) * status);
