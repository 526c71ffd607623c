/* Hosts that servers may reach: asked for by tools, decided by people. */
#include <string.h>
#include "checks.h"
#include "hosts.h"
#include "id.h"
#include "nouns.h"
#include "servers.h"
#include "settings.h"
#include "tools.h"

static bool has_status(const PB(NetworkRequest) * n, const char *status)
{
	return strcmp(n->status, status) == 0;
}

static json_t *host_detail(const PB(NetworkRequest) * n)
{
	return json_pack("{s:s, s:i, s:b, s:s, s:s}", "host", n->host, "port",
			 n->port_opt_case ? (int)n->port : 0, "private", (int)n->allow_private,
			 "server_id", n->server_id, "status", n->status);
}

static void entry_of(const PB(NetworkRequest) * n, bool with_private, char ret[300])
{
	struct host_entry h = { .port = n->port_opt_case ? n->port : 0 };

	(void)snprintf(h.host, sizeof(h.host), "%s", n->host);
	host_format(&h, with_private, ret);
}

/* ---- asking -------------------------------------------------------------------------------------- */

static int parse_target(const PB(RequestNetworkAccessRequest) * in, struct host_entry *ret,
			struct err *err)
{
	int r = host_parse((const char *)in->host.data, in->host.len, ret, err);

	if (r < 0 || !in->port_opt_case)
		return r;
	if (in->port < 1 || in->port > 65535)
		return err_set_field(err, ERR_INVALID, "port", NULL,
				     "the port must be from 1 to 65535");
	if (ret->port && ret->port != in->port)
		return err_set_field(err, ERR_INVALID, "port", NULL,
				     "host and port name different ports");
	ret->port = in->port;
	return 0;
}

static int check_private(const struct host_entry *h, bool asked, struct err *err)
{
	char entry[300];

	if (!h->needs_private || asked)
		return 0;
	host_format(h, true, entry);
	return err_set_field(err, ERR_INVALID, "host",
			     "an administrator then decides with allow_private",
			     "'%s' is a local host: ask for '%s'", h->host, entry);
}

/* An approval that is there already, of whichever tool of the server. */
static int judge_approved(PB(NetworkRequest) *const *rows, size_t count, const struct host_entry *h,
			  struct err *err)
{
	char entry[300];

	for (size_t i = 0; i < count; i++) {
		const PB(NetworkRequest) *n = rows[i];

		if (!has_status(n, "approved") || (h->is_private && !n->allow_private))
			continue;
		entry_of(n, n->allow_private, entry);
		return err_set(err, ERR_EXISTS,
			       "'%s' is already approved for this server: use it now", entry);
	}
	return 0;
}

/* The tool's own history. */
static int judge_own(PB(NetworkRequest) *const *rows, size_t count, const char *tool_id,
		     struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const PB(NetworkRequest) *n = rows[i];

		if (!n->tool_id_opt_case || strcmp(n->tool_id, tool_id) != 0)
			continue;
		if (has_status(n, "rejected"))
			return err_set(err, ERR_EXISTS,
				       "access to '%s' was rejected for this tool: %.*s. An "
				       "administrator has to "
				       "delete that decision before it can be asked for again",
				       n->host, (int)n->rejection_reason.len,
				       (const char *)n->rejection_reason.data);
		if (has_status(n, "pending"))
			return err_set(err, ERR_EXISTS,
				       "access to '%s' is already waiting for a decision", n->host);
	}
	return 0;
}

/* May this tool ask for that once more?  443 is what an entry without a port covers. */
static int find_same(struct work *w, const char *server_id, const char *tool_id,
		     const struct host_entry *h, struct err *err)
{
	PB(NetworkRequest) * *rows, **portless = NULL;
	size_t count, portless_count = 0;
	int r = store_network_same(w->tx, server_id, h->host, h->port, &rows, &count);

	if (r == 0 && h->port == 443)
		r = store_network_same(w->tx, server_id, h->host, 0, &portless, &portless_count);
	if (r == 0)
		r = judge_approved(rows, count, h, err);
	if (r == 0)
		r = judge_approved(portless, portless_count, h, err);
	return r == 0 ? judge_own(rows, count, tool_id, err) : r;
}

static void fill_request(struct work *w, const struct host_entry *h, PB(NetworkRequest) * n)
{
	char id[ID_TEXT_SIZE];

	id_new(id);
	n->id = arena_str(&w->arena, id);
	n->host = arena_str(&w->arena, h->host);
	if (h->port) {
		n->port_opt_case = MCPBOX__V1__NETWORK_REQUEST__PORT_OPT_PORT;
		n->port = h->port;
	}
	n->private_requested = h->is_private;
	if (w->actor->author[0]) {
		n->requested_by_opt_case =
			MCPBOX__V1__NETWORK_REQUEST__REQUESTED_BY_OPT_REQUESTED_BY;
		n->requested_by = arena_str(&w->arena, w->actor->author);
	}
}

