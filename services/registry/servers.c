#include "servers.h"

#include <inttypes.h>
#include <string.h>
#include "id.h"
#include "checks.h"
#include "nouns.h"
#include "parse.h"

static const char *const reserved_servers[] = { "health", "internal" };

int name_check(const char *kind, const char *name, struct err *err)
{
	if (name[0] == '\0')
		return err_set_field(err, ERR_INVALID, "name", NULL, "the %s's name is missing",
				     kind);
	if (!text_is_name(name))
		return err_set_field(
			err, ERR_INVALID, "name",
			"small letters and digits in words joined by single underscores, "
			"beginning with a letter, at most 60",
			"'%s' is no valid %s name", name, kind);
	if (strncmp(name, "mcpbox", 6) == 0)
		return err_set_field(err, ERR_INVALID, "name", NULL,
				     "names beginning with mcpbox are reserved");
	for (size_t i = 0; strcmp(kind, "server") == 0 && i < ARRAY_LEN(reserved_servers); i++)
		if (strcmp(name, reserved_servers[i]) == 0)
			return err_set_field(err, ERR_INVALID, "name", NULL,
					     "the name '%s' is reserved", name);
	return 0;
}

static int load_parts(struct work *w, PB(Server) * s)
{
	int r = store_server_tools(w->tx, s->id, &s->tools, &s->n_tools);

	s->tool_count = (uint32_t)s->n_tools;
	if (r == 0)
		r = store_server_pending(w->tx, s->id, &s->pending_requests);
	if (r == 0)
		r = store_server_allowed_hosts(w->tx, s->id, &s->allowed_hosts,
					       &s->n_allowed_hosts);
	return r;
}

int server_load(struct work *w, const char *id, bool lock, PB(Server) * *ret, struct err *err)
{
	int r = work_check_id(err, "server_id", id);

	if (r != 0)
		return r;
	w->object_kind = "server";
	w->object_id = arena_str(&w->arena, id);
	r = store_server_get(w->tx, id, lock, ret);
	if (r == 0)
		r = load_parts(w, *ret);
	return r < 0 ? work_missing(err, r, "server", id) : 0;
}

static int answer_server(struct work *w, const char *id, struct err *err)
{
	PB(GetServerReply) reply = MCPBOX__V1__GET_SERVER_REPLY__INIT;
	int r = server_load(w, id, false, &reply.server, err);

	if (r == 0)
		work_answer(w, &reply.base);
	return r;
}

int server_create(struct work *w, const void *message, struct err *err)
{
	const PB(CreateServerRequest) *in = message;
	PB(CreateServerReply) reply = MCPBOX__V1__CREATE_SERVER_REPLY__INIT;
	PB(Server) server = MCPBOX__V1__SERVER__INIT;
	char id[ID_TEXT_SIZE];
	int r = name_check("server", in->name, err);

	if (r == 0)
		r = check_text("description", in->description, TEXT_MAX, err);
	if (r != 0)
		return r;
	id_new(id);
	server.id = id;
	server.name = in->name;
	server.description = in->description;
	if (w->actor->author[0]) {
		server.owner_opt_case = MCPBOX__V1__SERVER__OWNER_OPT_OWNER;
		server.owner = arena_str(&w->arena, w->actor->author);
	}
	r = store_server_create(w->tx, &server);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, "name", NULL,
				     "there is a server named '%s' already", in->name);
	if (r != 0)
		return r;
	work_audit(w, "server.created", "server", id, "ok", json_pack("{s:s}", "name", in->name));
	reply.success = true;
	reply.id = id;
	reply.name = in->name;
	reply.message =
		work_say(w,
			 "Server '%s' created. Next: add tools with mcpbox_create_tool, have them "
			 "approved, then mcpbox_start_server.",
			 in->name);
	work_answer(w, &reply.base);
	return 0;
}

int server_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListServersRequest) *in = message;
	PB(ListServersReply) reply = MCPBOX__V1__LIST_SERVERS_REPLY__INIT;
	struct page page = work_page(in->page, in->page_size, 50);
	int64_t total = 0;
	int r = store_server_list(w->tx, page, &reply.servers, &reply.n_servers, &total);

	(void)err;
	if (r != 0)
		return r;
	WORK_FILL_PAGE(&reply, page, total);
	work_answer(w, &reply.base);
	return 0;
}

