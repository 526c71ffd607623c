/* Modules beyond the defaults: asked for by tools, decided by people, for all servers alike. */
#include <string.h>
#include "checks.h"
#include "id.h"
#include "module_names.h"
#include "nouns.h"
#include "settings.h"
#include "tools.h"

static const char added_by_admin[] = "Added by an administrator";

static bool has_status(const PB(ModuleRequest) * m, const char *status)
{
	return strcmp(m->status, status) == 0;
}

static json_t *module_detail(const PB(ModuleRequest) * m)
{
	return json_pack("{s:s, s:s}", "module_name", m->module_name, "status", m->status);
}

/* Every live version gets a new spec with the list as it is now; its approval stays. */
static int list_moved(struct work *w)
{
	w->moves_state = true;
	return store_specs_forget(w->tx);
}

/* ---- asking -------------------------------------------------------------------------------------- */

/* An approval that is there already, of whichever tool. */
static int judge_approved(PB(ModuleRequest) *const *rows, size_t count, const char *name,
			  struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (has_status(rows[i], "approved") && module_covers(rows[i]->module_name, name))
			return err_set(err, ERR_EXISTS,
				       "'%s' is covered by the approved module '%s': import it now",
				       name, rows[i]->module_name);
	return 0;
}

/* The tool's own history. */
static int judge_own(PB(ModuleRequest) *const *rows, size_t count, const char *tool_id,
		     const char *name, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const PB(ModuleRequest) *m = rows[i];

		if (!m->tool_id_opt_case || strcmp(m->tool_id, tool_id) != 0 ||
		    strcmp(m->module_name, name) != 0)
			continue;
		if (has_status(m, "rejected"))
			return err_set(err, ERR_EXISTS,
				       "the module '%s' was rejected for this tool: %.*s. An "
				       "administrator has to delete that decision before it can be "
				       "asked for again",
				       name, (int)m->rejection_reason.len,
				       (const char *)m->rejection_reason.data);
		if (has_status(m, "pending"))
			return err_set(err, ERR_EXISTS,
				       "the module '%s' is already waiting for a decision", name);
	}
	return 0;
}

/* May this tool ask for that once more? */
static int find_same(struct work *w, const char *tool_id, const char *name, struct err *err)
{
	PB(ModuleRequest) * *rows;
	size_t count;
	int r;

	if (module_is_default(name))
		return err_set(err, ERR_EXISTS, "'%s' needs no approval: import it now", name);
	r = store_module_judged(w->tx, tool_id, &rows, &count);
	if (r == 0)
		r = judge_approved(rows, count, name, err);
	return r == 0 ? judge_own(rows, count, tool_id, name, err) : r;
}

static void make_approved(struct work *w, PB(ModuleRequest) * m, const char *reviewer)
{
	m->status = arena_str(&w->arena, "approved");
	m->reviewed_by_opt_case = MCPBOX__V1__MODULE_REQUEST__REVIEWED_BY_OPT_REVIEWED_BY;
	m->reviewed_by = arena_str(&w->arena, reviewer);
	m->reviewed_at_unix_ms = w->now_unix_ms;
	m->rejection_reason_opt_case = 0;
	m->rejection_reason = (ProtobufCBinaryData){ 0 };
}

static void fill_request(struct work *w, PB(ModuleRequest) * m)
{
	char id[ID_TEXT_SIZE];

	id_new(id);
	m->id = arena_str(&w->arena, id);
	if (w->actor->author[0]) {
		m->requested_by_opt_case =
			MCPBOX__V1__MODULE_REQUEST__REQUESTED_BY_OPT_REQUESTED_BY;
		m->requested_by = arena_str(&w->arena, w->actor->author);
	}
}

static int insert_request(struct work *w, PB(ModuleRequest) * m, struct err *err)
{
	PB(SecurityPolicy) * policy;
	int r = store_policy_get(w->tx, false, &policy);

	if (r != 0)
		return r;
	m->status = arena_str(&w->arena, "pending");
	work_audit(w, "module.requested", "module", m->id, "ok", module_detail(m));
	if (policy_allows_modules(policy)) {
		make_approved(w, m, "auto_approve");
		work_audit(w, "module.approved", "module", m->id, "ok", module_detail(m));
	}
	r = store_module_create(w->tx, m);
	if (r == -ERR_EXISTS)
		return err_set(err, ERR_EXISTS, "the module '%s' is already waiting for a decision",
			       m->module_name);
	return r == 0 && has_status(m, "approved") ? list_moved(w) : r;
}

