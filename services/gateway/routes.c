/* HTTP paths, and what is judged before any of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "endpoint.h"
#include "gateway.h"
#include "mem.h"
#include "metrics.h"

#define PREFLIGHT_HEADERS                                                                         \
	"Content-Type, Accept, Authorization, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, " \
	"Mcp-Name, Last-Event-ID"
#define METHODS "GET, POST, DELETE, OPTIONS"

static bool is_endpoint(const char *path)
{
	return strncmp(path, "/mcp", 4) == 0 && (path[4] == '\0' || path[4] == '/');
}

/* text: a constant without anything that JSON escapes.  The error has no id: nothing was read yet. */
static bool refuse(struct http_request *rq, int status, const char *text)
{
	char body[160];
	int len = snprintf(body, sizeof(body),
			   "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"%s\"}}",
			   text);

	metrics_count(METRIC_REQUESTS_REFUSED);
	http_respond(rq, status, "application/json", body, (size_t)len);
	return false;
}

/* Rows 1 and 2: a page that a browser loaded elsewhere must not reach this machine's port. */
static bool guard_origin(struct http_request *rq, const struct gateway *gw)
{
	const char *host = http_header(rq, "Host");
	const char *origin = http_header(rq, "Origin");

	if (!origin_host_allowed(&gw->origins, host))
		return refuse(rq, 403, "Forbidden: unknown Host");
	if (http_header_count(rq, "Origin") > 1 || !origin_allowed(&gw->origins, origin, host))
		return refuse(rq, 403, "Forbidden: unknown Origin");
	if (origin) {
		http_add_header(rq, "Access-Control-Allow-Origin", origin);
		http_add_header(rq, "Access-Control-Expose-Headers",
				"Mcp-Session-Id, WWW-Authenticate");
		http_add_header(rq, "Vary", "Origin");
	}
	return true;
}

static bool guard_method(struct http_request *rq)
{
	static const char *const allowed[] = { "POST", "GET", "DELETE", "OPTIONS" };

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (strcmp(http_method(rq), allowed[i]) == 0)
			return true;
	}
	http_add_header(rq, "Allow", METHODS);
	return refuse(rq, 405, "Method Not Allowed");
}

static bool guard_rate(struct http_request *rq, const struct gateway *gw)
{
	char seconds[16], key[CALLERS_KEY_SIZE];
	uint32_t wait_s;

	callers_rate_key(gw->callers, http_header(rq, "Authorization"), http_remote(rq), key);
	wait_s = ratelimit_take(gw->ratelimit, key, clock_mono_ms());
	if (wait_s == 0)
		return true;
	(void)snprintf(seconds, sizeof(seconds), "%" PRIu32, wait_s);
	http_add_header(rq, "Retry-After", seconds);
	return refuse(rq, 429, "Too Many Requests");
}

static bool guard(struct http_request *rq, void *service)
{
	const struct gateway *gw = service;

	if (!guard_origin(rq, gw))
		return false;
	if (!is_endpoint(http_path(rq)))
		return true;
	if (!guard_method(rq))
		return false;
	return strcmp(http_method(rq), "POST") != 0 || guard_rate(rq, gw);
}

static void handle_options(struct http_request *rq, void *service, const void *arg)
{
	const char *asked = http_header(rq, "Access-Control-Request-Headers");

	(void)service;
	(void)arg;
	http_add_header(rq, "Allow", METHODS);
	if (http_header(rq, "Origin")) {
		http_add_header(rq, "Access-Control-Allow-Methods", METHODS);
		/* Echoed, because a wildcard would not cover Authorization and Mcp-Param-* have any
		 * name. */
		http_add_header(rq, "Access-Control-Allow-Headers",
				asked ? asked : PREFLIGHT_HEADERS);
		http_add_header(rq, "Access-Control-Max-Age", "600");
	}
	http_respond(rq, 204, NULL, NULL, 0);
}

static void handle_health(struct http_request *rq, void *service, const void *arg)
{
	struct gateway *gw = service;
	BOX_CLEANUP(catalog_unrefp) struct catalog *c = tool_map_get(gw->map);
	struct executors_count x = executors_count(gw->executors);
	uint64_t silence_ms = bus_registry_silence_ms(gw->bus);
	bool is_loaded = catalog_is_loaded(c);
	bool is_ok = is_loaded && silence_ms < 2000 && x.answering > 0;
	struct buf b = BUF_INIT(4096);

	(void)arg;
	buf_printf(&b,
		   "{\"status\":\"%s\",\"service\":\"gateway\",\"instance\":\"%s\",\"version\":"
		   "\"" BOX_VERSION "\","
		   "\"registry\":\"%s\",\"state_seq\":%" PRIu64 ",\"tools\":%zu,"
		   "\"executors\":{\"listed\":%zu,\"answering\":%zu}}",
		   is_ok       ? "ok"
		   : is_loaded ? "degraded"
			       : "starting",
		   gw->service.instance, silence_ms < 2000 ? "connected" : "unavailable",
		   catalog_state_seq(c), catalog_tool_count(c), x.listed, x.answering);
	/* 503 only until there is something to serve: a gateway without a registry goes on serving.
	 */
	http_respond(rq, is_loaded ? 200 : 503, "application/json", b.data, b.len);
	buf_done(&b);
}

