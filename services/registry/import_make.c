/*
 * Rows of what a file holds.  The rule: nothing runs by being imported.  Tools wait for review whatever they were;
 * requests keep their status only from a file that this instance's key signed, and hosts in private networks not
 * even then; secrets are places without a value; faster but weaker settings are off.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "canon.h"
#include "checks.h"
#include "hosts.h"
#include "id.h"
#include "import.h"
#include "module_names.h"
#include "parse.h"
#include "tools.h"

static char *new_id(struct work *w)
{
	char id[ID_TEXT_SIZE];

	id_new(id);
	return arena_str(&w->arena, id);
}

static const char *known_status(const struct plan *plan, const char *status)
{
	if (plan->file.is_verified &&
	    (strcmp(status, "approved") == 0 || strcmp(status, "rejected") == 0))
		return status;
	return "pending";
}

/* Who asked, "" for nobody known; a stranger's file could name anybody.  in_file: NULL when it names none. */
static const char *asker(const struct work *w, const struct plan *plan, const char *in_file)
{
	if (!plan->file.is_verified)
		return w->actor->author;
	return in_file ? in_file : "";
}

/* ---- names --------------------------------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 60 };

const char *import_name(struct arena *a, const char *kind, const char *raw)
{
	char *name = arena_alloc(a, NAME_MAX_BYTES + 1);
	bool is_server = strcmp(kind, "server") == 0;
	size_t len = 0;

	for (const char *c = raw; *c && len < NAME_MAX_BYTES; c++) {
		char lower = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
		bool is_word = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');

		if (len == 0 && lower >= '0' && lower <= '9') {
			name[len++] = *kind;
			name[len++] = '_';
		}
		if (is_word)
			name[len++] = lower;
		else if (len > 0 && name[len - 1] != '_')
			name[len++] = '_';
	}
	while (len > 0 && name[len - 1] == '_')
		len--;
	name[len] = '\0';
	if (len == 0)
		return NULL;
	if (strncmp(name, "mcpbox", 6) == 0 ||
	    (is_server && (strcmp(name, "health") == 0 || strcmp(name, "internal") == 0)))
		return arena_printf(a, "%c_%.*s", *kind, NAME_MAX_BYTES - 2, name);
	return name;
}

int import_free_name(struct work *w, const char *name, const char **ret)
{
	bool is_taken;
	int r = store_server_named(w->tx, name, &is_taken);

	*ret = name;
	for (unsigned i = 1; r == 0 && is_taken; i++) {
		char suffix[24] = "_imported";
		int room;

		if (i > 1)
			(void)snprintf(suffix, sizeof(suffix), "_imported_%u", i);
		room = NAME_MAX_BYTES - (int)strlen(suffix);
		while (room < (int)strlen(name) && name[room - 1] == '_')
			room--;
		*ret = arena_printf(&w->arena, "%.*s%s", room, name, suffix);
		r = store_server_named(w->tx, *ret, &is_taken);
	}
	return r;
}

/* ---- hosts ---------------------------------------------------------------------------------------- */

/* Where rows of a request belong: a tool, or (tool NULL) the server itself. */
struct owner {
	const char *server_id, *server_name;
	const PB(Tool) * tool;
};

static int parse_host(const ROW(FileHost) * in, struct host_entry *ret, struct err *err)
{
	char text[600];
	bool is_ipv6 = in->host[0] != '[' && strchr(in->host, ':') &&
		       strchr(in->host, ':') != strrchr(in->host, ':');
	int r;

	(void)snprintf(text, sizeof(text), is_ipv6 ? "[%s]" : "%s", in->host);
	r = host_parse(text, strlen(text), ret, err);
	if (r < 0 || !in->port_opt_case)
		return r;
	if (in->port < 1 || in->port > 65535 || (ret->port && ret->port != in->port))
		return err_set(err, ERR_INVALID, "its port is not from 1 to 65535");
	ret->port = in->port;
	return 0;
}