static void make_approved(struct work *w, PB(NetworkRequest) * n, const char *reviewer)
{
	n->status = arena_str(&w->arena, "approved");
	n->reviewed_by_opt_case = MCPBOX__V1__NETWORK_REQUEST__REVIEWED_BY_OPT_REVIEWED_BY;
	n->reviewed_by = arena_str(&w->arena, reviewer);
	n->reviewed_at_unix_ms = w->now_unix_ms;
	n->rejection_reason_opt_case = 0;
	n->rejection_reason = (ProtobufCBinaryData){ 0 };
}

static int insert_request(struct work *w, PB(NetworkRequest) * n, struct err *err)
{
	PB(SecurityPolicy) * policy;
	int r = store_policy_get(w->tx, false, &policy);

	if (r != 0)
		return r;
	n->status = arena_str(&w->arena, "pending");
	work_audit(w, "host.requested", "host", n->id, "ok", host_detail(n));
	if (policy_allows_public(policy) && !n->private_requested) {
		make_approved(w, n, "auto_approve");
		work_audit(w, "host.approved", "host", n->id, "ok", host_detail(n));
		w->moves_state = true;
	}
	r = store_network_create(w->tx, n);
	if (r == -ERR_EXISTS)
		return err_set(err, ERR_EXISTS, "access to '%s' is already waiting for a decision",
			       n->host);
	return r == 0 && w->moves_state ? store_server_forget_grant(w->tx, n->server_id) : r;
}

static int ask_for(struct work *w, const PB(RequestNetworkAccessRequest) * in,
		   PB(NetworkRequest) * n, struct err *err)
{
	struct host_entry h;
	PB(Tool) * tool;
	int r = parse_target(in, &h, err);

	if (r == 0)
		r = check_private(&h, h.is_private, err);
	if (r == 0)
		r = check_reason("justification", in->justification, err);
	if (r == 0)
		r = tool_load(w, in->tool_id, true, &tool, err);
	if (r == 0)
		r = find_same(w, tool->server_id, tool->id, &h, err);
	if (r != 0)
		return r;
	fill_request(w, &h, n);
	n->tool_id_opt_case = MCPBOX__V1__NETWORK_REQUEST__TOOL_ID_OPT_TOOL_ID;
	n->tool_id = tool->id;
	n->server_id = tool->server_id;
	n->justification = in->justification;
	n->source = arena_str(&w->arena, "llm");
	return insert_request(w, n, err);
}

int network_request(struct work *w, const void *message, struct err *err)
{
	const PB(RequestNetworkAccessRequest) *in = message;
	PB(RequestNetworkAccessReply) reply = MCPBOX__V1__REQUEST_NETWORK_ACCESS_REPLY__INIT;
	PB(NetworkRequest) n = MCPBOX__V1__NETWORK_REQUEST__INIT;
	char entry[300];
	int r = ask_for(w, in, &n, err);

	if (r != 0)
		return r;
	entry_of(&n, n.private_requested, entry);
	reply.success = true;
	reply.request_id = n.id;
	reply.host = n.host;
	if (n.port_opt_case) {
		reply.port_opt_case = MCPBOX__V1__REQUEST_NETWORK_ACCESS_REPLY__PORT_OPT_PORT;
		reply.port = n.port;
	}
	reply.status = n.status;
	reply.message =
		has_status(&n, "approved")
			? work_say(w,
				   "Access to '%s' was approved automatically; it can be used now.",
				   entry)
			: work_say(w,
				   "Access to '%s' is requested and waits for an administrator's "
				   "decision. "
				   "It holds for all tools of the server once approved; "
				   "mcpbox_get_tool_status shows the decision.",
				   entry);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- lists --------------------------------------------------------------------------------------- */

int network_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListNetworkRequestsRequest) *in = message;
	PB(ListNetworkRequestsReply) reply = MCPBOX__V1__LIST_NETWORK_REQUESTS_REPLY__INIT;
	struct filter f = { .page = work_page(in->page, in->page_size, 20) };
	int64_t total = 0;
	int r = work_filter_requests(w, &f, in->server_id, in->search, in->status, err);

	if (r == 0)
		r = store_network_list(w->tx, &f, &reply.items, &reply.n_items, &total);
	if (r != 0)
		return r;
	WORK_FILL_PAGE(&reply, f.page, total);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- deciding ------------------------------------------------------------------------------------ */

