/* The gateway: speaks MCP to clients, finds tools in memory, lets executors run them. */
#include <string.h>
#include "crypto.h"
#include "gateway.h"
#include "log.h"
#include "upstream.h"

#define TOKEN_MS 3000  /* a client waits for this before its call begins */
#define DRAIN_MS 10000 /* well within the supervisor's patience */

/* News thread: quick, and asks nothing of the bus. */
static void on_status(void *arg, const PB(Status) * status)
{
	struct gateway *gw = arg;

	executors_update(gw->executors, status);
	calls_end_revoked(gw->calls, status);
	tool_map_news(gw->map, status);
}

static void on_map(void *arg, const struct catalog *c)
{
	struct gateway *gw = arg;

	listeners_changed(gw->listeners, c);
	/* The operator's own setting stands above the policy. */
	if (gw->cfg.rate_limit_rpm == 0)
		ratelimit_set(gw->ratelimit, catalog_rate_limit(c));
}

static void fill_lease(void *arg, PB(Instance) * instance)
{
	struct gateway *gw = arg;
	struct catalog *c = tool_map_get(gw->map);

	instance->capacity = gw->cfg.calls;
	instance->in_flight = (uint32_t)calls_running(gw->calls);
	instance->state_seq = catalog_state_seq(c);
	instance->stale = bus_registry_silence_ms(gw->bus) > 1500;
	catalog_unref(c);
}

/* The key of session ids: every gateway of the deployment derives the same one from its key file.
 */
static int open_sessions(struct gateway *gw, struct err *err)
{
	const uint8_t *pair =
		keys_pair(gw->keys, ROLE_GATEWAY, ROLE_REGISTRY, keys_generation(gw->keys));
	uint8_t key[CRYPTO_KEY_SIZE];

	if (!pair)
		return err_set(err, ERR_INVALID, "the key file is not a gateway's");
	crypto_derive(pair, "mcp session", key);
	gw->sessions = sessions_new(key);
	crypto_wipe(key, sizeof(key));
	return 0;
}

static int open_bus(struct gateway *gw, struct err *err)
{
	struct bus_config config = { .instance = gw->service.instance,
				     .registry_addrs = gw->cfg.registry_addr,
				     .slots = gw->cfg.bus_peers };
	int r = keys_load(gw->cfg.keys_file, &gw->keys, err);

	if (r == 0)
		r = bus_tls_load(gw->cfg.bus_tls_cert, gw->cfg.bus_tls_ca, &gw->tls, err);
	if (r < 0)
		return r;
	r = open_sessions(gw, err);
	if (r < 0)
		return r;
	config.keys = gw->keys;
	config.tls = gw->tls;
	return bus_new(&config, &gw->bus, err);
}

static int open_spool(struct gateway *gw, struct err *err)
{
	const struct spool_config config = { .root = gw->cfg.spool_dir,
					     .bus = gw->bus,
					     .sync_ms = gw->cfg.audit_sync_ms,
					     .max_bytes = gw->cfg.spool_max_bytes,
					     .start_kind =
						     MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED,
					     .end_kind =
						     MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED };

	return spool_start(&config, &gw->spool, err);
}

static int ask_token(void *arg, const struct caller *c, ProtobufCMessage **ret, struct err *err)
{
	const PB(CheckTokenRequest) request = MCPBOX__V1__CHECK_TOKEN_REQUEST__INIT;
	struct gateway *gw = arg;

	return upstream_ask_registry(gw->bus, MSG_CHECK_TOKEN, &request.base, c, TOKEN_MS, ret,
				     err);
}

static int64_t registry_now(void *arg)
{
	struct gateway *gw = arg;

	return bus_registry_now(gw->bus);
}

static bool is_silent(void *arg)
{
	struct gateway *gw = arg;

	return bus_registry_silence_ms(gw->bus) > 1500;
}

static void make_parts(struct gateway *gw)
{
	const struct callers_config callers = { .ask = ask_token,
						.arg = gw,
						.registry_now = registry_now,
						.is_silent = is_silent,
						.stale_max_ms = gw->cfg.stale_max_ms };
	const struct calls_config calls = { .bus = gw->bus,
					    .spool = gw->spool,
					    .executors = gw->executors =
						    executors_new(upstream_ping, gw->bus),
					    .stale_max_ms = gw->cfg.stale_max_ms,
					    .max_running = gw->cfg.calls };

	gw->calls = calls_new(&calls);
	gw->listeners = listeners_new(gw->cfg.threads / 2);
	gw->map = tool_map_new(gw->bus, on_map, gw);
	gw->callers = callers_new(&callers);
	gw->ratelimit = ratelimit_new(gw->cfg.rate_limit_rpm);
	gw->origins =
		(struct origin_policy){ .is_loopback = strncmp(gw->cfg.listen_host, "127.", 4) == 0,
					.hosts = gw->cfg.allowed_hosts,
					.origins = gw->cfg.cors_origins };
}

static int start_threads(struct gateway *gw, struct err *err)
{
	const struct bus_news news = { .on_status = on_status, .arg = gw };
	int r = calls_start(gw->calls, err);

	if (r == 0)
		r = executors_start(gw->executors, err);
	if (r == 0)
		r = bus_news_start(gw->bus, &news, err);
	if (r == 0)
		r = tool_map_start(gw->map, err);
	if (r == 0)
		r = bus_lease_start(gw->bus, fill_lease, gw, err);
	return r;
}

static int gateway_start(struct gateway *gw)
{
	const char *const writable[] = { gw->cfg.spool_dir, NULL };
	struct err why = { 0 };
	int r = open_bus(gw, &why);

	if (r == 0)
		r = open_spool(gw, &why);
	if (r == 0)
		r = service_confine(NULL, writable, &why);
	if (r == 0) {
		make_parts(gw);
		r = start_threads(gw, &why);
	}
	/* Last: from here on strangers speak to us. */
	if (r == 0)
		r = routes_start(gw, &why);
	if (r < 0)
		log_error("gateway.start_failed", F_ERR(&why));
	err_done(&why);
	return r;
}

/* The mirror image; fine after half a start. */
static void gateway_stop(struct gateway *gw)
{
	listeners_stop(gw->listeners);
	calls_drain(gw->calls, DRAIN_MS);
	if (gw->http)
		http_server_stop(gw->http);
	tool_map_stop(gw->map);
	executors_stop(gw->executors);
	calls_stop(gw->calls);
	if (gw->spool)
		spool_stop(gw->spool, 2000);
	if (gw->bus)
		bus_stop(gw->bus);
	listeners_free(gw->listeners);
	ratelimit_free(gw->ratelimit);
	callers_free(gw->callers);
	sessions_free(gw->sessions);
	/* Keys, settings, map, executors and calls stay: the news thread of the bus outlives it. */
}

int main(int argc, char **argv)
{
	static struct gateway gw;
	int r = service_init(&gw.service, &gateway_info, argc, argv, &gw.cfg);

	if (r == 0) {
		service_harden();
		r = gateway_start(&gw);
		if (r == 0)
			r = service_run(&gw.service);
		gateway_stop(&gw);
	}
	return service_exit_code(r);
}