static void add_gauge(struct buf *b, const char *name, const char *help, uint64_t value)
{
	buf_printf(b,
		   "# HELP mcpbox_gateway_%s %s\n# TYPE mcpbox_gateway_%s gauge\nmcpbox_gateway_%s "
		   "%" PRIu64 "\n",
		   name, help, name, name, value);
}

static void handle_metrics(struct http_request *rq, void *service, const void *arg)
{
	struct gateway *gw = service;
	BOX_CLEANUP(catalog_unrefp) struct catalog *c = tool_map_get(gw->map);
	struct executors_count x = executors_count(gw->executors);
	struct buf b = BUF_INIT(65536);

	(void)arg;
	metrics_add_text(&b);
	add_gauge(&b, "calls_running", "Tool calls in progress", calls_running(gw->calls));
	add_gauge(&b, "calls_waiting", "Tool calls that wait for an executor", x.waiting);
	add_gauge(&b, "streams", "Open streams that wait for changes",
		  listeners_count(gw->listeners));
	add_gauge(&b, "tools", "Published tools", catalog_tool_count(c));
	add_gauge(&b, "executors", "Executors that answer", x.answering);
	add_gauge(&b, "spool_pending", "Call records not yet with the registry",
		  spool_pending(gw->spool));
	add_gauge(&b, "registry_silence_ms", "Time since the registry was heard of",
		  bus_registry_silence_ms(gw->bus));
	buf_add_str(&b,
		    "# HELP mcpbox_gateway_bus_refused_total Frames without an answer, by cause\n"
		    "# TYPE mcpbox_gateway_bus_refused_total counter\n");
	for (int cause = 0; cause < REFUSED_COUNT; cause++)
		buf_printf(&b, "mcpbox_gateway_bus_refused_total{cause=\"%s\"} %" PRIu64 "\n",
			   bus_refusal_name((enum bus_refusal)cause),
			   bus_refused(gw->bus, (enum bus_refusal)cause));
	http_respond(rq, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
	buf_done(&b);
}

/* clang-format off */
static const struct http_route routes[] = {
	/* method     path             handler          arg   largest body */
	{ "POST",    "/mcp",          endpoint_post,   NULL, ENDPOINT_BODY_MAX },
	{ "GET",     "/mcp",          endpoint_get,    NULL, 0 },
	{ "DELETE",  "/mcp",          endpoint_delete, NULL, 0 },
	{ "OPTIONS", "/mcp",          handle_options,  NULL, 0 },
	{ "POST",    "/mcp/{server}", endpoint_post,   NULL, ENDPOINT_BODY_MAX },
	{ "GET",     "/mcp/{server}", endpoint_get,    NULL, 0 },
	{ "DELETE",  "/mcp/{server}", endpoint_delete, NULL, 0 },
	{ "OPTIONS", "/mcp/{server}", handle_options,  NULL, 0 },
	{ "GET",     "/health",       handle_health,   NULL, 0 },
	{ "GET",     "/metrics",      handle_metrics,  NULL, 0 },
};

/* On every answer.  Caching is the handlers' to say: streams and JSON differ. */
static const char *const headers[] = {
	"X-Content-Type-Options",  "nosniff",
	"X-Frame-Options",         "DENY",
	"Referrer-Policy",         "strict-origin-when-cross-origin",
	"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'",
	NULL,
};
/* clang-format on */

int routes_start(struct gateway *gw, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *listen = mem_printf("%s:%u", gw->cfg.listen_host, gw->cfg.port);
	const struct http_config config = {
		.listen = listen,
		.routes = routes,
		.route_count = ARRAY_LEN(routes),
		.service = gw,
		.threads = gw->cfg.threads,
		/* Listing and management must find a worker while all calls that are allowed run.
		 */
		.workers = gw->cfg.calls + 32,
		/* Listeners take half at most, so a call finds a place when it becomes a stream. */
		.max_streams = gw->cfg.threads - 8,
		.guard = guard,
		.headers = headers,
	};

	return http_server_start(&config, &gw->http, err);
}