static int ask_for(struct work *w, const PB(RequestModuleRequest) * in, PB(ModuleRequest) * m,
		   struct err *err)
{
	PB(Tool) * tool;
	int r;

	m->module_name = module_name_read(&w->arena, "module_name", in->module_name, err);
	if (!m->module_name)
		return -ERR_INVALID;
	r = check_reason("justification", in->justification, err);
	if (r == 0)
		r = tool_load(w, in->tool_id, true, &tool, err);
	if (r == 0)
		r = find_same(w, tool->id, m->module_name, err);
	if (r != 0)
		return r;
	fill_request(w, m);
	m->tool_id_opt_case = MCPBOX__V1__MODULE_REQUEST__TOOL_ID_OPT_TOOL_ID;
	m->tool_id = tool->id;
	m->server_id_opt_case = MCPBOX__V1__MODULE_REQUEST__SERVER_ID_OPT_SERVER_ID;
	m->server_id = tool->server_id;
	m->justification = in->justification;
	m->source = arena_str(&w->arena, "llm");
	return insert_request(w, m, err);
}

int module_request(struct work *w, const void *message, struct err *err)
{
	PB(RequestModuleReply) reply = MCPBOX__V1__REQUEST_MODULE_REPLY__INIT;
	PB(ModuleRequest) m = MCPBOX__V1__MODULE_REQUEST__INIT;
	int r = ask_for(w, message, &m, err);

	if (r != 0)
		return r;
	reply.success = true;
	reply.request_id = m.id;
	reply.module_name = m.module_name;
	reply.status = m.status;
	reply.message =
		has_status(&m, "approved")
			? work_say(w,
				   "The module '%s' was approved automatically; tools may import "
				   "it where it is installed.",
				   m.module_name)
			: work_say(w,
				   "The module '%s' is requested and waits for an administrator's "
				   "decision. It holds for all tools once approved; "
				   "mcpbox_get_tool_status shows the decision.",
				   m.module_name);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- lists --------------------------------------------------------------------------------------- */

int module_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListModuleRequestsRequest) *in = message;
	PB(ListModuleRequestsReply) reply = MCPBOX__V1__LIST_MODULE_REQUESTS_REPLY__INIT;
	struct filter f = { .page = work_page(in->page, in->page_size, 20) };
	int64_t total = 0;
	int r = work_filter_requests(w, &f, in->server_id, in->search, in->status, err);

	if (r == 0)
		r = store_module_list(w->tx, &f, &reply.items, &reply.n_items, &total);
	if (r != 0)
		return r;
	WORK_FILL_PAGE(&reply, f.page, total);
	work_answer(w, &reply.base);
	return 0;
}

struct module_lists {
	char **allowed, **defaults;
	size_t allowed_count, default_count;
	bool is_custom;
};

static int load_lists(struct work *w, struct module_lists *ret)
{
	size_t count;
	char **approved;
	int r = store_modules_approved(w->tx, &approved, &count);

	if (r != 0)
		return r;
	ret->allowed = modules_allowed(&w->arena, approved, count, &ret->allowed_count);
	ret->defaults = modules_allowed(&w->arena, NULL, 0, &ret->default_count);
	ret->is_custom = count > 0;
	return 0;
}

int module_show(struct work *w, const void *message, struct err *err)
{
	PB(GetServerModulesReply) reply = MCPBOX__V1__GET_SERVER_MODULES_REPLY__INIT;
	struct module_lists lists;
	int r = load_lists(w, &lists);

	(void)message;
	(void)err;
	if (r != 0)
		return r;
	reply.is_custom_config = lists.is_custom;
	reply.allowed_modules = lists.allowed;
	reply.n_allowed_modules = lists.allowed_count;
	reply.default_modules = lists.defaults;
	reply.n_default_modules = lists.default_count;
	reply.total_allowed = (uint32_t)lists.allowed_count;
	reply.description = pb_text("What tools of all servers may import. Ask for others with "
				    "mcpbox_request_module.");
	work_answer(w, &reply.base);
	return 0;
}

static int answer_settings(struct work *w)
{
	PB(ModulesReply) reply = MCPBOX__V1__MODULES_REPLY__INIT;
	struct module_lists lists;
	int r = load_lists(w, &lists);

	if (r != 0)
		return r;
	reply.allowed_modules = lists.allowed;
	reply.n_allowed_modules = lists.allowed_count;
	reply.default_modules = lists.defaults;
	reply.n_default_modules = lists.default_count;
	reply.is_custom = lists.is_custom;
	work_answer(w, &reply.base);
	return 0;
}