static int load(struct work *w, const char *id, PB(NetworkRequest) * *ret, struct err *err)
{
	int r = work_check_id(err, "request_id", id);

	if (r != 0)
		return r;
	w->object_kind = "host";
	w->object_id = arena_str(&w->arena, id);
	r = store_network_get(w->tx, id, true, ret);
	return r < 0 ? work_missing(err, r, "network request", id) : 0;
}

static int save_and_answer(struct work *w, PB(NetworkRequest) * n)
{
	PB(NetworkDecisionReply) reply = MCPBOX__V1__NETWORK_DECISION_REPLY__INIT;
	int r = store_network_save(w->tx, n);

	if (r == 0)
		r = store_server_forget_grant(w->tx, n->server_id);
	if (r != 0)
		return r;
	n->revision++;
	reply.request = n;
	work_answer(w, &reply.base);
	return 0;
}

static int wrong_state(const PB(NetworkRequest) * n, const char *action, struct err *err)
{
	return err_set(err, ERR_STATE, "cannot %s the request for '%s': its status is %s", action,
		       n->host, n->status);
}

static int approve(struct work *w, const PB(DecideNetworkRequest) * in, PB(NetworkRequest) * n,
		   struct err *err)
{
	struct host_entry h;
	int r = host_parse(n->host, strlen(n->host), &h, err);

	if (r == 0 && h.needs_private && !in->allow_private)
		r = err_set_field(
			err, ERR_INVALID, "allow_private", "approve it with allow_private",
			"'%s' is a local host and can be reached only with allow_private", n->host);
	if (r != 0)
		return r;
	make_approved(w, n, w->actor->name);
	n->allow_private = in->allow_private;
	work_audit(w, "host.approved", "host", n->id, "ok", host_detail(n));
	return 0;
}

static int reject(struct work *w, const PB(DecideNetworkRequest) * in, PB(NetworkRequest) * n,
		  struct err *err)
{
	if (in->reason.len == 0)
		return err_set_field(err, ERR_INVALID, "reason", NULL,
				     "a rejection needs a reason");
	make_approved(w, n, w->actor->name);
	n->status = arena_str(&w->arena, "rejected");
	n->rejection_reason_opt_case =
		MCPBOX__V1__NETWORK_REQUEST__REJECTION_REASON_OPT_REJECTION_REASON;
	n->rejection_reason = in->reason;
	work_audit(w, "host.rejected", "host", n->id, "ok", host_detail(n));
	return 0;
}

int network_decide(struct work *w, const void *message, struct err *err)
{
	const PB(DecideNetworkRequest) *in = message;
	bool is_approve = strcmp(in->action, "approve") == 0;
	PB(NetworkRequest) * n;
	int r;

	if (!is_approve && strcmp(in->action, "reject") != 0)
		return err_set_field(err, ERR_INVALID, "action", NULL,
				     "action must be approve or reject");
	w->refused_topic = is_approve ? "host.approved" : "host.rejected";
	r = check_text("reason", in->reason, TEXT_MAX, err);
	if (r == 0)
		r = load(w, in->request_id, &n, err);
	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, n->revision,
					&n->base);
	if (r == 0 && !has_status(n, "pending"))
		r = wrong_state(n, in->action, err);
	if (r == 0)
		r = is_approve ? approve(w, in, n, err) : reject(w, in, n, err);
	return r == 0 ? save_and_answer(w, n) : r;
}

int network_revoke(struct work *w, const void *message, struct err *err)
{
	const PB(RevokeNetworkRequest) *in = message;
	PB(NetworkRequest) * n;
	int r = load(w, in->request_id, &n, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, n->revision,
					&n->base);
	if (r == 0 && !has_status(n, "approved"))
		r = wrong_state(n, "revoke", err);
	if (r == 0 && !n->tool_id_opt_case)
		r = err_set_field(
			err, ERR_STATE, NULL, "remove it from the server's allowed hosts",
			"'%s' was allowed by an administrator and not asked for by a tool",
			n->host);
	if (r == 0)
		r = store_permits_revoke(w->tx, n->server_id,
					 NULL); /* grants with that host end now */
	if (r != 0)
		return r;
	n->status = arena_str(&w->arena, "pending");
	n->reviewed_by_opt_case = 0;
	n->reviewed_at_unix_ms = 0;
	n->allow_private = false;
	work_audit(w, "host.revoked", "host", n->id, "ok", host_detail(n));
	r = save_and_answer(w, n);
	return r == -ERR_EXISTS ? err_set(err, ERR_EXISTS,
					  "the tool has another pending request for '%s'", n->host)
				: r;
}