static void fill_host(struct work *w, const struct plan *plan, const ROW(FileHost) * in,
		      const struct host_entry *h, const struct owner *o, PB(NetworkRequest) * n)
{
	bool is_private =
		h->is_private || h->needs_private || in->private_requested || in->allow_private;
	const char *status = is_private ? "pending" : known_status(plan, in->status);

	n->id = new_id(w);
	n->server_id = arena_str(&w->arena, o->server_id);
	if (o->tool) {
		n->tool_id_opt_case = MCPBOX__V1__NETWORK_REQUEST__TOOL_ID_OPT_TOOL_ID;
		n->tool_id = o->tool->id;
	}
	n->host = arena_str(&w->arena, h->host);
	n->port = h->port;
	n->port_opt_case = h->port ? MCPBOX__V1__NETWORK_REQUEST__PORT_OPT_PORT : 0;
	n->private_requested = is_private;
	n->justification = in->justification.len ? in->justification : pb_text("Imported");
	n->methods = in->methods;
	n->n_methods = in->n_methods;
	n->path_prefixes = in->path_prefixes;
	n->n_path_prefixes = in->n_path_prefixes;
	n->requested_by = (char *)(uintptr_t)asker(w, plan, in->requested_by);
	n->requested_by_opt_case =
		n->requested_by[0] ? MCPBOX__V1__NETWORK_REQUEST__REQUESTED_BY_OPT_REQUESTED_BY : 0;
	n->source = arena_str(&w->arena, o->tool ? "llm" : "admin");
	n->status = arena_str(&w->arena, status);
	if (strcmp(status, "pending") == 0)
		return;
	n->reviewed_by_opt_case = MCPBOX__V1__NETWORK_REQUEST__REVIEWED_BY_OPT_REVIEWED_BY;
	n->reviewed_by =
		arena_str(&w->arena, in->reviewed_by_opt_case ? in->reviewed_by : w->actor->name);
	n->reviewed_at_unix_ms = w->now_unix_ms;
	if (strcmp(status, "rejected") != 0)
		return;
	n->rejection_reason_opt_case =
		MCPBOX__V1__NETWORK_REQUEST__REJECTION_REASON_OPT_REJECTION_REASON;
	n->rejection_reason =
		in->rejection_reason.len ? in->rejection_reason : pb_text("Imported as rejected");
}

/* A second pending row of one tool, or a second row of an administrator, is the first one over again. */
static bool is_repeated(const struct host_entry *hosts, size_t count, const struct host_entry *h)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(hosts[i].host, h->host) == 0 && hosts[i].port == h->port)
			return true;
	return false;
}

static int make_host(struct work *w, const struct plan *plan, const ROW(FileHost) * in,
		     const struct host_entry *h, const struct owner *o)
{
	PB(NetworkRequest) n = MCPBOX__V1__NETWORK_REQUEST__INIT;
	int r;

	fill_host(w, plan, in, h, o, &n);
	r = store_network_create(w->tx, &n);
	if (r == 0 && n.rejection_reason_opt_case)
		r = store_network_save(w->tx, &n);
	if (r == 0 && strcmp(n.status, "approved") == 0)
		work_audit(w, "host.approved", "host", n.id, "ok",
			   json_pack("{s:s, s:i, s:b, s:s, s:s, s:s}", "host", n.host, "port",
				     (int)n.port, "private", 0, "server_id", n.server_id, "status",
				     n.status, "by", "import"));
	return r;
}

static int make_hosts(struct work *w, struct plan *plan, ROW(FileHost) *const *hosts, size_t count,
		      const struct owner *o, struct made *made)
{
	struct host_entry *seen = arena_array(&w->arena, count + 1, sizeof(*seen));
	size_t seen_count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct host_entry *h = &seen[seen_count];
		struct err why = { 0 };

		if (parse_host(hosts[i], h, &why) < 0 ||
		    check_text("justification", hosts[i]->justification, TEXT_MAX, &why) < 0) {
			note_add(w, &plan->warnings, "server '%s': host '%.100s' is left out: %s",
				 o->server_name, hosts[i]->host, why.text);
			continue;
		}
		if (is_repeated(seen, seen_count++, h))
			continue;
		r = make_host(w, plan, hosts[i], h, o);
		made->hosts += r == 0;
	}
	return r;
}

/* ---- modules -------------------------------------------------------------------------------------- */

static void fill_module(struct work *w, const struct plan *plan, const ROW(FileModule) * in,
			char *name, PB(ModuleRequest) * m)
{
	const char *status = known_status(plan, in->status);

	m->id = new_id(w);
	m->module_name = name;
	m->justification = in->justification.len ? in->justification : pb_text("Imported");
	m->requested_by = (char *)(uintptr_t)asker(w, plan, in->requested_by);
	m->requested_by_opt_case =
		m->requested_by[0] ? MCPBOX__V1__MODULE_REQUEST__REQUESTED_BY_OPT_REQUESTED_BY : 0;
	m->status = arena_str(&w->arena, status);
	if (strcmp(status, "pending") == 0)
		return;
	m->reviewed_by_opt_case = MCPBOX__V1__MODULE_REQUEST__REVIEWED_BY_OPT_REVIEWED_BY;
	m->reviewed_by =
		arena_str(&w->arena, in->reviewed_by_opt_case ? in->reviewed_by : w->actor->name);
	m->reviewed_at_unix_ms = w->now_unix_ms;
	if (strcmp(status, "rejected") != 0)
		return;
	m->rejection_reason_opt_case =
		MCPBOX__V1__MODULE_REQUEST__REJECTION_REASON_OPT_REJECTION_REASON;
	m->rejection_reason =
		in->rejection_reason.len ? in->rejection_reason : pb_text("Imported as rejected");
}