int server_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetServerRequest) *in = message;

	return answer_server(w, in->server_id, err);
}

/* Sets what the request brings; *ret_specs: the specs of its tools speak of something that moved. */
static int apply_update(struct work *w, const PB(UpdateServerRequest) * in, PB(Server) * s,
			bool *ret_specs, struct err *err)
{
	int r = 0;

	if (in->name_opt_case && strcmp(in->name, s->name) != 0) {
		r = name_check("server", in->name, err);
		s->name = arena_str(&w->arena, in->name);
		*ret_specs = true;
	}
	if (r == 0 && in->description_opt_case) {
		r = check_text("description", in->description, TEXT_MAX, err);
		s->description = in->description;
	}
	if (r == 0 && in->default_timeout_ms_opt_case) {
		r = check_timeout("default_timeout_ms", in->default_timeout_ms, err);
		*ret_specs |= s->default_timeout_ms != in->default_timeout_ms;
		s->default_timeout_ms = in->default_timeout_ms;
	}
	return r;
}

/* Locked, and still as the asker saw it, if he said what he saw. */
static int load_to_change(struct work *w, const char *id, bool has_revision, int64_t revision,
			  PB(Server) * *ret, struct err *err)
{
	int r = server_load(w, id, true, ret, err);

	return r == 0 ? work_check_revision(err, has_revision, revision, (*ret)->revision,
					    &(*ret)->base)
		      : r;
}

int server_update(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateServerRequest) *in = message;
	PB(Server) * s;
	bool specs = false;
	int r = load_to_change(w, in->server_id, in->revision_opt_case, in->revision, &s, err);

	if (r == 0)
		r = apply_update(w, in, s, &specs, err);
	if (r != 0)
		return r;
	r = store_server_save(w->tx, s);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, "name", NULL,
				     "there is a server named '%s' already", s->name);
	if (r == 0 && specs)
		r = store_server_forget_specs(w->tx, s->id);
	if (r == 0 && specs)
		r = store_server_forget_grant(w->tx, s->id);
	if (r != 0)
		return r;
	work_audit(w, "server.updated", "server", s->id, "ok",
		   json_pack("{s:s, s:i}", "name", s->name, "default_timeout_ms",
			     (int)s->default_timeout_ms));
	return answer_server(w, in->server_id, err);
}

/* Like hosts a decision of its own: live versions get new specs, not a new review.  Reviews show it. */
int server_set_warm_reuse(struct work *w, const void *message, struct err *err)
{
	const PB(SetWarmReuseRequest) *in = message;
	bool reveals = false;
	PB(Server) * s;
	int r = load_to_change(w, in->server_id, in->revision_opt_case, in->revision, &s, err);

	if (r == 0)
		r = store_server_reveals(w->tx, in->server_id, &reveals);
	if (r == 0 && in->warm_reuse && reveals)
		r = err_set_field(
			err, ERR_STATE, "warm_reuse", "make its secrets injected ones first",
			"server '%s' reveals secrets to its tools; its processes are never "
			"used again",
			s->name);
	if (r != 0)
		return r;
	s->warm_reuse = in->warm_reuse;
	r = store_server_save(w->tx, s);
	if (r == 0)
		r = store_server_forget_specs(w->tx, s->id);
	if (r != 0)
		return r;
	work_audit(w, "server.updated", "server", s->id, "ok",
		   json_pack("{s:s, s:b}", "name", s->name, "warm_reuse", (int)s->warm_reuse));
	return answer_server(w, in->server_id, err);
}

int server_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteServerRequest) *in = message;
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	PB(Server) * s;
	int r = load_to_change(w, in->server_id, in->revision_opt_case, in->revision, &s, err);

	if (r == 0)
		r = store_permits_revoke(w->tx, s->id, NULL);
	if (r == 0)
		r = store_server_delete(w->tx, s->id);
	if (r != 0)
		return r;
	work_audit(w, "server.deleted", "server", s->id, "ok",
		   json_pack("{s:s, s:i}", "name", s->name, "tools", (int)s->tool_count));
	reply.success = true;
	reply.message =
		work_say(w, "Server '%s' and its %u tools are deleted.", s->name, s->tool_count);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- start and stop ------------------------------------------------------------------------------ */

static int set_status(struct work *w, PB(Server) * s, const char *status)
{
	s->status = arena_str(&w->arena, status);
	return store_server_save(w->tx, s);
}

