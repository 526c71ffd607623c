/*
 * Servers from a file: read, judged, looked at by an executor, then made in one transaction with their audit rows;
 * so whatever dies in between, each server is here whole or not at all.  docs/operations.md says what is taken.
 */
#include "import.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "checks.h"
#include "inspect.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "nouns.h"
#include "parse.h"
#include "servers.h"
#include "settings.h"
#include "tools.h"

void note_add(struct work *w, struct notes *n, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	if (n->count == IMPORT_NOTES_MAX) {
		n->lost++;
		return;
	}
	if (!n->items)
		n->items = arena_array(&w->arena, IMPORT_NOTES_MAX + 1, sizeof(*n->items));
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n->items[n->count++] = work_say(w, "%s", text);
}

/* ---- judging -------------------------------------------------------------------------------------- */

static const char *refuse(struct work *w, const char *fmt, ...) BOX_PRINTF(2, 3);
static const char *refuse(struct work *w, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_str(&w->arena, text);
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

/* Versions count up to the head, each with what the table wants. */
static bool history_is_sound(const ROW(FileTool) * t)
{
	uint32_t before = 0;

	for (size_t i = 0; i < t->n_versions; i++) {
		const ROW(FileVersion) *v = t->versions[i];

		if (v->version <= before || v->version > INT32_MAX ||
		    !is_one_of(v->change_source, "manual", "import", "rollback"))
			return false;
		before = v->version;
	}
	for (size_t i = 0; i < t->n_decisions; i++)
		if (t->decisions[i]->content_hash.len != CRYPTO_HASH_SIZE ||
		    t->decisions[i]->version > INT32_MAX ||
		    !is_one_of(t->decisions[i]->decision, "approve", "reject", "revoke"))
			return false;
	return true;
}

/* What create_tool would say of it. */
static int check_head(const struct plan_tool *t, struct err *err)
{
	PB(CreateToolRequest) c;

	import_as_new(t, &c);
	return tool_check_new(&c, err);
}

/* Reason to refuse the server, or NULL. */
static const char *judge_tool(struct work *w, struct plan_server *s, struct plan_tool *t)
{
	struct err why = { 0 };
	const char *raw = t->in->name;

	t->name = import_name(&w->arena, "tool", raw);
	if (!t->name)
		return refuse(w, "tool '%.100s': nothing of this name can be kept", raw);
	for (struct plan_tool *other = s->tools; other < t; other++)
		if (strcmp(other->name, t->name) == 0)
			return refuse(w, "two of its tools are named '%s'", t->name);
	if (!history_is_sound(t->in))
		return refuse(w, "tool '%s': its versions or decisions are damaged", t->name);
	if (check_head(t, &why) < 0)
		return refuse(w, "tool '%s': %s", t->name, why.text);
	return NULL;
}

static const char *judge_texts(struct work *w, const ROW(FileServer) * s)
{
	struct err why = { 0 };

	if (check_text("description", s->description, TEXT_MAX, &why) < 0 ||
	    check_timeout("default_timeout_ms", s->default_timeout_ms, &why) < 0)
		return refuse(w, "%s", why.text);
	if (s->n_tools > IMPORT_TOOLS_MAX)
		return refuse(w, "it has more than %d tools", IMPORT_TOOLS_MAX);
	return NULL;
}

static void judge_server(struct work *w, struct plan *plan, const ROW(FileServer) * in,
			 struct plan_server *s)
{
	s->in = in;
	import_digest(in, s->digest);
	s->name = import_name(&w->arena, "server", in->name);
	s->refused = s->name ? judge_texts(w, in) : "nothing of this name can be kept";
	if (s->refused)
		return;
	if (strcmp(s->name, in->name) != 0)
		note_add(w, &plan->warnings, "server '%.100s' becomes '%s'", in->name, s->name);
	s->tools = arena_array(&w->arena, in->n_tools + 1, sizeof(*s->tools));
	for (size_t i = 0; i < in->n_tools && !s->refused; i++) {
		struct plan_tool *t = &s->tools[s->tool_count];

		t->in = in->tools[i];
		t->head = t->in->n_versions ? t->in->versions[t->in->n_versions - 1] : NULL;
		if (!t->head || t->head->python_code.len == 0) {
			note_add(w, &plan->warnings,
				 "server '%s': tool '%.100s' has no code and is left out", s->name,
				 t->in->name);
			continue;
		}
		s->refused = judge_tool(w, s, t);
		s->tool_count++;
	}
}

/* ---- looking at code ------------------------------------------------------------------------------ */

/* The code of every head, by an executor: the registry never reads Python. */
static int inspect_server(struct work *w, struct plan_server *s, struct err *err)
{
	for (size_t i = 0; i < s->tool_count && !s->refused; i++) {
		const ROW(FileVersion) *head = s->tools[i].head;
		const struct inspect_what what = { head->python_code, head->input_schema_json,
						   head->output_schema_json };
		int r = inspect_require_sound(w, &what, err);

		if (r == -ERR_INVALID || r == -ERR_TOO_LARGE) {
			s->refused = refuse(w, "tool '%s': %s", s->tools[i].name, err->text);
			err_done(err);
			*err = (struct err){ 0 };
		} else if (r < 0) {
			return r;
		}
		s->tools[i].seen = w->inspected;
	}
	return 0;
}

static int check_trust(const struct plan *plan, const PB(ImportRequest) * in, struct err *err)
{
	char sha256[2 * CRYPTO_HASH_SIZE + 1];

	format_hex(plan->file.sha256, sizeof(plan->file.sha256), sha256);
	if (plan->file.is_verified)
		return 0;
	if (in->settings)
		return err_set_field(err, ERR_STATE, "settings", NULL,
				     "this instance's key did not sign the file (SHA-256 %s): its "
				     "settings are not taken",
				     sha256);
	if (in->accept_unverified || in->dry_run)
		return 0;
	return err_set_field(err, ERR_STATE, "accept_unverified",
			     "look at it with dry_run=true; accept_unverified=true takes it, and "
			     "all of it arrives pending",
			     "this instance's key did not sign the file (SHA-256 %s)", sha256);
}

static int check_count(const ROW(FileContent) * c, struct err *err)
{
	size_t tools = 0;

	for (size_t i = 0; i < c->n_servers; i++)
		tools += c->servers[i]->n_tools;
	if (tools <= IMPORT_ALL_MAX && c->n_servers <= IMPORT_ALL_MAX &&
	    c->n_modules <= IMPORT_ALL_MAX)
		return 0;
	return err_set_field(err, ERR_TOO_LARGE, "file", "export servers one by one",
			     "a file may hold %d servers, tools and modules at most",
			     IMPORT_ALL_MAX);
}

int import_prepare(struct work *w, const void *message, struct err *err)
{
	const PB(ImportRequest) *in = message;
	struct plan *plan = arena_alloc(&w->arena, sizeof(*plan));
	const struct file_keys keys = { w->reg->keys,
					(const char *)w->reg->cfg.encryption_key->data };
	int r = import_read(&w->arena, in->file.data, in->file.len, &keys, &plan->file, err);

	w->prepared = plan;
	w->object_kind = "file";
	if (r == 0)
		r = check_trust(plan, in, err);
	if (r == 0)
		r = check_count(plan->file.content, err);
	if (r < 0)
		return r;
	plan->server_count = plan->file.content->n_servers;
	plan->servers = arena_array(&w->arena, plan->server_count + 1, sizeof(*plan->servers));
	for (size_t i = 0; r == 0 && i < plan->server_count; i++) {
		judge_server(w, plan, plan->file.content->servers[i], &plan->servers[i]);
		r = inspect_server(w, &plan->servers[i], err);
	}
	return r;
}

/* ---- making --------------------------------------------------------------------------------------- */

struct telling {
	PB(ImportReply) reply;
	struct notes errors;
	size_t room;
};

static void tell(struct work *w, struct telling *t, const char *kind, const char *name,
		 const char *action, const char *as, const char *reason)
{
	PB(ImportChange) *c = arena_msg(&w->arena, &mcpbox__v1__import_change__descriptor);

	box_assert(t->reply.n_changes < t->room);
	c->kind = arena_str(&w->arena, kind);
	c->name = pb_text(arena_str(&w->arena, name));
	c->action = arena_str(&w->arena, action);
	c->as = arena_str(&w->arena, as);
	c->reason = pb_text(arena_str(&w->arena, reason));
	t->reply.changes[t->reply.n_changes++] = c;
}

static int take_server(struct work *w, struct plan *plan, const struct plan_server *s,
		       struct made *made, struct telling *t, struct err *err)
{
	char *present = NULL;
	const char *name;
	int r;

	if (s->refused) {
		note_add(w, &t->errors, "server '%.100s': %s", s->in->name, s->refused);
		tell(w, t, "server", s->in->name, "refused", "", s->refused);
		return 0;
	}
	r = store_import_find(w->tx, (struct bytes){ s->digest, sizeof(s->digest) }, &present);
	if (r == 0) {
		tell(w, t, "server", s->in->name, "same", present, "it was imported before");
		return 0;
	}
	if (r == -ERR_NOT_FOUND)
		r = import_make_server(w, plan, s, made, &name, err);
	if (r == 0)
		tell(w, t, "server", s->in->name, "created", name,
		     strcmp(name, s->name) == 0 ? "" : "there is a server of that name");
	return r;
}

static int take_modules(struct work *w, struct plan *plan, struct made *made, struct telling *t)
{
	const ROW(FileContent) *c = plan->file.content;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_modules; i++) {
		const char *status;

		r = import_make_module(w, plan, c->modules[i], made, &status);
		if (r == 0)
			tell(w, t, "module", c->modules[i]->module_name,
			     status[0] ? "created" : "same", "", status);
	}
	return r;
}