int network_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteNetworkRequestRequest) *in = message;
	PB(DeleteNetworkRequestReply) reply = MCPBOX__V1__DELETE_NETWORK_REQUEST_REPLY__INIT;
	PB(NetworkRequest) * n;
	int r = load(w, in->request_id, &n, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, n->revision,
					&n->base);
	if (r == 0 && has_status(n, "approved"))
		r = err_set(err, ERR_STATE, "access to '%s' is approved: revoke it first", n->host);
	if (r == 0)
		r = store_network_delete(w->tx, n->id);
	if (r != 0)
		return r;
	work_audit(w, "host.deleted", "host", n->id, "ok", host_detail(n));
	reply.success = true;
	reply.message =
		work_say(w, "The request for '%s' is deleted; it may be made again.", n->host);
	reply.host = n->host;
	if (n->port_opt_case) {
		reply.port_opt_case = MCPBOX__V1__DELETE_NETWORK_REQUEST_REPLY__PORT_OPT_PORT;
		reply.port = n->port;
	}
	reply.status = n->status;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- an administrator's own entries -------------------------------------------------------------- */

static int answer_hosts(struct work *w, const char *server_id)
{
	PB(AllowedHostsReply) reply = MCPBOX__V1__ALLOWED_HOSTS_REPLY__INIT;
	int r = store_server_forget_grant(w->tx, server_id);

	if (r == 0)
		r = store_server_allowed_hosts(w->tx, server_id, &reply.allowed_hosts,
					       &reply.n_allowed_hosts);
	if (r != 0)
		return r;
	reply.server_id = arena_str(&w->arena, server_id);
	work_answer(w, &reply.base);
	return 0;
}

int network_allow(struct work *w, const void *message, struct err *err)
{
	const PB(AllowHostRequest) *in = message;
	PB(NetworkRequest) n = MCPBOX__V1__NETWORK_REQUEST__INIT;
	struct host_entry h;
	PB(Server) * server;
	int r = host_parse((const char *)in->host.data, in->host.len, &h, err);

	if (r == 0 && (h.is_private || h.needs_private) && !in->allow_private)
		r = err_set_field(err, ERR_INVALID, "allow_private", "set allow_private",
				  "'%s' can be reached only with allow_private", h.host);
	if (r == 0)
		r = server_load(w, in->server_id, true, &server, err);
	if (r != 0)
		return r;
	fill_request(w, &h, &n);
	n.server_id = server->id;
	n.allow_private = in->allow_private;
	n.justification = pb_text("Added by an administrator");
	n.source = arena_str(&w->arena, "admin");
	make_approved(w, &n, w->actor->name);
	work_audit(w, "host.approved", "host", n.id, "ok", host_detail(&n));
	r = store_network_create(w->tx, &n);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, "host", NULL, "'%s' is on the list already",
				     h.host);
	return r == 0 ? answer_hosts(w, server->id) : r;
}

/* Only what an administrator added goes this way; what a tool asked for is revoked. */
static int find_own_entry(struct work *w, const char *server_id, const struct host_entry *h,
			  PB(NetworkRequest) * *ret, struct err *err)
{
	PB(NetworkRequest) * *rows;
	size_t count;
	int r = store_network_same(w->tx, server_id, h->host, h->port, &rows, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		if (!rows[i]->tool_id_opt_case) {
			*ret = rows[i];
			return 0;
		}
	return r < 0 ? r
		     : err_set_field(err, ERR_STATE, "host",
				     "a tool's request is revoked, not removed",
				     "'%s' is not on the list of hosts that administrators added",
				     h->host);
}

int network_remove(struct work *w, const void *message, struct err *err)
{
	const PB(RemoveHostRequest) *in = message;
	PB(NetworkRequest) *n = NULL;
	struct host_entry h;
	PB(Server) *server = NULL;
	int r = host_parse((const char *)in->host.data, in->host.len, &h, err);

	if (r == 0)
		r = server_load(w, in->server_id, true, &server, err);
	if (r == 0)
		r = find_own_entry(w, server->id, &h, &n, err);
	if (r == 0)
		r = store_permits_revoke(w->tx, server->id, NULL);
	if (r == 0)
		r = store_network_delete(w->tx, n->id);
	if (r != 0)
		return r;
	work_audit(w, "host.revoked", "host", n->id, "ok", host_detail(n));
	return answer_hosts(w, server->id);
}
