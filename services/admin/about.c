#include "about.h"
#include "routes.h"

/* The registry publishes its Status every 500 ms; after so long a silence it is said to be away. */
#define SILENCE_MAX_MS 2000
/* Health is asked often and by those who wait. */
#define DATABASE_ASK_MS 1000

int about_serve_config(struct call *call, struct err *err BOX_UNUSED)
{
	buf_add_str(&call->body, "{\"app_name\":\"MCPBox\",\"app_version\":\"" BOX_VERSION
				 "\",\"auth_required\":true}");
	return 0;
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

static bool has_sandbox(const struct bus *bus)
{
	BOX_CLEANUP(msg_freep) PB(Status) *status = bus_status(bus);

	for (size_t i = 0; status && i < status->n_instances; i++)
		if (status->instances[i]->role == MCPBOX__V1__ROLE__ROLE_EXECUTOR)
			return true;
	return false;
}

static const char *word(bool is_there)
{
	return is_there ? "connected" : "unavailable";
}

int about_serve_health(struct call *call, struct err *err BOX_UNUSED)
{
	struct bus *bus = call->admin->bus;
	bool registry = has_registry(bus);
	bool database = registry && has_database(bus);

	buf_printf(&call->body,
		   "{\"status\":\"%s\",\"version\":\"" BOX_VERSION "\",\"registry\":\"%s\","
		   "\"database\":\"%s\",\"sandbox\":\"%s\"}",
		   database ? "healthy" : "degraded", word(registry), word(database),
		   word(registry && has_sandbox(bus)));
	if (!database)
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
