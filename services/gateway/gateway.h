/* The process: everything that lives as long as it does.  Filled by main.c, read by all others. */
#pragma once

#include "bus.h"
#include "callers.h"
#include "calls.h"
#include "executors.h"
#include "gateway_cfg.h"
#include "http_server.h"
#include "listeners.h"
#include "origin.h"
#include "ratelimit.h"
#include "service.h"
#include "session.h"
#include "spool.h"
#include "tool_map.h"

struct gateway {
	struct service service;
	struct gateway_cfg cfg;
	struct keys *keys;
	struct bus_tls *tls;
	struct bus *bus;
	struct spool *spool;
	struct sessions *sessions;
	struct callers *callers;
	struct executors *executors;
	struct calls *calls;
	struct listeners *listeners;
	struct tool_map *map;
	struct ratelimit *ratelimit;
	struct origin_policy origins;
	struct http_server *http;
};

/* routes.c: start answering HTTP. */
int routes_start(struct gateway *gw, struct err *err) BOX_MUST_CHECK;
