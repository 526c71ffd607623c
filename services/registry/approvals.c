#include "approvals.h"

#include <inttypes.h>
#include <string.h>
#include "checks.h"
#include "json_proto.h"
#include "nouns.h"
#include "parse.h"
#include "settings.h"
#include "tools.h"

/* ---- moves --------------------------------------------------------------------------------------- */

static void clear_decision(PB(Tool) * t)
{
	t->approved_at_unix_ms = 0;
	t->approved_by_opt_case = 0;
	t->rejection_reason_opt_case = 0;
	t->rejection_reason = (ProtobufCBinaryData){ 0 };
}

void approval_make_live(struct work *w, PB(Tool) * t, const char *approved_by)
{
	clear_decision(t);
	t->approval_status = arena_str(&w->arena, "approved");
	t->approved_at_unix_ms = w->now_unix_ms;
	t->approved_by_opt_case = MCPBOX__V1__TOOL__APPROVED_BY_OPT_APPROVED_BY;
	t->approved_by = arena_str(&w->arena, approved_by);
	t->live_version_opt_case = MCPBOX__V1__TOOL__LIVE_VERSION_OPT_LIVE_VERSION;
	t->live_version = t->current_version;
}

void approval_make_draft(PB(Tool) * t)
{
	static char draft[] = "draft";

	clear_decision(t);
	t->approval_status = draft;
	t->approval_requested_at_unix_ms = 0;
	t->publish_notes_opt_case = 0;
	t->publish_notes = (ProtobufCBinaryData){ 0 };
}

static void make_pending(struct work *w, PB(Tool) * t, ProtobufCBinaryData notes)
{
	clear_decision(t);
	t->approval_status = arena_str(&w->arena, "pending_review");
	t->approval_requested_at_unix_ms = w->now_unix_ms;
	if (notes.len) {
		t->publish_notes_opt_case = MCPBOX__V1__TOOL__PUBLISH_NOTES_OPT_PUBLISH_NOTES;
		t->publish_notes = notes;
	}
}

static bool has_status(const PB(Tool) * t, const char *status)
{
	return strcmp(t->approval_status, status) == 0;
}

static int wrong_state(const PB(Tool) * t, const char *action, struct err *err)
{
	return err_set(err, ERR_STATE, "cannot %s tool '%s': its status is %s", action, t->name,
		       t->approval_status);
}

static json_t *tool_detail(const PB(Tool) * t)
{
	char hash[2 * CRYPTO_HASH_SIZE + 1] = "";

	if (t->content_hash.len == CRYPTO_HASH_SIZE)
		format_hex(t->content_hash.data, t->content_hash.len, hash);
	return json_pack("{s:s, s:i, s:s, s:s}", "name", t->name, "version",
			 (int)t->current_version, "content_hash", hash, "status",
			 t->approval_status);
}

void approval_audit_auto(struct work *w, const PB(Tool) * t)
{
	if (has_status(t, "approved"))
		work_audit(w, "tool.approved", "tool", t->id, "ok", tool_detail(t));
}

/* ---- submitting ---------------------------------------------------------------------------------- */

static int submit(struct work *w, PB(Tool) * t, ProtobufCBinaryData notes, struct err *err)
{
	PB(SecurityPolicy) * policy;
	int r;

	if (has_status(t, "pending_review"))
		return 0;
	if (has_status(t, "approved"))
		return wrong_state(t, "submit", err);
	r = store_policy_get(w->tx, false, &policy);
	if (r != 0)
		return r;
	make_pending(w, t, notes);
	work_audit(w, "tool.submitted", "tool", t->id, "ok", tool_detail(t));
	if (policy_is_auto(policy)) {
		approval_make_live(w, t, "auto_approve");
		approval_audit_auto(w, t);
	}
	return store_tool_save(w->tx, t);
}

int approval_request_publish(struct work *w, const void *message, struct err *err)
{
	const PB(RequestPublishRequest) *in = message;
	PB(RequestPublishReply) reply = MCPBOX__V1__REQUEST_PUBLISH_REPLY__INIT;
	PB(Tool) * t;
	int r = check_text("notes", in->notes, TEXT_MAX, err);

	if (r == 0)
		r = tool_load(w, in->tool_id, true, &t, err);
	if (r == 0)
		r = submit(w, t, in->notes, err);
	if (r != 0)
		return r;
	reply.success = true;
	reply.tool_id = t->id;
	reply.name = t->name;
	reply.status = t->approval_status;
	reply.message = has_status(t, "approved")
				? work_say(w,
					   "Tool '%s' was approved automatically. It is listed as "
					   "'%s' while its server "
					   "runs; some clients need a manual refresh to see it.",
					   t->name, t->published_name)
				: work_say(w,
					   "Tool '%s' version %u waits for an administrator's "
					   "review. Once approved it "
					   "is listed as '%s' while its server runs; some clients "
					   "need a manual refresh "
					   "to see it. mcpbox_get_tool_status shows the decision.",
					   t->name, t->current_version, t->published_name);
	work_answer(w, &reply.base);
	return 0;
}

