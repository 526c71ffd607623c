/* pending, show, approve, reject, revoke: what a reviewer does. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "client.h"
#include "ctl.h"
#include "diff.h"
#include "find.h"
#include "json.h"
#include "mem.h"
#include "print.h"
#include "session.h"

#define DIFF_MAX (4u * 1024 * 1024)

/* ---- pending ---- */

static char *tool_label(const json_t *tool)
{
	return mem_printf("%s/%s", print_member(tool, "server_name", "?"), print_member(tool, "name", "?"));
}

static char *host_label(const json_t *request)
{
	json_int_t port = json_integer_value(json_object_get(request, "port"));
	const char *private_mark = json_is_true(json_object_get(request, "private_requested")) ? "+private"
											       : "";
	const char *host = print_member(request, "host", "?");

	return port ? mem_printf("%s:%lld%s", host, (long long)port, private_mark)
		    : mem_printf("%s%s", host, private_mark);
}

static void print_pending_tools(const json_t *tools)
{
	static const char *const heads[] = { "TOOL", "VERSION", "LIVE", "ASKED", "NOTES" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *tool;

	json_array_foreach(tools, i, tool) {
		BOX_CLEANUP(mem_freep) char *label = tool_label(tool);
		char version[24], live[24];

		print_number(tool, "current_version", version);
		print_number(tool, "live_version", live);
		print_table_row(t, (const char *const[]){
					   label, version, live,
					   print_member(tool, "approval_requested_at", NULL),
					   print_member(tool, "publish_notes", NULL) });
	}
	print_table_end(t, stdout);
}

static void print_requests(const json_t *requests)
{
	static const char *const heads[] = { "REQUEST", "HOST", "FOR", "STATUS", "WHY" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *request;

	json_array_foreach(requests, i, request) {
		BOX_CLEANUP(mem_freep) char *x = mem_printf("host:%s", print_member(request, "id", "?"));
		BOX_CLEANUP(mem_freep) char *host = host_label(request);
		BOX_CLEANUP(mem_freep) char *tool =
			mem_printf("%s/%s", print_member(request, "server_name", "?"),
				   print_member(request, "tool_name", "*"));

		print_table_row(t, (const char *const[]){ x, host, tool,
							  print_member(request, "status", NULL),
							  print_member(request, "justification", NULL) });
	}
	print_table_end(t, stdout);
}

static void print_pending(const json_t *tools, const json_t *requests)
{
	bool has_tools = json_array_size(tools) > 0, has_requests = json_array_size(requests) > 0;

	if (has_tools)
		print_pending_tools(tools);
	if (has_tools && has_requests)
		(void)putchar('\n');
	if (has_requests)
		print_requests(requests);
	if (has_tools || has_requests)
		(void)puts("\nLook at one: mcpboxctl show X");
	else
		(void)puts("Nothing is waiting.");
}

enum ctl_exit cmd_pending(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *tools = NULL;
	BOX_CLEANUP(json_decrefp) json_t *requests = NULL;
	BOX_CLEANUP(json_decrefp) json_t *both = NULL;
	struct err err = { 0 };
	int r = session_list(ctl, "/api/approvals/tools?status=pending_review", &tools, &err);

	if (r == 0)
		r = session_list(ctl, "/api/approvals/network?status=pending", &requests, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	both = json_pack("{s:O, s:O}", "tools", tools, "network", requests);
	if (ctl->options.json)
		print_json(stdout, both);
	else
		print_pending(tools, requests);
	return CTL_DONE;
}

/* ---- all that a reviewer should see of a tool ---- */

struct review {
	json_t *tool;
	json_t *server;
	json_t *requests; /* hosts that this tool asked for */
	json_t *live;     /* the live version, when it is not the head; else NULL */
	json_t *changes;  /* differences of the head to it */
	struct buf diff;  /* of the code */
};

static void review_done(struct review *v)
{
	json_decref(v->tool);
	json_decref(v->server);
	json_decref(v->requests);
	json_decref(v->live);
	json_decref(v->changes);
	buf_done(&v->diff);
}

static int get(const struct ctl *ctl, char *path, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *owned = path;

	return session_call(ctl, "GET", owned, NULL, ret, err);
}

static int get_requests(const struct ctl *ctl, const char *tool_id, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *all = NULL;
	json_t *mine, *request;
	size_t i;
	int r = session_list(ctl, "/api/approvals/network?status=all", &all, err);

	if (r < 0)
		return r;
	mine = json_array();
	json_array_foreach(all, i, request)
		if (strcmp(print_member(request, "tool_id", ""), tool_id) == 0)
			(void)json_array_append(mine, request);
	*ret = mine;
	return 0;
}

static int get_changes(const struct ctl *ctl, const char *id, struct review *v, struct err *err)
{
	const json_t *live = json_object_get(v->tool, "live_version");
	json_int_t head = json_integer_value(json_object_get(v->tool, "current_version"));
	json_int_t from = json_integer_value(live);
	json_t *comparison = NULL;
	int r;

	if (!json_is_integer(live) || from == head)
		return 0;
	r = get(ctl, mem_printf("/api/tools/%s/versions/%lld", id, (long long)from), &v->live, err);
	if (r == 0)
		r = get(ctl,
			mem_printf("/api/tools/%s/versions/compare?from_version=%lld&to_version=%lld", id,
				   (long long)from, (long long)head),
			&comparison, err);
	if (r < 0)
		return r;
	v->changes = json_incref(json_object_get(comparison, "differences"));
	json_decref(comparison);
	diff_unified(print_member(v->live, "python_code", ""), print_member(v->tool, "python_code", ""),
		     &v->diff);
	return 0;
}

static int review_load(const struct ctl *ctl, const char *id, struct review *v, struct err *err)
{
	int r = get(ctl, mem_printf("/api/tools/%s", id), &v->tool, err);

	if (r == 0)
		r = get(ctl, mem_printf("/api/servers/%s", print_member(v->tool, "server_id", "")),
			&v->server, err);
	if (r == 0)
		r = get_requests(ctl, id, &v->requests, err);
	return r == 0 ? get_changes(ctl, id, v, err) : r;
}

/* ---- showing it ---- */

static void print_field(const char *name, const char *value)
{
	(void)printf("  %-14s ", name);
	print_safe(stdout, value, strlen(value));
	(void)putchar('\n');
}

static void print_facts(const json_t *tool)
{
	static const struct {
		const char *name, *key;
	} facts[] = {
		{ "id", "id" },
		{ "status", "approval_status" },
		{ "published as", "published_name" },
		{ "description", "description" },
		{ "notes", "publish_notes" },
		{ "written by", "created_by" },
		{ "asked", "approval_requested_at" },
		{ "approved", "approved_at" },
		{ "approved by", "approved_by" },
		{ "rejected for", "rejection_reason" },
		{ "content hash", "content_hash" },
	};
	char head[24], live[24], both[64];

	print_number(tool, "current_version", head);
	print_number(tool, "live_version", live);
	(void)snprintf(both, sizeof(both), "%s (live: %s)", head, live[0] == '-' ? "none" : live);
	print_field("version", both);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		const char *value = print_member(tool, facts[i].key, NULL);

		if (value)
			print_field(facts[i].name, value);
	}
}

static void print_changes(const struct review *v)
{
	size_t i;
	json_t *change;

	(void)printf("\nWhat changed since the live version, %lld\n",
		     (long long)json_integer_value(json_object_get(v->live, "version_number")));
	json_array_foreach(v->changes, i, change) {
		const char *field = print_member(change, "field", "?");
		char *old_value, *new_value;

		if (strcmp(field, "python_code") == 0)
			continue;
		old_value = json_dumps(json_object_get(change, "old_value"), JSON_ENCODE_ANY);
		new_value = json_dumps(json_object_get(change, "new_value"), JSON_ENCODE_ANY);
		(void)printf("  %s\n", field);
		print_indented(stdout, "  - ", old_value ? old_value : "null");
		print_indented(stdout, "  + ", new_value ? new_value : "null");
		free(old_value);
		free(new_value);
	}
	if (v->diff.len > 0)
		print_indented(stdout, "  ", (const char *)v->diff.data);
	else
		(void)puts("  The code is the same.");
}

static void print_code(const char *code)
{
	for (unsigned number = 1; *code; number++) {
		size_t len = strcspn(code, "\n");

		(void)printf("%5u  ", number);
		print_safe(stdout, code, len);
		(void)putchar('\n');
		code += len + (code[len] == '\n');
	}
}

static void print_review(const struct review *v, const char *x)
{
	(void)printf("%s/%s\n", print_member(v->server, "name", "?"), print_member(v->tool, "name", "?"));
	print_facts(v->tool);
	(void)puts("\nHosts that it asked for");
	if (json_array_size(v->requests) > 0)
		print_requests(v->requests);
	else
		(void)puts("  none");
	if (v->live)
		print_changes(v);
	(void)puts("\nCode");
	print_code(print_member(v->tool, "python_code", ""));
	if (strcmp(print_member(v->tool, "approval_status", ""), "pending_review") == 0)
		(void)printf("\nDecide: mcpboxctl approve %s, or reject %s --reason \"why\"\n", x, x);
}

static void print_review_json(const struct review *v)
{
	BOX_CLEANUP(json_decrefp) json_t *tree =
		json_pack("{s:O, s:O, s:O, s:O?, s:O?, s:s#}", "tool", v->tool, "server", v->server,
			  "requests", v->requests, "live", v->live, "differences", v->changes, "diff",
			  v->diff.data ? (const char *)v->diff.data : "", (int)v->diff.len);

	print_json(stdout, tree);
}

/* The hash that was on the screen: approving later means that and nothing newer. */
static char *seen_path(const struct ctl *ctl, const char *tool_id)
{
	BOX_CLEANUP(mem_freep) char *name = mem_printf("ctl/seen-%s", tool_id);

	return place_path(&ctl->place, name);
}

static void remember_seen(const struct ctl *ctl, const json_t *tool)
{
	BOX_CLEANUP(mem_freep) char *path = seen_path(ctl, print_member(tool, "id", ""));
	const char *hash = print_member(tool, "content_hash", "");
	struct err err = { 0 };

	if (place_write_file(path, hash, strlen(hash), &err) < 0)
		(void)fprintf(stderr, "mcpboxctl: %s; approve with --hash to mean what you saw\n", err.text);
}

/* A decision ends what was seen before it. */
static void forget_seen(const struct ctl *ctl, const char *id)
{
	BOX_CLEANUP(mem_freep) char *path = seen_path(ctl, id);

	(void)unlink(path);
}

static enum ctl_exit show_tool(const struct ctl *ctl, const char *id)
{
	struct review v = { .diff = BUF_INIT(DIFF_MAX) };
	struct err err = { 0 };
	enum ctl_exit code = CTL_DONE;

	if (review_load(ctl, id, &v, &err) < 0) {
		code = ctl_fail(ctl, &err);
	} else {
		remember_seen(ctl, v.tool);
		if (ctl->options.json)
			print_review_json(&v);
		else
			print_review(&v, ctl->args[0]);
	}
	review_done(&v);
	return code;
}

static int get_request(const struct ctl *ctl, const char *id, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *all = NULL;
	json_t *request;
	size_t i;
	int r = session_list(ctl, "/api/approvals/network?status=all", &all, err);

	if (r < 0)
		return r;
	json_array_foreach(all, i, request) {
		if (strcmp(print_member(request, "id", ""), id) == 0) {
			*ret = json_incref(request);
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "there is no host request %s", id);
}

static enum ctl_exit show_request(const struct ctl *ctl, const char *id)
{
	static const struct {
		const char *name, *key;
	} facts[] = {
		{ "status", "status" },	       { "server", "server_name" },
		{ "tool", "tool_name" },       { "why", "justification" },
		{ "asked by", "requested_by" }, { "asked", "created_at" },
		{ "decided by", "reviewed_by" }, { "decided", "reviewed_at" },
		{ "rejected for", "rejection_reason" },
	};
	BOX_CLEANUP(json_decrefp) json_t *request = NULL;
	BOX_CLEANUP(mem_freep) char *host = NULL;
	struct err err = { 0 };

	if (get_request(ctl, id, &request, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json) {
		print_json(stdout, request);
		return CTL_DONE;
	}
	host = host_label(request);
	print_field("host", host);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		const char *value = print_member(request, facts[i].key, NULL);

		if (value)
			print_field(facts[i].name, value);
	}
	if (json_is_true(json_object_get(request, "allow_private")))
		print_field("private", "addresses in private networks are allowed");
	return CTL_DONE;
}

enum ctl_exit cmd_show(struct ctl *ctl)
{
	struct target target;
	struct err err = { 0 };

	if (find_target(ctl, ctl->args[0], &target, &err) < 0)
		return ctl_fail(ctl, &err);
	return target.kind == TARGET_TOOL ? show_tool(ctl, target.id) : show_request(ctl, target.id);
}

/* ---- deciding ---- */

/* --hash, else what `show` had on the screen, else what is there now.  Heap. */
static int reviewed_hash(const struct ctl *ctl, const char *id, char **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = seen_path(ctl, id);
	BOX_CLEANUP(json_decrefp) json_t *tool = NULL;
	struct err ignored = { 0 };
	size_t len;
	int r;

	if (ctl->options.hash) {
		*ret = mem_strdup(ctl->options.hash);
		return 0;
	}
	if (place_read_file(path, 128, ret, &len, &ignored) == 0 && len > 0)
		return 0;
	r = get(ctl, mem_printf("/api/tools/%s", id), &tool, err);
	if (r == 0)
		*ret = mem_strdup(print_member(tool, "content_hash", ""));
	return r;
}

static int changed_since(int r, struct err *err)
{
	if (r == -ERR_STALE)
		return err_set_field(err, ERR_STALE, NULL, "mcpboxctl show it again, then decide",
				     "it has changed since you looked at it");
	return r;
}

static int let_through(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *hash = NULL;
	BOX_CLEANUP(mem_freep) char *path = NULL;
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	int r;

	if (t->kind == TARGET_HOST) {
		path = mem_printf("/api/approvals/network/%s/action", t->id);
		body = json_pack("{s:s, s:b}", "action", "approve", "allow_private",
				 ctl->options.allow_private);
		return session_call(ctl, "POST", path, body, ret, err);
	}
	r = reviewed_hash(ctl, t->id, &hash, err);
	if (r < 0)
		return r;
	path = mem_printf("/api/approvals/tools/%s/action", t->id);
	body = json_pack("{s:s, s:s}", "action", "approve", "content_hash", hash);
	return changed_since(session_call(ctl, "POST", path, body, ret, err), err);
}

static const char *const resources[] = { [TARGET_TOOL] = "tools", [TARGET_HOST] = "network" };

static int send_back(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path =
		mem_printf("/api/approvals/%s/%s/action", resources[t->kind], t->id);
	BOX_CLEANUP(json_decrefp) json_t *body =
		json_pack("{s:s, s:s}", "action", "reject", "reason", ctl->options.reason);

	if (!body)
		return err_set(err, ERR_INVALID, "the reason must be UTF-8");
	return session_call(ctl, "POST", path, body, ret, err);
}

static int take_back(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path =
		mem_printf("/api/approvals/%s/%s/revoke", resources[t->kind], t->id);

	return session_call(ctl, "POST", path, NULL, ret, err);
}

typedef int decision(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err);

static enum ctl_exit decide(const struct ctl *ctl, decision *fn, const char *done)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct target target;
	struct err err = { 0 };
	const char *message;
	int r = find_target(ctl, ctl->args[0], &target, &err);

	if (r == 0)
		r = fn(ctl, &target, &answer, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	forget_seen(ctl, target.id);
	if (ctl->options.json) {
		print_json(stdout, answer);
		return CTL_DONE;
	}
	(void)printf("%s %s.", done, ctl->args[0]);
	message = print_member(answer, "message", NULL);
	if (message) {
		(void)putchar(' ');
		print_safe(stdout, message, strlen(message));
	}
	(void)putchar('\n');
	return CTL_DONE;
}

enum ctl_exit cmd_approve(struct ctl *ctl)
{
	return decide(ctl, let_through, "Approved");
}

enum ctl_exit cmd_reject(struct ctl *ctl)
{
	if (!ctl->options.reason || !*ctl->options.reason) {
		(void)fputs("mcpboxctl: rejecting needs --reason, so that the author knows what to change\n",
			    stderr);
		return CTL_USAGE;
	}
	return decide(ctl, send_back, "Rejected");
}

enum ctl_exit cmd_revoke(struct ctl *ctl)
{
	return decide(ctl, take_back, "Revoked");
}
