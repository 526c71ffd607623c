/* The registry: owns every rule of state, the database, the signing key, the audit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "crypto.h"
#include "data_keys.h"
#include "handlers.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "parse.h"
#include "registry.h"
#include "retention.h"
#include "status.h"
#include "trials.h"
#include "work.h"

enum { KEY_GENERATION = 1, SPARE_CONNECTIONS = 5 /* follower, control, expiry, retention */ };

/* ---- keys ---------------------------------------------------------------------------------------- */

static int open_keys(struct registry *reg, struct secret **ret_root, struct err *err)
{
	struct secret *root = secret_new(NULL, CRYPTO_KEY_SIZE);

	if (parse_hex((const char *)reg->cfg.encryption_key->data, root->data, CRYPTO_KEY_SIZE) <
	    0) {
		secret_free(root);
		return err_set(err, ERR_INVALID, "MCPBOX_ENCRYPTION_KEY must be 64 hex digits");
	}
	*ret_root = root;
	reg->first_data_key = secret_new(NULL, CRYPTO_KEY_SIZE);
	crypto_derive(root->data, DATA_KEY_FIRST_LABEL, reg->first_data_key->data);
	reg->wrap_key = secret_new(NULL, CRYPTO_KEY_SIZE);
	crypto_derive(root->data, DATA_KEY_WRAP_LABEL, reg->wrap_key->data);
	return keys_from_root(root, KEY_GENERATION, &reg->keys, err);
}

/* ---- storage ------------------------------------------------------------------------------------- */

static int wait_for_database(struct registry *reg, struct err *err)
{
	uint64_t until = clock_mono_ms() + reg->cfg.db_wait_ms;
	int r;

	for (;;) {
		r = store_migrate(reg->store, err);
		if (r != -ERR_UNAVAILABLE || clock_mono_ms() >= until)
			return r;
		clock_sleep_ms(200);
	}
}

struct key_check {
	uint8_t value[CRYPTO_HASH_SIZE];
	bool is_same;
};

static int compare_key(struct work *w, const void *in, struct err *err)
{
	struct key_check *check = *(struct key_check *const *)in;

	(void)err;
	return store_key_check(w->tx, (struct bytes){ check->value, sizeof(check->value) },
			       &check->is_same);
}

/* A wrong key would not fail until the first secret; so it fails here. */
static int check_key(struct registry *reg, const struct secret *root, struct err *err)
{
	static const char label[] = "mcpbox key check";
	struct key_check check = { .is_same = false }, *p = &check;
	int r;

	crypto_keyed_hash(root->data, label, sizeof(label) - 1, check.value);
	r = work_system(reg, compare_key, &p, err);
	if (r == 0 && !check.is_same)
		r = err_set(
			err, ERR_DENIED,
			"MCPBOX_ENCRYPTION_KEY is not the key that this database was set up with; "
			"nothing was changed. Give the right one, or restore a back-up into a new "
			"data directory; if the key is lost, so are the values of secrets");
	return r;
}

static int open_storage(struct registry *reg, const struct secret *root, struct err *err)
{
	int r = store_new((const char *)reg->cfg.db_url->data, reg->cfg.workers + SPARE_CONNECTIONS,
			  reg->cfg.db_statement_ms, &reg->store, err);

	if (r == 0)
		r = wait_for_database(reg, err);
	if (r == 0)
		r = check_key(reg, root, err);
	if (r == 0)
		r = status_new(reg, &reg->status, err);
	return r == 0 ? trials_end_open(reg, err) : r;
}

/* ---- bus ----------------------------------------------------------------------------------------- */

/* "host:port[,...]" or with scheme; news at port + 1, control at port + 2.  Listens on the first. */
static int listen_at(const char *addr, unsigned plus, char ret[128], struct err *err)
{
	size_t len = strcspn(addr, ",");
	const char *scheme = strstr(addr, "://") ? "" : "tcp://";
	BOX_CLEANUP(mem_freep) char *first = mem_strndup(addr, len);
	char *colon = strrchr(first, ':');
	uint64_t port;

	if (!colon || parse_u64(colon + 1, 1, 65533, &port) < 0)
		return err_set(err, ERR_INVALID, "MCPBOX_REGISTRY_ADDR must be host:port");
	*colon = '\0';
	(void)snprintf(ret, 128, "%s%s:%u", scheme, first, (unsigned)port + plus);
	return bus_check_address(ret, err);
}