int approval_status(struct work *w, const void *message, struct err *err)
{
	const PB(GetToolStatusRequest) *in = message;
	PB(GetToolStatusReply) * reply;
	PB(Tool) * t;
	int r = tool_load(w, in->tool_id, false, &t, err);

	if (r == 0)
		r = store_tool_status(w->tx, t->id, &reply);
	if (r == 0)
		r = store_tool_modules(w->tx, t->id, &reply->module_requests,
				       &reply->n_module_requests);
	if (r == 0)
		r = store_tool_network(w->tx, t->id, &reply->network_access_requests,
				       &reply->n_network_access_requests);
	if (r == 0)
		work_answer(w, &reply->base);
	return r;
}

/* ---- lists --------------------------------------------------------------------------------------- */

int approval_pending(struct work *w, const void *message, struct err *err)
{
	PB(ListPendingRequestsReply) reply = MCPBOX__V1__LIST_PENDING_REQUESTS_REPLY__INIT;
	int r = store_pending_list(w->tx, &reply);

	(void)message;
	(void)err;
	if (r == 0)
		work_answer(w, &reply.base);
	return r;
}

int approval_stats(struct work *w, const void *message, struct err *err)
{
	PB(GetApprovalStatsReply) * reply;
	int r = store_approval_stats(w->tx, &reply);

	(void)message;
	(void)err;
	if (r == 0)
		work_answer(w, &reply->base);
	return r;
}

static const struct work_statuses tool_statuses = {
	{ "pending_review", "draft", "approved", "rejected", "all" },
	"pending_review, draft, approved, rejected or all"
};

int approval_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListToolApprovalsRequest) *in = message;
	PB(ListToolApprovalsReply) reply = MCPBOX__V1__LIST_TOOL_APPROVALS_REPLY__INIT;
	struct filter f = { .page = work_page(in->page, in->page_size, 20) };
	int64_t total = 0;
	int r = work_filter(&f, &tool_statuses, in->search, in->status, err);

	if (r == 0)
		r = store_approval_list(w->tx, &f, &reply.items, &reply.n_items, &total);
	if (r != 0)
		return r;
	for (size_t i = 0; i < reply.n_items; i++)
		reply.items[i]->limits_json = tool_limits_shown(w, reply.items[i]->limits_json);
	WORK_FILL_PAGE(&reply, f.page, total);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- deciding ------------------------------------------------------------------------------------ */

/* What the reviewer saw must be what the decision is about. */
static int check_content(const PB(Tool) * t, const char *seen_hex, struct err *err)
{
	uint8_t seen[CRYPTO_HASH_SIZE];

	if (seen_hex[0] == '\0')
		return 0;
	if (parse_hex(seen_hex, seen, sizeof(seen)) < 0)
		return err_set_field(err, ERR_INVALID, "content_hash", NULL,
				     "content_hash must be 64 hex digits");
	if (t->content_hash.len == sizeof(seen) &&
	    memcmp(t->content_hash.data, seen, sizeof(seen)) == 0)
		return 0;
	return work_stale(err, "content_hash", "the content is not what you reviewed", &t->base);
}

/* With two approvals required, neither is the author's own. */
static int check_reviewer(const PB(SecurityPolicy) * policy, const char *author,
			  const char *reviewer, struct err *err)
{
	if (policy->approvals_required < 2 || author[0] == '\0' || strcmp(author, reviewer) != 0)
		return 0;
	return err_set(
		err, ERR_DENIED,
		"two approvals are required and the author's own does not count: ask others");
}

/* By person: a token of theirs is not somebody else. */
static int add_decision(struct work *w, const PB(Tool) * t, const char *decision,
			ProtobufCBinaryData reason)
{
	struct decision d = { t->id,    t->current_version, work_bytes(t->content_hash),
			      decision, w->actor->author,   work_bytes(reason) };

	return store_decision_add(w->tx, &d);
}

static int approve(struct work *w, PB(Tool) * t, ProtobufCBinaryData reason,
		   ProtobufCBinaryData *ret_text, struct err *err)
{
	PB(SecurityPolicy) * policy;
	ROW(VersionRow) * head;
	int64_t approvers = 0;
	int r;

	if (has_status(t, "approved"))
		return wrong_state(t, "approve", err);
	r = store_policy_get(w->tx, false, &policy);
	if (r == 0)
		r = store_version_get(w->tx, t->id, t->current_version, &head);
	if (r == 0)
		r = check_reviewer(policy, head->created_by, w->actor->author, err);
	if (r == 0)
		r = add_decision(w, t, "approve", reason);
	if (r == 0)
		r = store_decision_approvers(w->tx, t->id, t->current_version, &approvers);
	if (r != 0)
		return r;
	if (approvers < policy->approvals_required) {
		if (!has_status(t, "pending_review"))
			make_pending(w, t, (ProtobufCBinaryData){ 0 });
		*ret_text = work_say(w,
				     "Tool '%s' has %" PRId64
				     " of %u approvals; another person has to approve it.",
				     t->name, approvers, policy->approvals_required);
	} else {
		approval_make_live(w, t, w->actor->author);
		*ret_text = work_say(w, "Tool '%s' version %u is approved and live.", t->name,
				     t->current_version);
	}
	work_audit(w, "tool.approved", "tool", t->id, has_status(t, "approved") ? "ok" : "partial",
		   tool_detail(t));
	return store_tool_save(w->tx, t);
}

