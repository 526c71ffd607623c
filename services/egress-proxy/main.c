/* The egress-proxy: the only way out.  One loop thread does the work; the bus and the spool have
 * their own. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "bus.h"
#include "crypto.h"
#include "egress_cfg.h"
#include "json.h"
#include "keys.h"
#include "log.h"
#include "mem.h"
#include "msg.h"
#include "stream.h"

#define SPOOL_STOP_MS 3000

struct egress {
	struct service service;
	struct egress_cfg cfg;
	struct pinned pinned;
	struct dns_server dns;
	struct keys *keys;
	struct bus_tls *tls;
	struct bus *bus;
	struct loop *loop;
	struct exchange_env env;
	struct listener listener;
	pthread_t thread;
	bool thread_runs;
};

/* ---- settings that need more than a row ---- */

static int read_settings(struct egress *e, struct err *err)
{
	int r = dns_parse_server(e->cfg.dns, &e->dns, err);

	return r == 0 ? pinned_parse(e->cfg.pinned_hosts, &e->pinned, err) : r;
}

/* ---- powers ---- */

static void raise_descriptors(void)
{
	struct rlimit limit;

	/* A stream and a connection each for all streams, and some for ourselves. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
		limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash != path ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
}

static int confine(const struct egress_cfg *cfg, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *socket_dir = directory_of(cfg->socket_path);
	const char *const read_write[] = { cfg->spool_dir, socket_dir, NULL };

	/* A directory must be there to be named in a rule. */
	(void)mkdir(cfg->spool_dir, 0700);
	return service_confine(NULL, read_write, err);
}

/* ---- news ---- */

/* On the loop: a stream whose permit was revoked ends now. */
static void take_status(void *arg)
{
	struct egress *e = arg;
	PB(Status) *status = bus_status(e->bus);

	if (!status)
		return;
	own_update(e->env.own, status);
	listener_drop_revoked(&e->listener);
	msg_free(&status->base);
}

static void on_status(void *arg, const PB(Status) * status)
{
	struct egress *e = arg;

	(void)status;
	loop_post(e->loop, take_status, e);
}

static void fill_lease(void *arg, PB(Instance) * instance)
{
	struct egress *e = arg;

	instance->control_addr = e->cfg.socket_path;
	instance->capacity = STREAMS_MAX;
	instance->in_flight = (uint32_t)e->listener.count;
}

/* ---- start and stop ---- */

static int start_bus(struct egress *e, struct err *err)
{
	struct bus_config config = { .instance = e->service.instance,
				     .registry_addrs = e->cfg.registry_addr,
				     .keys = e->keys,
				     .slots = e->cfg.bus_peers,
				     .tls = e->tls };
	int r = bus_new(&config, &e->bus, err);

	e->env.bus = e->bus;
	return r;
}

static int start_spool(struct egress *e, struct err *err)
{
	struct spool_config config = { .root = e->cfg.spool_dir,
				       .bus = e->bus,
				       .sync_ms = e->cfg.audit_sync_ms,
				       .max_bytes = e->cfg.spool_max_bytes,
				       .start_kind = MCPBOX__V1__RECORD__KIND__KIND_EGRESS_STARTED,
				       .end_kind = MCPBOX__V1__RECORD__KIND__KIND_EGRESS };

	return spool_start(&config, &e->env.spool, err);
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static int start_loop(struct egress *e, struct err *err)
{
	int r;

	e->env.resolver = resolver_new(e->loop, &e->pinned, &e->dns);
	e->env.own = own_new(e->loop, e->bus);
	r = listener_start(&e->listener, e->loop, &e->env, e->cfg.socket_path, err);
	if (r < 0)
		return r;
	if (pthread_create(&e->thread, NULL, run_loop, e->loop) != 0)
		return err_set(err, ERR_INTERNAL, "no thread for the event loop");
	e->thread_runs = true;
	return 0;
}

static int start_news(struct egress *e, struct err *err)
{
	const struct bus_news news = { .on_status = on_status, .arg = e };
	int r = bus_news_start(e->bus, &news, err);

	return r == 0 ? bus_lease_start(e->bus, fill_lease, e, err) : r;
}

/* Everything that is read once, then the confinement, all before the first thread. */
static int prepare(struct egress *e, struct err *err)
{
	int r = read_settings(e, err);

	service_harden();
	raise_descriptors();
	e->loop = loop_new();
	e->env.stale_max_ms = e->cfg.stale_max_ms;
	e->env.bodies.max = e->cfg.body_memory_bytes;
	if (r == 0)
		r = fetcher_new(e->loop, e->cfg.ca_file, &e->env.fetcher, err);
	if (r == 0)
		r = keys_load(e->cfg.keys_file, &e->keys, err);
	if (r == 0 && keys_role(e->keys) != ROLE_EGRESS)
		r = err_set(err, ERR_INVALID, "the key file is another role's");
	if (r == 0)
		r = bus_tls_load(e->cfg.bus_tls_cert, e->cfg.bus_tls_ca, &e->tls, err);
	return r == 0 ? confine(&e->cfg, err) : r;
}

static int egress_start(struct egress *e)
{
	struct err err = { 0 };
	int r = prepare(e, &err);

	if (r == 0)
		r = start_bus(e, &err);
	if (r == 0)
		r = start_spool(e, &err);
	if (r == 0)
		r = start_loop(e, &err);
	if (r == 0)
		r = start_news(e, &err);
	if (r < 0)
		log_error("egress.start_failed", F_ERR(&err));
	return r;
}

static void egress_stop(struct egress *e)
{
	if (e->thread_runs) {
		loop_stop(e->loop);
		(void)pthread_join(e->thread, NULL);
	}
	listener_stop(&e->listener);
	if (e->env.spool)
		spool_stop(e->env.spool, SPOOL_STOP_MS);
	if (e->bus)
		bus_stop(e->bus);
	resolver_free(e->env.resolver);
	fetcher_free(e->env.fetcher);
	own_free(e->env.own);
	/* The bus' threads run until the process ends: their keys and the loop they post to stay. */
	pinned_done(&e->pinned);
	cfg_free(egress_info.rows, egress_info.row_count, &e->cfg);
}

int main(int argc, char **argv)
{
	static struct egress e;
	int r = service_init(&e.service, &egress_info, argc, argv, &e.cfg);

	if (r == 0)
		r = egress_start(&e);
	if (r == 0)
		r = service_run(&e.service);
	egress_stop(&e);
	return service_exit_code(r);
}