/* What somebody has chosen, without what counts the choices; NULL when it is no object. */
static json_t *chosen_settings(ProtobufCBinaryData text)
{
	json_t *tree = NULL;

	if (text.len == 0 || json_load(text.data, text.len, &tree, NULL) < 0)
		return NULL;
	if (!json_is_true(json_object_get(tree, "mcp_rate_limit_is_set")))
		(void)json_object_del(tree, "mcp_rate_limit_rpm");
	(void)json_object_del(tree, "mcp_rate_limit_is_set");
	(void)json_object_del(tree, "revision");
	return tree;
}

static json_t *present_settings(const PB(SecurityPolicy) * p)
{
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(64 * 1024);

	msg_to_json(&p->base, 0, &b);
	return chosen_settings(pb_bytes(b.data, b.len));
}

static int apply_settings(struct work *w, const json_t *given, PB(SecurityPolicy) * p,
			  struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	size_t len;
	BOX_CLEANUP(mem_freep) char *text = json_dump(given, &len);
	int r = json_to_msg(&mcpbox__v1__update_security_policy_request__descriptor, text, len,
			    NULL, &m, err);

	/* Saved here: the message goes with this function. */
	return r == 0 ? policy_apply(w, (const PB(UpdateSecurityPolicyRequest) *)m, p, err) : r;
}