static int reject(struct work *w, PB(Tool) * t, ProtobufCBinaryData reason,
		  ProtobufCBinaryData *ret_text, struct err *err)
{
	int r;

	if (!has_status(t, "pending_review"))
		return wrong_state(t, "reject", err);
	if (reason.len == 0)
		return err_set_field(err, ERR_INVALID, "reason", NULL,
				     "a rejection needs a reason");
	clear_decision(t);
	t->approval_status = arena_str(&w->arena, "rejected");
	t->rejection_reason_opt_case = MCPBOX__V1__TOOL__REJECTION_REASON_OPT_REJECTION_REASON;
	t->rejection_reason = reason;
	r = store_decisions_undo(w->tx, t->id);
	if (r == 0)
		r = add_decision(w, t, "reject", reason);
	if (r != 0)
		return r;
	work_audit(w, "tool.rejected", "tool", t->id, "ok", tool_detail(t));
	*ret_text = work_say(w, "Tool '%s' version %u is rejected.", t->name, t->current_version);
	return store_tool_save(w->tx, t);
}

static int submit_for_review(struct work *w, PB(Tool) * t, ProtobufCBinaryData reason,
			     ProtobufCBinaryData *ret_text, struct err *err)
{
	int r = submit(w, t, reason, err);

	*ret_text = work_say(w, "Tool '%s' is submitted; its status is %s.", t->name,
			     t->approval_status);
	return r;
}

static const struct action {
	const char *name;
	const char *topic; /* when it is refused */
	int (*run)(struct work *w, PB(Tool) * t, ProtobufCBinaryData reason,
		   ProtobufCBinaryData *ret_text, struct err *err);
} actions[] = {
	{ "approve", "tool.approved", approve },
	{ "reject", "tool.rejected", reject },
	{ "submit_for_review", "tool.submitted", submit_for_review },
};

static int find_action(const char *name, const struct action **ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].name, name) == 0) {
			*ret = &actions[i];
			return 0;
		}
	return err_set_field(err, ERR_INVALID, "action", NULL,
			     "action must be approve, reject or submit_for_review");
}

static void answer_decision(struct work *w, const PB(Tool) * t, ProtobufCBinaryData text)
{
	PB(DecideToolReply) reply = MCPBOX__V1__DECIDE_TOOL_REPLY__INIT;

	reply.success = true;
	reply.message = text;
	reply.tool_id = t->id;
	reply.status = t->approval_status;
	reply.server_refreshed = true; /* every gateway looks at the map again */
	work_answer(w, &reply.base);
}

int approval_decide(struct work *w, const void *message, struct err *err)
{
	const PB(DecideToolRequest) *in = message;
	ProtobufCBinaryData text = { 0 };
	const struct action *action = NULL;
	PB(Tool) *t = NULL;
	int r = find_action(in->action, &action, err);

	if (r == 0)
		w->refused_topic = action->topic;
	if (r == 0)
		r = check_text("reason", in->reason, TEXT_MAX, err);
	if (r == 0)
		r = tool_load(w, in->tool_id, true, &t, err);
	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, t->revision,
					&t->base);
	if (r == 0)
		r = check_content(t, in->content_hash, err);
	if (r == 0)
		r = action->run(w, t, in->reason, &text, err);
	if (r == 0)
		answer_decision(w, t, text);
	return r;
}

static int revoke(struct work *w, PB(Tool) * t, ProtobufCBinaryData reason, struct err *err)
{
	int r;

	if (!t->live_version_opt_case)
		return wrong_state(t, "revoke", err);
	t->live_version_opt_case = 0;
	if (has_status(t, "approved"))
		make_pending(w, t, (ProtobufCBinaryData){ 0 });
	r = store_decisions_undo(w->tx, t->id);
	if (r == 0)
		r = add_decision(w, t, "revoke", reason);
	if (r == 0)
		r = store_permits_revoke(w->tx, t->server_id, t->id);
	if (r != 0)
		return r;
	work_audit(w, "tool.revoked", "tool", t->id, "ok", tool_detail(t));
	return store_tool_save(w->tx, t);
}

int approval_revoke(struct work *w, const void *message, struct err *err)
{
	const PB(RevokeToolRequest) *in = message;
	PB(Tool) * t;
	int r = check_text("reason", in->reason, TEXT_MAX, err);

	if (r == 0)
		r = tool_load(w, in->tool_id, true, &t, err);
	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, t->revision,
					&t->base);
	if (r == 0)
		r = revoke(w, t, in->reason, err);
	if (r == 0)
		answer_decision(w, t,
				work_say(w,
					 "The approval of tool '%s' is revoked; it no longer runs.",
					 t->name));
	return r;
}
