#include "about.h"
#include "json_proto.h"
#include "routes.h"

/* The registry publishes its Status every 500 ms; after so long a silence it is said to be away. */
#define SILENCE_MAX_MS 2000
/* Health is asked often and by those who wait. */
#define DATABASE_ASK_MS 1000

int about_serve_config(struct call *call, struct err *err BOX_UNUSED)
{
	PB(AppConfig) answer = MCPBOX__V1__APP_CONFIG__INIT;

	answer.app_name = (char[]){ "MCPBox" };
	answer.app_version = (char[]){ BOX_VERSION };
	answer.auth_required = true;
	msg_to_json(&answer.base, 0, &call->body);
	return 0;
}

void about_write(struct buf *ret)
{
	PB(About) answer = MCPBOX__V1__ABOUT__INIT;

	answer.name = (char[]){ "MCPBox" };
	answer.version = (char[]){ BOX_VERSION };
	answer.docs = (char[]){ "/api/openapi.json" };
	msg_to_json(&answer.base, 0, ret);
}

static bool has_registry(const struct bus *bus)
{
	return bus_registry_silence_ms(bus) <= SILENCE_MAX_MS;
}

/* Asks what cannot be answered without reading a row. */
static bool has_database(struct bus *bus)
{
	PB(AuthStatusRequest) question = MCPBOX__V1__AUTH_STATUS_REQUEST__INIT;
	const struct bus_call_opts opts = { .timeout_ms = DATABASE_ASK_MS, .repeatable = true };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err ignored = { 0 };

	return bus_ask_registry(bus, MSG_AUTH_STATUS, &question.base, &opts, &reply, &ignored) == 0;
}

/* Does one live, as the registry says? */
static bool has_instance(const struct bus *bus, PB(Role) role)
{
	BOX_CLEANUP(msg_freep) PB(Status) *status = bus_status(bus);

	for (size_t i = 0; status && i < status->n_instances; i++)
		if (status->instances[i]->role == role)
			return true;
	return false;
}

static char *word(bool is_there)
{
	static char connected[] = "connected", unavailable[] = "unavailable";

	return is_there ? connected : unavailable;
}

int about_serve_health(struct call *call, struct err *err BOX_UNUSED)
{
	struct bus *bus = call->admin->bus;
	bool registry = has_registry(bus);
	bool database = registry && has_database(bus);
	PB(Health) answer = MCPBOX__V1__HEALTH__INIT;

	answer.status = database ? (char[]){ "healthy" } : (char[]){ "degraded" };
	answer.version = (char[]){ BOX_VERSION };
	answer.registry = word(registry);
	answer.database = word(database);
	answer.sandbox = word(registry && has_instance(bus, MCPBOX__V1__ROLE__ROLE_EXECUTOR));
	msg_to_json(&answer.base, 0, &call->body);
	if (!database)
		call->status = 503;
	return 0;
}

static void fill_service(PB(ServiceHealth) * s, bool is_there)
{
	mcpbox__v1__service_health__init(s);
	s->status = word(is_there);
	s->healthy = is_there;
}

int about_serve_health_detail(struct call *call, struct err *err BOX_UNUSED)
{
	struct bus *bus = call->admin->bus;
	bool registry = has_registry(bus);
	const bool is_there[] = {
		registry,
		registry && has_database(bus),
		registry && has_instance(bus, MCPBOX__V1__ROLE__ROLE_EXECUTOR),
		registry && has_instance(bus, MCPBOX__V1__ROLE__ROLE_GATEWAY),
		registry && has_instance(bus, MCPBOX__V1__ROLE__ROLE_EGRESS),
	};
	PB(HealthServices) services = MCPBOX__V1__HEALTH_SERVICES__INIT;
	PB(HealthDetail) answer = MCPBOX__V1__HEALTH_DETAIL__INIT;
	PB(ServiceHealth) each[ARRAY_LEN(is_there)];
	PB(ServiceHealth) * *const places[] = { &services.registry, &services.database,
						&services.sandbox, &services.gateway,
						&services.egress_proxy };
	bool all = true;

	for (size_t i = 0; i < ARRAY_LEN(is_there); i++) {
		fill_service(&each[i], is_there[i]);
		*places[i] = &each[i];
		all = all && is_there[i];
	}
	answer.status = all ? (char[]){ "healthy" } : (char[]){ "degraded" };
	answer.version = (char[]){ BOX_VERSION };
	answer.services = &services;
	msg_to_json(&answer.base, 0, &call->body);
	if (!all)
		call->status = 503;
	return 0;
}

int about_serve_metrics(struct call *call, struct err *err BOX_UNUSED)
{
	call->content_type = "text/plain; version=0.0.4; charset=utf-8";
	buf_add_str(&call->body, "# TYPE mcpbox_http_requests_total counter\n"
				 "# TYPE mcpbox_http_request_seconds summary\n");
	for (size_t i = 0; i < routes_count(); i++)
		metrics_write(call->admin->metrics, i, routes_at(i)->method, routes_at(i)->pattern,
			      &call->body);
	buf_printf(&call->body,
		   "# TYPE mcpbox_registry_silence_seconds gauge\n"
		   "mcpbox_registry_silence_seconds %.3f\n",
		   (double)bus_registry_silence_ms(call->admin->bus) / 1e3);
	return 0;
}