/* The list of modules is one for all servers: whoever changes it has every spec built anew. */
static int keep_module(struct work *w, PB(ModuleRequest) * m)
{
	int r = store_module_create(w->tx, m);

	if (r == 0 && m->rejection_reason_opt_case)
		r = store_module_save(w->tx, m);
	if (r != 0 || strcmp(m->status, "approved") != 0)
		return r;
	work_audit(w, "module.approved", "module", m->id, "ok",
		   json_pack("{s:s, s:s, s:s}", "module_name", m->module_name, "status", m->status,
			     "by", "import"));
	return store_specs_forget(w->tx);
}

static char *module_name(struct work *w, struct plan *plan, const ROW(FileModule) * in)
{
	struct err why = { 0 };
	char *name = module_name_read(&w->arena, "module_name", pb_text(in->module_name), &why);

	if (name && check_text("justification", in->justification, TEXT_MAX, &why) < 0)
		name = NULL;
	if (!name)
		note_add(w, &plan->warnings, "module '%.100s' is left out: %s", in->module_name,
			 why.text);
	return name;
}

static int make_modules(struct work *w, struct plan *plan, const ROW(FileTool) * in,
			const struct owner *o, struct made *made)
{
	const char **names = arena_array(&w->arena, in->n_module_requests + 1, sizeof(*names));
	int r = 0;

	for (size_t i = 0; r == 0 && i < in->n_module_requests; i++) {
		PB(ModuleRequest) m = MCPBOX__V1__MODULE_REQUEST__INIT;
		char *name = module_name(w, plan, in->module_requests[i]);
		bool is_repeated = false;

		for (size_t k = 0; name && k < i; k++)
			is_repeated |= names[k] && strcmp(names[k], name) == 0;
		names[i] = name;
		if (!name || is_repeated)
			continue;
		fill_module(w, plan, in->module_requests[i], name, &m);
		m.tool_id_opt_case = MCPBOX__V1__MODULE_REQUEST__TOOL_ID_OPT_TOOL_ID;
		m.tool_id = o->tool->id;
		m.server_id_opt_case = MCPBOX__V1__MODULE_REQUEST__SERVER_ID_OPT_SERVER_ID;
		m.server_id = arena_str(&w->arena, o->server_id);
		m.source = arena_str(&w->arena, "llm");
		r = keep_module(w, &m);
		made->modules += r == 0;
	}
	return r;
}

int import_make_module(struct work *w, struct plan *plan, const ROW(FileModule) * in,
		       struct made *made, const char **ret_status)
{
	PB(ModuleRequest) m = MCPBOX__V1__MODULE_REQUEST__INIT;
	char *name = module_name(w, plan, in);
	bool is_listed = !name || module_is_default(name);
	int r = is_listed ? 0 : store_module_listed(w->tx, name, &is_listed);

	*ret_status = "";
	if (r < 0 || is_listed)
		return r;
	fill_module(w, plan, in, name, &m);
	m.source = arena_str(&w->arena, "admin");
	r = keep_module(w, &m);
	made->modules += r == 0;
	*ret_status = m.status;
	return r;
}

/* ---- tools ---------------------------------------------------------------------------------------- */

static void version_row(struct work *w, const ROW(FileVersion) * in, ROW(VersionRow) * v)
{
	mcpbox__rows__version_row__init(v);
	v->version = in->version;
	v->name = in->name;
	v->description = in->description;
	v->title = in->title;
	v->enabled = in->enabled;
	v->timeout_ms = in->timeout_ms;
	v->limits = in->limits_json;
	v->python_code = in->python_code;
	v->input_schema = in->input_schema_json;
	v->output_schema = in->output_schema_json;
	v->annotations = in->annotations_json;
	v->code_dependencies = in->code_dependencies;
	v->n_code_dependencies = in->n_code_dependencies;
	v->change_summary = in->change_summary;
	v->change_source = in->change_source;
	v->created_by = arena_str(&w->arena, in->created_by_opt_case ? in->created_by : "");
}

