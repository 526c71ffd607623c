/*
 * The admin service: one more door onto the registry, for people.  HTTP in, questions on the bus
 * out; it decides nothing and keeps nothing, so any number may run and any may die.
 */
#pragma once

#include "admin_cfg.h"
#include "bus.h"
#include "http_server.h"
#include "keys.h"
#include "metrics.h"
#include "origin.h"
#include "service.h"

struct feed;

struct admin {
	struct service service;
	struct admin_cfg cfg;
	struct keys *keys;
	struct bus_tls *tls;
	struct bus *bus;
	struct origin_names names;
	struct http_route *http_routes; /* made of the table in routes.c */
	struct metrics *metrics;
	struct feed *feed;
	struct http_server *http;
};

/* After service_init().  On failure admin_stop() cleans up. */
int admin_start(struct admin *a) BOX_MUST_CHECK;
void admin_stop(struct admin *a);