static int serve(struct registry *reg, bool control, unsigned plus,
		 struct bus_route routes[HANDLERS_MAX], struct err *err)
{
	struct bus_server server = { .is_control = control,
				     .capacity = control ? 4 : reg->cfg.workers,
				     .routes = routes,
				     .route_count = handlers_routes(control, routes),
				     .service = reg,
				     .authorize = work_authorize,
				     .finished = work_finished };
	char at[128], real[128];
	int r = listen_at(reg->cfg.registry_addr, plus, at, err);

	server.listen = at;
	return r == 0 ? bus_serve_start(reg->bus, &server, real, sizeof(real), err) : r;
}

struct refused {
	enum bus_refusal cause;
	const char *remote;
	uint64_t count;
};

static int audit_refused(struct work *w, const void *in, struct err *err)
{
	const struct refused *f = in;

	(void)err;
	work_audit(w, "bus.refused", "address", f->remote, "refused",
		   json_pack("{s:s, s:I}", "cause", bus_refusal_name(f->cause), "count",
			     (json_int_t)f->count));
	return 0;
}

static bool on_refused(void *arg, enum bus_refusal cause, const char *remote, uint64_t count)
{
	struct refused f = { cause, remote, count };
	struct err err = { 0 };

	int r = work_system(arg, audit_refused, &f, &err);

	if (r < 0)
		log_warn("bus.refusal_not_audited", F_ERR(&err));
	err_done(&err);
	return r == 0;
}

static int open_bus(struct registry *reg, struct err *err)
{
	/* The bus borrows its routes for as long as it serves. */
	static struct bus_route work_routes[HANDLERS_MAX], control_routes[HANDLERS_MAX];
	struct bus_config config = { .keys = reg->keys,
				     .instance = reg->service.instance,
				     .registry_addrs = reg->cfg.registry_addr,
				     .slots = reg->cfg.bus_peers,
				     .tls = reg->tls };
	char news[128];
	int r = bus_new(&config, &reg->bus, err);

	if (r == 0)
		bus_on_refused(reg->bus, on_refused, reg);
	if (r == 0)
		r = listen_at(reg->cfg.registry_addr, 1, news, err);
	if (r == 0)
		r = bus_publish_start(reg->bus, news, err);
	if (r == 0)
		r = serve(reg, true, 2, control_routes, err);
	if (r == 0)
		r = serve(reg, false, 0, work_routes, err);
	if (r == 0) {
		status_start(reg->status);
		reg->retention = retention_start(reg, reg->cfg.retention_ms);
	}
	return r;
}

/* No file of its own; only what a TLS connection to the database may need, where there is any. */
static int confine(struct err *err)
{
	const char *home = getenv("HOME");
	char postgresql[512];
	const char *const read_only[] = { postgresql, NULL };

	(void)snprintf(postgresql, sizeof(postgresql), "%s/.postgresql", home ? home : "");
	return service_confine(access(postgresql, R_OK) == 0 ? read_only : NULL, NULL, err);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static int registry_start(struct registry *reg)
{
	BOX_CLEANUP(secret_freep) struct secret *root = NULL;
	struct err err = { 0 };
	int r;

	json_start();
	r = crypto_start();
	if (r == 0)
		r = open_keys(reg, &root, &err);
	if (r == 0)
		r = bus_tls_load(reg->cfg.bus_tls_cert, reg->cfg.bus_tls_ca, &reg->tls, &err);
	if (r == 0) {
		service_harden();
		r = confine(&err);
	}
	if (r == 0) {
		reg->leases = leases_new(clock_mono_ms());
		r = open_storage(reg, root, &err);
	}
	if (r == 0)
		r = open_bus(reg, &err);
	if (r < 0)
		log_error("registry.not_started", F_ERR(&err));
	err_done(&err);
	return r;
}

static void registry_stop(struct registry *reg)
{
	retention_stop(reg->retention);
	status_stop(reg->status);
	if (reg->bus)
		bus_stop(reg->bus);
	status_free(reg->status);
	leases_free(reg->leases);
	store_free(reg->store);
	secret_free(reg->first_data_key);
	secret_free(reg->wrap_key);
	keys_free(reg->keys);
	cfg_free(registry_cfg_rows, registry_cfg_row_count, &reg->cfg);
}

int main(int argc, char **argv)
{
	static struct registry reg = { .inspect_lock = PTHREAD_MUTEX_INITIALIZER };
	const struct service_info info = { .name = "registry",
					   .rows = registry_cfg_rows,
					   .row_count = registry_cfg_row_count };
	int r = service_init(&reg.service, &info, argc, argv, &reg.cfg);

	if (r == 0)
		r = registry_start(&reg);
	if (r == 0)
		r = service_run(&reg.service);
	registry_stop(&reg);
	return service_exit_code(r);
}