static void answer_state(struct work *w, const PB(Server) * s, int64_t published,
			 ProtobufCBinaryData text)
{
	PB(ServerStateReply) reply = MCPBOX__V1__SERVER_STATE_REPLY__INIT;

	reply.success = true;
	reply.message = text;
	reply.server_id = s->id;
	reply.status = s->status;
	reply.registered_tools = (uint32_t)published;
	work_answer(w, &reply.base);
}

static int may_start(const PB(Server) * s, int64_t published, struct err *err)
{
	if (s->paused)
		return err_set_field(err, ERR_STATE, NULL, "an administrator resumes it",
				     "server '%s' is paused", s->name);
	if (s->tool_count == 0)
		return err_set_field(err, ERR_STATE, NULL, "add one with mcpbox_create_tool",
				     "server '%s' has no tools", s->name);
	if (published == 0)
		return err_set(
			err, ERR_STATE,
			"none of the %u tools of server '%s' is approved and enabled: submit them "
			"with mcpbox_request_publish and wait for an administrator's approval",
			s->tool_count, s->name);
	return 0;
}

static bool is_running(const PB(Server) * s)
{
	return strcmp(s->status, "running") == 0;
}

/* With the tools that are approved and enabled, and no others. */
static int run_server(struct work *w, PB(Server) * s, struct err *err)
{
	int64_t published = 0;
	int r = store_server_published(w->tx, s->id, &published);

	if (r == 0)
		r = may_start(s, published, err);
	if (r == 0)
		r = set_status(w, s, "running");
	if (r != 0)
		return r;
	work_audit(w, "server.started", "server", s->id, "ok",
		   json_pack("{s:s, s:I}", "name", s->name, "tools", (json_int_t)published));
	answer_state(w, s, published,
		     work_say(w,
			      "Server '%s' is running with %" PRId64
			      " tools. Clients are told that the list of "
			      "tools changed; some need a manual refresh.",
			      s->name, published));
	return 0;
}

int server_start(struct work *w, const void *message, struct err *err)
{
	const PB(StartServerRequest) *in = message;
	PB(Server) * s;
	int r = load_to_change(w, in->server_id, in->revision_opt_case, in->revision, &s, err);

	if (r == 0 && is_running(s))
		r = err_set(err, ERR_EXISTS, "server '%s' is already running", s->name);
	return r == 0 ? run_server(w, s, err) : r;
}

int server_restart(struct work *w, const void *message, struct err *err)
{
	const PB(RestartServerRequest) *in = message;
	PB(Server) * s;
	int r = load_to_change(w, in->server_id, in->revision_opt_case, in->revision, &s, err);

	/* Calls that run hold permits of before; they end. */
	if (r == 0)
		r = store_permits_revoke(w->tx, s->id, NULL);
	return r == 0 ? run_server(w, s, err) : r;
}

int server_show_state(struct work *w, const void *message, struct err *err)
{
	const PB(GetServerStateRequest) *in = message;
	int64_t published = 0;
	PB(Server) * s;
	int r = server_load(w, in->server_id, false, &s, err);

	if (r == 0 && is_running(s) && !s->paused)
		r = store_server_published(w->tx, s->id, &published);
	if (r != 0)
		return r;
	answer_state(
		w, s, published,
		work_say(w,
			 "Server '%s': %s%s, %" PRId64 " tools can be called. Its calls are in "
			 "GET /api/servers/%s/execution-logs.",
			 s->name, s->status, s->paused ? " and paused" : "", published, s->id));
	return 0;
}

int server_stop(struct work *w, const void *message, struct err *err)
{
	const PB(StopServerRequest) *in = message;
	PB(Server) * s;
	int r = load_to_change(w, in->server_id, in->revision_opt_case, in->revision, &s, err);

	if (r == 0 && !is_running(s))
		r = err_set(err, ERR_STATE, "server '%s' is not running (status %s)", s->name,
			    s->status);
	if (r == 0)
		r = set_status(w, s, "stopped");
	if (r == 0)
		r = store_permits_revoke(w->tx, s->id, NULL);
	if (r != 0)
		return r;
	work_audit(w, "server.stopped", "server", s->id, "ok", json_pack("{s:s}", "name", s->name));
	answer_state(
		w, s, 0,
		work_say(w, "Server '%s' is stopped; its tools are no longer listed.", s->name));
	return 0;
}
