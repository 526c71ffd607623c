#include "admin.h"
#include "feed.h"
#include "log.h"
#include "mem.h"
#include "routes.h"

/* Handlers wait for the registry most of the time; browsers open six connections each. */
#define HTTP_THREADS 512 /* connections; each costs a small stack */
#define HTTP_WORKERS 16

/* contract 8.4; the content security policy depends on the path (guard). */
static const char *const common_headers[] = {
	"X-Content-Type-Options",
	"nosniff",
	"X-Frame-Options",
	"DENY",
	"X-XSS-Protection",
	"0", /* the filter itself was exploitable; today's advice is to turn it off */
	"Cache-Control",
	"no-store",
	"Referrer-Policy",
	"strict-origin-when-cross-origin",
	"Cross-Origin-Opener-Policy",
	"same-origin",
	"Cross-Origin-Resource-Policy",
	"same-origin",
	"Permissions-Policy",
	"camera=(), geolocation=(), microphone=()",
	NULL,
};

static bool guard(struct http_request *rq, void *service)
{
	const struct admin *a = service;
	struct err err = { 0 };
	const struct origin_facts facts = {
		.method = http_method(rq),
		.host = http_header(rq, "Host"),
		.origin = http_header(rq, "Origin"),
		.fetch_site = http_header(rq, "Sec-Fetch-Site"),
	};

	http_add_header(rq, "Content-Security-Policy",
			routes_is_api(http_path(rq))
				? "default-src 'none'; frame-ancestors 'none'"
				: "default-src 'self'; base-uri 'none'; form-action 'self'; "
				  "object-src 'none'; frame-ancestors 'none'");
	if (origin_check(&a->names, &facts, &err) == 0)
		return true;
	http_respond_err(rq, &err);
	return false;
}

static void on_status(void *arg, const PB(Status) * status)
{
	const struct admin *a = arg;

	feed_status(a->feed, status->audit_seq);
}

static int start_bus(struct admin *a, struct err *err)
{
	const struct bus_config config = {
		.keys = a->keys,
		.instance = a->service.instance,
		.registry_addrs = a->cfg.registry_addr,
		.slots = a->cfg.bus_peers,
		.tls = a->tls,
	};
	const struct bus_news news = { .on_status = on_status, .arg = a };
	int r = bus_new(&config, &a->bus, err);

	return r == 0 ? bus_news_start(a->bus, &news, err) : r;
}

static int start_http(struct admin *a, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *listen = mem_printf("%s:%u", a->cfg.listen_host, (unsigned)a->cfg.port);
	const struct http_config config = {
		.listen = listen,
		.routes = a->http_routes,
		.route_count = routes_count(),
		.service = a,
		.threads = HTTP_THREADS,
		.workers = HTTP_WORKERS,
		.max_streams = FEED_CLIENTS_MAX,
		.guard = guard,
		.headers = common_headers,
	};

	return http_server_start(&config, &a->http, err);
}

static int start_parts(struct admin *a, struct err *err)
{
	const char *const readable[] = { a->cfg.web_dir, NULL };
	int r = keys_load(a->cfg.keys_file, &a->keys, err);

	if (r == 0)
		r = bus_tls_load(a->cfg.bus_tls_cert, a->cfg.bus_tls_ca, &a->tls, err);
	if (r == 0)
		r = origin_names_init(&a->names, a->cfg.listen_host, a->cfg.host_names, err);
	if (r == 0)
		r = service_confine(readable, NULL, err); /* before the first foreign byte */
	if (r == 0)
		r = start_bus(a, err);
	if (r == 0) {
		feed_start(a->feed, a->bus);
		r = start_http(a, err);
	}
	return r;
}

int admin_start(struct admin *a)
{
	struct err err = { 0 };
	int r;

	service_harden();
	a->feed = feed_new();
	a->metrics = metrics_new(routes_count());
	a->http_routes = routes_for_http();
	r = start_parts(a, &err);
	if (r < 0)
		log_error("admin.start_failed", F_ERR(&err));
	else
		log_info("admin.started", F_UINT("port", http_server_port(a->http)));
	return r;
}

void admin_stop(struct admin *a)
{
	if (a->http)
		http_server_stop(a->http);
	feed_stop(a->feed);
	if (a->bus)
		bus_stop(a->bus);
	feed_free(a->feed); /* the bus told it of news until now */
	metrics_free(a->metrics);
	free(a->http_routes);
	origin_names_done(&a->names);
	keys_free(a->keys);
	cfg_free(admin_info.rows, admin_info.row_count, &a->cfg);
}