int module_settings(struct work *w, const void *message, struct err *err)
{
	(void)message;
	(void)err;
	return answer_settings(w);
}

/* ---- deciding ------------------------------------------------------------------------------------ */

static int load(struct work *w, const char *id, PB(ModuleRequest) * *ret, struct err *err)
{
	int r = work_check_id(err, "request_id", id);

	if (r != 0)
		return r;
	w->object_kind = "module";
	w->object_id = arena_str(&w->arena, id);
	r = store_module_get(w->tx, id, true, ret);
	return r < 0 ? work_missing(err, r, "module request", id) : 0;
}

static int save_and_answer(struct work *w, PB(ModuleRequest) * m)
{
	PB(ModuleDecisionReply) reply = MCPBOX__V1__MODULE_DECISION_REPLY__INIT;
	int r = store_module_save(w->tx, m);

	if (r == 0)
		r = list_moved(w);
	if (r != 0)
		return r;
	m->revision++;
	reply.request = m;
	work_answer(w, &reply.base);
	return 0;
}

static int wrong_state(const PB(ModuleRequest) * m, const char *action, struct err *err)
{
	return err_set(err, ERR_STATE, "cannot %s the request for '%s': its status is %s", action,
		       m->module_name, m->status);
}

static int approve(struct work *w, const PB(DecideModuleRequest) * in, PB(ModuleRequest) * m,
		   struct err *err)
{
	(void)in;
	(void)err;
	make_approved(w, m, w->actor->name);
	work_audit(w, "module.approved", "module", m->id, "ok", module_detail(m));
	return 0;
}

static int reject(struct work *w, const PB(DecideModuleRequest) * in, PB(ModuleRequest) * m,
		  struct err *err)
{
	if (in->reason.len == 0)
		return err_set_field(err, ERR_INVALID, "reason", NULL,
				     "a rejection needs a reason");
	make_approved(w, m, w->actor->name);
	m->status = arena_str(&w->arena, "rejected");
	m->rejection_reason_opt_case =
		MCPBOX__V1__MODULE_REQUEST__REJECTION_REASON_OPT_REJECTION_REASON;
	m->rejection_reason = in->reason;
	work_audit(w, "module.rejected", "module", m->id, "ok", module_detail(m));
	return 0;
}

static const struct action {
	const char *name;
	const char *topic; /* when it is refused */
	int (*run)(struct work *w, const PB(DecideModuleRequest) * in, PB(ModuleRequest) * m,
		   struct err *err);
} actions[] = {
	{ "approve", "module.approved", approve },
	{ "reject", "module.rejected", reject },
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

int module_decide(struct work *w, const void *message, struct err *err)
{
	const PB(DecideModuleRequest) *in = message;
	const struct action *action = find_action(in->action);
	PB(ModuleRequest) * m;
	int r;

	if (!action)
		return err_set_field(err, ERR_INVALID, "action", NULL,
				     "action must be approve or reject");
	w->refused_topic = action->topic;
	r = check_text("reason", in->reason, TEXT_MAX, err);
	if (r == 0)
		r = load(w, in->request_id, &m, err);
	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, m->revision,
					&m->base);
	if (r == 0 && !has_status(m, "pending"))
		r = wrong_state(m, in->action, err);
	if (r == 0)
		r = action->run(w, in, m, err);
	return r == 0 ? save_and_answer(w, m) : r;
}

int module_revoke(struct work *w, const void *message, struct err *err)
{
	const PB(RevokeModuleRequest) *in = message;
	PB(ModuleRequest) * m;
	int r = load(w, in->request_id, &m, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, m->revision,
					&m->base);
	if (r == 0 && !has_status(m, "approved"))
		r = wrong_state(m, "revoke", err);
	if (r == 0 && !m->tool_id_opt_case)
		r = err_set_field(err, ERR_STATE, NULL, "remove it from the list of modules",
				  "'%s' was added by an administrator and not asked for by a tool",
				  m->module_name);
	/* Any spec may hold it: what was handed out ends now, and is made anew without it. */
	if (r == 0)
		r = store_permits_revoke_all(w->tx);
	if (r != 0)
		return r;
	m->status = arena_str(&w->arena, "pending");
	m->reviewed_by_opt_case = 0;
	m->reviewed_at_unix_ms = 0;
	work_audit(w, "module.revoked", "module", m->id, "ok", module_detail(m));
	r = save_and_answer(w, m);
	return r == -ERR_EXISTS
		       ? err_set(err, ERR_EXISTS, "the tool has another pending request for '%s'",
				 m->module_name)
		       : r;
}

