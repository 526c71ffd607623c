/* The executor's supervisor: takes calls from the bus, has them run in sandboxes, gives what came
 * of them. Runs no Python; holds a secret that is revealed to a tool while its call runs, no longer. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "crypto.h"
#include "executor.h"
#include "json.h"
#include "keys.h"
#include "layers.h"
#include "log.h"

#define BLOBS_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define DRAIN_MS        30000u
#define MEMORY_PERCENT  80u /* of the machine's, for the limits of the calls that run */

/* Per call: three channels, eventfd, pidfd, memory, streams; as many processes wait for the next. */
static void raise_descriptors(const struct executor_cfg *cfg)
{
	struct rlimit limit;
	rlim_t want = 1024 + (rlim_t)cfg->capacity * 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < want) {
		limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_stream(void *arg, const struct call_egress *who, uint32_t remaining_ms,
		       struct err *err)
{
	const struct executor *x = arg;

	return egress_link_open(&x->link, who, remaining_ms, err);
}

/*
 * The pool first: its manager thread starts the workers, which build their own mount trees, and
 * Landlock would forbid them to (a confined process' children may not mount).  Threads made from
 * here on are confined to no files at all: all that a call brings is handled by them.
 */
static int start_sandboxes(struct executor *x, struct err *err)
{
	struct pool_config config = { .worker_path = x->cfg.worker_path,
				      .runtime_dir = x->cfg.runtime_dir,
				      .module_dirs = x->cfg.module_dirs,
				      .cgroup_dirs = x->cfg.cgroup_dirs,
				      .capacity = x->cfg.capacity,
				      .tool_idle_ms = x->cfg.tool_idle_ms,
				      .tools_mb = x->cfg.tools_mb };
	struct calls_config calls = {
		.capacity = x->cfg.capacity,
		.tool_max = calls_share(x->cfg.capacity, x->cfg.tool_share),
		.server_max = calls_share(x->cfg.capacity, x->cfg.server_share),
	};
	int r = layers_parse(x->cfg.sandbox_min, &config.floor, err);

	if (r == 0)
		r = pool_start(&config, &x->pool, err);
	x->missing_json = (struct buf)BUF_INIT(8192);
	if (r == 0) {
		pool_add_missing_json(x->pool, &x->missing_json);
		r = service_confine(NULL, NULL, err);
	}
	if (r < 0)
		return r;
	x->layers_json = (struct buf)BUF_INIT(1024);
	pool_add_layers_json(x->pool, &x->layers_json);
	x->blobs = blobs_new(BLOBS_MAX_BYTES);
	calls.pool = x->pool;
	calls.keys = x->keys;
	calls.memory_mb = pool_machine_mb(x->pool) * MEMORY_PERCENT / 100;
	calls.open_stream = open_stream;
	calls.arg = x;
	x->calls = calls_new(&calls);
	return 0;
}

static int serve(struct executor *x, struct err *err)
{
	struct bus_server work = { .listen = x->cfg.bus_listen,
				   .capacity = 2 * x->cfg.capacity + INSPECT_MAX + INSPECT_WAITING,
				   .has_lines = true,
				   .routes = executor_work_routes,
				   .route_count = executor_work_route_count,
				   .service = x };
	struct bus_server control = { .listen = x->cfg.bus_listen,
				      .is_control = true,
				      .capacity = 4,
				      .routes = executor_control_routes,
				      .route_count = executor_control_route_count,
				      .service = x };
	int r = bus_serve_start(x->bus, &work, x->work_addr, sizeof(x->work_addr), err);

	return r == 0 ? bus_serve_start(x->bus, &control, x->control_addr, sizeof(x->control_addr),
					err)
		      : r;
}

static void fill_lease(void *arg, PB(Instance) * instance)
{
	struct executor *x = arg;

	instance->work_addr = x->work_addr;
	instance->control_addr = x->control_addr;
	instance->capacity = x->cfg.capacity;
	instance->in_flight = calls_in_flight(x->calls);
	instance->draining = atomic_load(&x->is_draining);
	instance->layers_json = pb_bytes(x->layers_json.data, x->layers_json.len);
	instance->missing_json = pb_bytes(x->missing_json.data, x->missing_json.len);
}

static int join_bus(struct executor *x, struct err *err)
{
	struct bus_config config = { .keys = x->keys,
				     .instance = x->service.instance,
				     .registry_addrs = x->cfg.registry_addr,
				     .slots = x->cfg.bus_peers,
				     .tls = x->tls };
	struct bus_news news = { .on_status = executor_on_status, .arg = x };
	int r = bus_new(&config, &x->bus, err);

	if (r < 0)
		return r;
	x->link = (struct egress_link){ .bus = x->bus, .socket_path = x->cfg.egress_socket };
	r = serve(x, err);
	if (r == 0)
		r = bus_news_start(x->bus, &news, err);
	return r == 0 ? bus_lease_start(x->bus, fill_lease, x, err) : r;
}

static int executor_start(struct executor *x)
{
	struct err err = { 0 };
	int r = crypto_start();
	pthread_condattr_t clock;

	(void)pthread_mutex_init(&x->inspect_lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&x->inspect_ended, &clock);
	(void)pthread_condattr_destroy(&clock);
	json_start();
	raise_descriptors(&x->cfg);
	if (r == 0)
		r = keys_load(x->cfg.keys_file, &x->keys, &err);
	if (r == 0)
		r = bus_tls_load(x->cfg.bus_tls_cert, x->cfg.bus_tls_ca, &x->tls, &err);
	service_harden();
	if (r == 0)
		r = start_sandboxes(x, &err);
	if (r == 0)
		r = join_bus(x, &err);
	if (r < 0)
		log_error("executor.start_failed", F_ERR(&err));
	err_done(&err);
	return r;
}

/* New calls are refused at once, the lease says so, and what runs may finish. */
static void executor_drain(struct executor *x)
{
	atomic_store(&x->is_draining, true);
	if (x->calls && !calls_drain(x->calls, DRAIN_MS))
		log_warn("executor.drain_cut", F_UINT("in_flight", calls_in_flight(x->calls)));
}

static void executor_stop(struct executor *x)
{
	executor_drain(x);
	if (x->bus)
		bus_stop(x->bus);
	calls_stop(x->calls);
	pool_stop(x->pool);
	/* Keys, calls, blobs and the lease's texts stay: threads of the bus outlive it (bus.h). */
}

int main(int argc, char **argv)
{
	static struct executor x;
	int r = service_init(&x.service, &executor_info, argc, argv, &x.cfg);

	if (r == 0)
		r = executor_start(&x);
	if (r == 0)
		r = service_run(&x.service);
	executor_stop(&x);
	return service_exit_code(r);
}
