/* The one object of the process: what main.c starts, in this order, and stops in reverse. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include "bus.h"
#include "id.h"
#include "keys.h"
#include "leases.h"
#include "registry_cfg.h"
#include "service.h"
#include "store.h"

struct inspecting;
struct retention;
struct status;

struct registry {
	struct service service;
	struct registry_cfg cfg;
	struct keys *keys;
	struct secret *
		first_data_key; /* of secrets at rest, before any rotation: derived from the root */
	struct secret *wrap_key; /* seals the others; derived from the root */
	struct bus_tls *tls;
	struct store *store;
	struct bus *bus;
	struct leases *leases;
	struct status *status;
	struct retention *retention;
	pthread_mutex_t inspect_lock;
	struct inspecting *inspecting; /* checks of code that run; guarded by inspect_lock */
};

/* Wall clock that never goes back.  Any thread. */
int64_t registry_now(void);