/* Versions before the head, word for word; what they hash to is counted here and not believed. */
static int recall_versions(struct work *w, const struct plan_tool *t, const PB(Tool) * tool)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i + 1 < t->in->n_versions; i++) {
		uint8_t *hash = arena_alloc(&w->arena, CRYPTO_HASH_SIZE);
		ROW(VersionRow) v;

		version_row(w, t->in->versions[i], &v);
		v.id = new_id(w);
		v.tool_id = tool->id;
		canon_content_hash(&v, hash);
		v.content_hash = pb_bytes(hash, CRYPTO_HASH_SIZE);
		r = store_version_create(w->tx, &v);
	}
	return r;
}

static int recall_decisions(struct work *w, const struct plan_tool *t, const PB(Tool) * tool)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->in->n_decisions; i++)
		r = store_decision_recall(w->tx, tool->id, t->in->decisions[i]);
	return r;
}

void import_as_new(const struct plan_tool *t, PB(CreateToolRequest) * ret)
{
	const ROW(FileVersion) *head = t->head;

	mcpbox__v1__create_tool_request__init(ret);
	ret->name = (char *)(uintptr_t)t->name;
	ret->python_code = head->python_code;
	ret->description = head->description;
	ret->title = head->title;
	ret->timeout_ms = head->timeout_ms;
	ret->timeout_ms_opt_case =
		head->timeout_ms_opt_case
			? MCPBOX__V1__CREATE_TOOL_REQUEST__TIMEOUT_MS_OPT_TIMEOUT_MS
			: 0;
	ret->limits_json = head->limits_json;
	ret->input_schema_json = head->input_schema_json;
	ret->output_schema_json = head->output_schema_json;
	ret->annotations_json = head->annotations_json;
	ret->code_dependencies = head->code_dependencies;
	ret->n_code_dependencies = head->n_code_dependencies;
}

static int make_head(struct work *w, const struct plan *plan, const struct plan_tool *t,
		     PB(Tool) * tool)
{
	PB(CreateToolRequest) c;
	ROW(VersionRow) v;

	import_as_new(t, &c);
	w->inspected = t->seen;
	tool_version_of_new(w, &c, &v);
	/* Our own file says all there is to say, also what is empty. */
	if (plan->file.is_own) {
		v.description = t->head->description;
		v.output_schema = t->head->output_schema_json;
	}
	return tool_store_version(
		w, tool, &v, "import",
		arena_printf(&w->arena, "Imported, format %s", plan->file.version));
}

static void make_pending(struct work *w, const struct plan_tool *t, PB(Tool) * tool)
{
	tool->approval_status = arena_str(&w->arena, "pending_review");
	tool->approval_requested_at_unix_ms = w->now_unix_ms;
	if (!t->in->publish_notes_opt_case || t->in->publish_notes.len == 0)
		return;
	tool->publish_notes_opt_case = MCPBOX__V1__TOOL__PUBLISH_NOTES_OPT_PUBLISH_NOTES;
	tool->publish_notes = t->in->publish_notes;
}

/* History comes along only under this instance's own signature: else it would be somebody's word. */
static bool takes_history(const struct plan *plan)
{
	return plan->file.is_own && plan->file.is_verified;
}

static int make_tool(struct work *w, struct plan *plan, const struct plan_tool *t,
		     const PB(Server) * server, struct made *made, struct err *err)
{
	PB(Tool) tool = MCPBOX__V1__TOOL__INIT;
	const struct owner owner = { server->id, server->name, &tool };
	int r;

	tool.id = new_id(w);
	tool.server_id = server->id;
	tool.name = arena_str(&w->arena, t->name);
	tool.enabled = t->in->enabled;
	tool.current_version = takes_history(plan) ? t->head->version : 1;
	if (w->actor->author[0]) {
		tool.created_by_opt_case = MCPBOX__V1__TOOL__CREATED_BY_OPT_CREATED_BY;
		tool.created_by = arena_str(&w->arena, w->actor->author);
	}
	r = tool_insert(w, server, &tool, err);
	if (r == 0 && takes_history(plan))
		r = recall_versions(w, t, &tool);
	if (r == 0)
		r = make_head(w, plan, t, &tool);
	if (r == 0 && takes_history(plan))
		r = recall_decisions(w, t, &tool);
	if (r != 0)
		return r;
	make_pending(w, t, &tool);
	r = store_tool_save(w->tx, &tool);
	if (r == 0)
		r = make_modules(w, plan, t->in, &owner, made);
	if (r == 0)
		r = make_hosts(w, plan, t->in->network_access_requests,
			       t->in->n_network_access_requests, &owner, made);
	made->tools += r == 0;
	return r;
}

/* ---- secrets, server ------------------------------------------------------------------------------ */