/* A setting that this version does not know is refused by name. */
static int take_settings(struct work *w, const struct plan *plan, struct telling *t,
			 struct err *err)
{
	BOX_CLEANUP(json_decrefp)
	json_t *given = chosen_settings(plan->file.content->security_policy_json);
	BOX_CLEANUP(json_decrefp) json_t *present = NULL;
	const char *action = "same";
	PB(SecurityPolicy) * p;
	int r = store_policy_get(w->tx, true, &p);

	if (r != 0)
		return r;
	present = present_settings(p);
	if (given && !json_equal(given, present)) {
		action = "changed";
		r = apply_settings(w, given, p, err);
	}
	if (r == 0)
		tell(w, t, "settings", "security-policy", action, "",
		     given ? "" : "the file has none");
	return r;
}

static void finish_notes(struct work *w, struct notes *n)
{
	if (n->lost)
		n->items[n->count++] = work_say(w, "and %zu more", n->lost);
	n->lost = 0;
}

static void fill_reply(struct work *w, const PB(ImportRequest) * in, struct plan *plan,
		       const struct made *made, struct telling *t)
{
	PB(ImportReply) *reply = &t->reply;

	finish_notes(w, &t->errors);
	finish_notes(w, &plan->warnings);
	reply->success = t->errors.count == 0;
	reply->servers_created = made->servers;
	reply->tools_created = made->tools;
	reply->module_requests_created = made->modules;
	reply->network_access_requests_created = made->hosts;
	reply->errors = t->errors.items;
	reply->n_errors = t->errors.count;
	reply->warnings = plan->warnings.items;
	reply->n_warnings = plan->warnings.count;
	reply->dry_run = in->dry_run;
	reply->verified = plan->file.is_verified;
	reply->format = plan->file.version;
	reply->sha256_hash = pb_bytes(plan->file.sha256, sizeof(plan->file.sha256));
}

static int take_all(struct work *w, const PB(ImportRequest) * in, struct plan *plan,
		    struct made *made, struct telling *t, struct err *err)
{
	int r = store_names_lock(w->tx);

	for (size_t i = 0; r == 0 && i < plan->server_count; i++)
		r = take_server(w, plan, &plan->servers[i], made, t, err);
	if (r == 0)
		r = take_modules(w, plan, made, t);
	if (r == 0 && in->settings)
		r = take_settings(w, plan, t, err);
	return r;
}

int import_servers(struct work *w, const void *message, struct err *err)
{
	const PB(ImportRequest) *in = message;
	struct plan plan =
		*(const struct plan *)w->prepared; /* attempts add warnings of their own */
	struct telling t = { .reply = MCPBOX__V1__IMPORT_REPLY__INIT };
	struct made made = { 0 };
	int r;

	plan.warnings.items =
		arena_array(&w->arena, IMPORT_NOTES_MAX + 1, sizeof(*plan.warnings.items));
	for (size_t i = 0; i < plan.warnings.count; i++)
		plan.warnings.items[i] = ((const struct plan *)w->prepared)->warnings.items[i];
	t.room = plan.server_count + plan.file.content->n_modules + 1;
	t.reply.changes = arena_pointers(&w->arena, t.room);
	r = store_savepoint(w->tx);
	if (r == 0)
		r = take_all(w, in, &plan, &made, &t, err);
	/* A dry run is the real thing, taken back. */
	if (r == 0 && in->dry_run) {
		work_forget_audit(w);
		r = store_savepoint_undo(w->tx);
	}
	if (r != 0)
		return r;
	fill_reply(w, in, &plan, &made, &t);
	work_answer(w, &t.reply.base);
	return 0;
}
