#include "bus.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "bus_lines.h"
#include "bus_slots.h"
#include "bus_tls.h"
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "mem.h"
#include "parse.h"

#define SLOTS_MAX 1024

/* ---- threads and waiting -------------------------------------------------------------------- */

pthread_t bus_thread(const char *name, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	box_assert(pthread_attr_init(&attr) == 0);
	box_assert(pthread_attr_setstacksize(&attr, BUS_STACK_SIZE) == 0);
	if (pthread_create(&thread, &attr, run, arg) != 0)
		box_bug("no thread for %s", name);
	(void)pthread_setname_np(thread, name);
	(void)pthread_attr_destroy(&attr);
	return thread;
}

void bus_sync_init(pthread_mutex_t *lock, pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	box_assert(pthread_mutex_init(lock, NULL) == 0);
	box_assert(pthread_condattr_init(&attr) == 0);
	box_assert(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	box_assert(pthread_cond_init(cond, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
}

void bus_sync_wait(pthread_mutex_t *lock, pthread_cond_t *cond, uint32_t ms)
{
	struct timespec until;

	clock_abs_after(ms, &until);
	(void)pthread_cond_timedwait(cond, lock, &until);
}

uint32_t bus_remaining_ms(uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();

	return now >= deadline_ms ? 0 : (uint32_t)(deadline_ms - now);
}

/* ---- addresses ------------------------------------------------------------------------------ */

static const char *const schemes[] = { "tcp://", "tls+tcp://" };

static const char *scheme_of(const char *url)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return schemes[i];
	return NULL;
}

int bus_check_address(const char *url, struct err *err)
{
	const char *scheme = scheme_of(url);
	const char *port = strrchr(url, ':');
	uint64_t number;

	if (strncmp(url, "ipc://", 6) == 0)
		return err_set(err, ERR_INVALID,
			       "ipc:// is not offered: one client that closes while it connects "
			       "ends the listener for good (nng 1.5); use tcp:// on loopback");
	if (!scheme)
		return err_set(err, ERR_INVALID, "a bus address begins with tcp:// or tls+tcp://");
	if (strlen(url) >= BUS_ADDR_SIZE)
		return err_set(err, ERR_TOO_LARGE, "the bus address is too long");
	if (port <= url + strlen(scheme) || parse_u64(port + 1, 0, UINT16_MAX, &number) < 0)
		return err_set(err, ERR_INVALID, "a bus address ends in host:port");
	return 0;
}

static int place_read(const struct bus *b, const char *text, struct place *place, struct err *err)
{
	char url[sizeof(place->host)];
	uint64_t port;
	char *colon;
	int r;

	r = snprintf(url, sizeof(url), "%s%s", strstr(text, "://") ? "" : "tcp://", text);
	if (r < 0 || (size_t)r >= sizeof(url))
		return err_set(err, ERR_TOO_LARGE, "the registry's address is too long");
	r = tls_check_address(b->tls, url, err);
	if (r < 0)
		return r;
	colon = strrchr(url, ':');
	/* The two ports after it belong to the registry as well. */
	if (parse_u64(colon + 1, 1, UINT16_MAX - 2, &port) < 0)
		return err_set(err, ERR_INVALID, "the registry's port is 1 to 65533");
	*colon = '\0';
	memcpy(place->host, url, sizeof(url));
	place->port = (uint16_t)port;
	return 0;
}

static int places_read(struct bus *b, const char *addrs, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *copy = mem_strdup(addrs);
	char *rest = copy;

	for (char *one; (one = strsep(&rest, ","));) {
		int r;

		if (b->place_count == PLACES_MAX)
			return err_set(err, ERR_TOO_LARGE, "at most %d registry addresses",
				       PLACES_MAX);
		r = place_read(b, one, &b->places[b->place_count], err);
		if (r < 0)
			return r;
		b->place_count++;
	}
	return 0;
}

void bus_registry_url(const struct bus *b, uint32_t which, enum bus_port port,
		      char ret[BUS_ADDR_SIZE])
{
	const struct place *place = &b->places[which % b->place_count];

	(void)snprintf(ret, BUS_ADDR_SIZE, "%s:%u", place->host, place->port + (unsigned)port);
}

const PB(Principal) * bus_principal(const PB(Principal) * given)
{
	static const PB(Principal) system_principal = {
		.base = PROTOBUF_C_MESSAGE_INIT(&mcpbox__v1__principal__descriptor),
		.kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM,
		.id = (char *)protobuf_c_empty_string,
		.remote = (char *)protobuf_c_empty_string,
	};

	return given ? given : &system_principal;
}

/* ---- life ----------------------------------------------------------------------------------- */

const uint8_t *bus_boot_id(const struct bus *b)
{
	return b->boot_id;
}

enum bus_role bus_self(const struct bus *b)
{
	return b->self;
}

const char *bus_instance(const struct bus *b)
{
	return b->instance;
}

const struct keys *bus_keys(const struct bus *b)
{
	return b->keys;
}

int bus_new(const struct bus_config *config, struct bus **ret, struct err *err)
{
	struct bus *b = mem_alloc(sizeof(*b));
	int r;

	b->keys = config->keys;
	b->self = keys_role(config->keys);
	(void)snprintf(b->instance, sizeof(b->instance), "%s", config->instance);
	crypto_random(b->boot_id, sizeof(b->boot_id));
	b->tls = config->tls;
	r = places_read(b, config->registry_addrs, err);
	if (r == 0 && (config->slots < 4 || config->slots > SLOTS_MAX))
		r = err_set(err, ERR_INVALID, "the bus has 4 to %d slots", SLOTS_MAX);
	if (r == 0 && config->tls)
		r = tls_arm(config->tls, err);
	if (r < 0) {
		free(b);
		return r;
	}
	refusals_init(b);
	answering_init(b);
	servers_init(b);
	news_init(b);
	b->lines = lines_new();
	r = slots_start(config->slots, b->tls, &b->slots, err);
	if (r < 0)
		return r;
	*ret = b;
	return 0;
}

static void leave(struct bus *b)
{
	PB(LeaveRequest) request = MCPBOX__V1__LEAVE_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = 500, .repeatable = true };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;

	request.boot_id = pb_bytes(b->boot_id, sizeof(b->boot_id));
	if (bus_ask_registry(b, MSG_LEAVE, &request.base, &opts, &reply, NULL) < 0)
		log_info("bus.left_unannounced");
}

void bus_stop(struct bus *b)
{
	if (!b || atomic_load(&b->is_stopping))
		return;
	if (b->lease) {
		lease_stop(b);
		leave(b);
	}
	atomic_store(&b->is_stopping, true);
	servers_stop(b);
	refusals_stop(b);
	news_stop(b);
	lines_stop(b->lines);
	slots_stop(b->slots);
}