static bool is_key(const char *key)
{
	size_t len = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= 255 && key[len] == '\0' && !(key[0] >= '0' && key[0] <= '9');
}

static int make_secrets(struct work *w, struct plan *plan, const struct plan_server *s,
			const PB(Server) * server)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->in->n_secrets; i++) {
		const ROW(FileSecret) *in = s->in->secrets[i];
		PB(Secret) secret = MCPBOX__V1__SECRET__INIT;
		struct err why = { 0 };
		bool is_twice = false;

		for (size_t k = 0; k < i; k++)
			is_twice |= strcmp(s->in->secrets[k]->key_name, in->key_name) == 0;
		if (is_twice || !is_key(in->key_name) ||
		    check_text("description", in->description, TEXT_MAX, &why) < 0) {
			note_add(w, &plan->warnings, "server '%s': secret '%.100s' is left out",
				 server->name, in->key_name);
			continue;
		}
		secret.id = new_id(w);
		secret.server_id = server->id;
		secret.key_name = in->key_name;
		secret.mode = arena_str(&w->arena, "inject");
		secret.description = in->description;
		secret.description_opt_case =
			in->description_opt_case ? MCPBOX__V1__SECRET__DESCRIPTION_OPT_DESCRIPTION
						 : 0;
		r = store_secret_create(w->tx, &secret);
	}
	if (r == 0 && s->in->n_secrets)
		note_add(w, &plan->warnings,
			 "server '%s': its %zu secrets have no values yet; an administrator sets "
			 "them",
			 server->name, s->in->n_secrets);
	return r;
}

static int make_row(struct work *w, const struct plan_server *s, PB(Server) * server)
{
	int r;

	server->id = new_id(w);
	server->description = s->in->description;
	server->description_opt_case =
		s->in->description_opt_case ? MCPBOX__V1__SERVER__DESCRIPTION_OPT_DESCRIPTION : 0;
	server->default_timeout_ms = s->in->default_timeout_ms;
	server->status = arena_str(&w->arena, "imported");
	if (w->actor->author[0]) {
		server->owner_opt_case = MCPBOX__V1__SERVER__OWNER_OPT_OWNER;
		server->owner = arena_str(&w->arena, w->actor->author);
	}
	r = store_server_create(w->tx, server);
	if (r == 0)
		r = store_server_save(w->tx, server);
	return r == 0 ? store_import_add(w->tx, server->id,
					 (struct bytes){ s->digest, sizeof(s->digest) })
		      : r;
}

static json_t *tools_detail(const struct plan_server *s)
{
	json_t *names = json_array();

	for (size_t i = 0; i < s->tool_count; i++)
		(void)json_array_append_new(names, json_string(s->tools[i].name));
	return names;
}

static void audit_server(struct work *w, const struct plan *plan, const struct plan_server *s,
			 const PB(Server) * server, const struct made *made)
{
	char sha256[2 * CRYPTO_HASH_SIZE + 1];

	format_hex(plan->file.sha256, sizeof(plan->file.sha256), sha256);
	work_audit(w, "server.imported", "server", server->id, "ok",
		   json_pack("{s:s, s:s, s:s, s:b, s:s, s:o, s:i, s:i}", "name", server->name,
			     "name_in_file", s->in->name, "format", plan->file.version, "verified",
			     (int)plan->file.is_verified, "sha256", sha256, "tools",
			     tools_detail(s), "hosts", (int)made->hosts, "modules",
			     (int)made->modules));
}

int import_make_server(struct work *w, struct plan *plan, const struct plan_server *s,
		       struct made *made, const char **ret_name, struct err *err)
{
	PB(Server) server = MCPBOX__V1__SERVER__INIT;
	struct made own = { 0 };
	struct owner owner = { 0 };
	int r = import_free_name(w, s->name, ret_name);

	server.name = arena_str(&w->arena, *ret_name);
	if (r == 0)
		r = make_row(w, s, &server);
	owner = (struct owner){ server.id, server.name, NULL };
	for (size_t i = 0; r == 0 && i < s->tool_count; i++)
		r = make_tool(w, plan, &s->tools[i], &server, &own, err);
	if (r == 0)
		r = make_hosts(w, plan, s->in->hosts, s->in->n_hosts, &owner, &own);
	if (r == 0)
		r = make_secrets(w, plan, s, &server);
	if (r != 0)
		return r;
	if (s->in->warm_reuse)
		note_add(w, &plan->warnings,
			 "server '%s': warm reuse was on where it came from; it is off here",
			 server.name);
	audit_server(w, plan, s, &server, &own);
	made->servers++;
	made->tools += own.tools;
	made->modules += own.modules;
	made->hosts += own.hosts;
	return 0;
}