int module_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteModuleRequestRequest) *in = message;
	PB(DeleteModuleRequestReply) reply = MCPBOX__V1__DELETE_MODULE_REQUEST_REPLY__INIT;
	PB(ModuleRequest) * m;
	int r = load(w, in->request_id, &m, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, m->revision,
					&m->base);
	if (r == 0 && has_status(m, "approved"))
		r = err_set(err, ERR_STATE, "the module '%s' is approved: revoke it first",
			    m->module_name);
	if (r == 0)
		r = store_module_delete(w->tx, m->id);
	if (r != 0)
		return r;
	work_audit(w, "module.deleted", "module", m->id, "ok", module_detail(m));
	reply.success = true;
	reply.message = work_say(w, "The request for '%s' is deleted; it may be made again.",
				 m->module_name);
	reply.module_name = m->module_name;
	reply.status = m->status;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- an administrator's own list ----------------------------------------------------------------- */

static int add_own(struct work *w, const char *name, struct err *err)
{
	PB(ModuleRequest) m = MCPBOX__V1__MODULE_REQUEST__INIT;
	int r;

	m.module_name = module_name_read(&w->arena, "add_modules", pb_text(name), err);
	if (!m.module_name)
		return -ERR_INVALID;
	if (module_is_default(m.module_name))
		return err_set_field(err, ERR_EXISTS, "add_modules", NULL,
				     "'%s' is one of the defaults", m.module_name);
	fill_request(w, &m);
	m.justification = pb_text(added_by_admin);
	m.source = arena_str(&w->arena, "admin");
	make_approved(w, &m, w->actor->name);
	work_audit(w, "module.approved", "module", m.id, "ok", module_detail(&m));
	r = store_module_create(w->tx, &m);
	return r == -ERR_EXISTS ? err_set_field(err, ERR_EXISTS, "add_modules", NULL,
						"'%s' is on the list already", m.module_name)
				: r;
}

static int remove_row(struct work *w, const PB(ModuleRequest) * m)
{
	work_audit(w, "module.revoked", "module", m->id, "ok", module_detail(m));
	return store_module_delete(w->tx, m->id);
}

static int remove_own(struct work *w, PB(ModuleRequest) *const *own, size_t count, const char *name,
		      struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(own[i]->module_name, name) == 0)
			return remove_row(w, own[i]);
	return err_set_field(
		err, ERR_STATE, "remove_modules", "a tool's request is revoked; defaults stay",
		"'%.*s' is not among the modules that administrators added", MODULE_NAME_MAX, name);
}

static int take_away(struct work *w, const PB(UpdateModulesRequest) * in, struct err *err)
{
	PB(ModuleRequest) * *own;
	size_t count;
	int r = store_module_own(w->tx, &own, &count);

	for (size_t i = 0; r == 0 && in->reset_to_defaults && i < count; i++)
		r = remove_row(w, own[i]);
	for (size_t i = 0; r == 0 && !in->reset_to_defaults && i < in->n_remove_modules; i++)
		r = remove_own(w, own, count, in->remove_modules[i], err);
	return r == 0 ? store_permits_revoke_all(w->tx) : r;
}

int module_change_settings(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateModulesRequest) *in = message;
	bool takes = in->reset_to_defaults || in->n_remove_modules > 0;
	int r = 0;

	w->object_kind = "settings";
	w->object_id = "modules";
	if (in->n_add_modules + in->n_remove_modules > 100)
		return err_set_field(err, ERR_INVALID,
				     in->n_add_modules > in->n_remove_modules ? "add_modules"
									      : "remove_modules",
				     NULL, "at most 100 modules at once");
	if (!takes && in->n_add_modules == 0)
		return err_set(err, ERR_INVALID, "no modules were given");
	if (takes)
		r = take_away(w, in, err);
	for (size_t i = 0; r == 0 && i < in->n_add_modules; i++)
		r = add_own(w, in->add_modules[i], err);
	if (r == 0)
		r = list_moved(w);
	return r == 0 ? answer_settings(w) : r;
}
