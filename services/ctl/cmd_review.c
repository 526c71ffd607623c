/* pending, show, approve, reject, revoke: what a reviewer does. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "ctl.h"
#include "find.h"
#include "json.h"
#include "mem.h"
#include "print.h"
#include "review.h"
#include "session.h"

/* ---- pending ---- */

static char *tool_label(const json_t *tool)
{
	return mem_printf("%s/%s", print_member(tool, "server_name", "?"),
			  print_member(tool, "name", "?"));
}

static void print_pending_tools(const json_t *tools)
{
	static const char *const heads[] = { "TOOL", "VERSION", "LIVE", "ASKED", "NOTES" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *tool;

	json_array_foreach(tools, i, tool)
	{
		BOX_CLEANUP(mem_freep) char *label = tool_label(tool);
		char version[24], live[24];

		print_number(tool, "current_version", version);
		print_number(tool, "live_version", live);
		print_table_row(
			t, (const char *const[]){ label, version, live,
						  print_member(tool, "approval_requested_at", NULL),
						  print_member(tool, "publish_notes", NULL) });
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
		review_print_requests(requests);
	if (has_tools || has_requests)
		(void)puts("\nLook at one: " CTL_SELF " show X");
	else
		(void)puts("Nothing is waiting.");
}

static int load_pending(const struct ctl *ctl, json_t **tools, json_t **hosts, json_t **modules,
			struct err *err)
{
	int r = session_list(ctl, "/api/approvals/tools?status=pending_review", tools, err);

	if (r == 0)
		r = session_list(ctl, "/api/approvals/network?status=pending", hosts, err);
	if (r == 0)
		r = session_list(ctl, "/api/approvals/modules?status=pending", modules, err);
	return r;
}

enum ctl_exit cmd_pending(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *tools = NULL;
	BOX_CLEANUP(json_decrefp) json_t *hosts = NULL;
	BOX_CLEANUP(json_decrefp) json_t *modules = NULL;
	BOX_CLEANUP(json_decrefp) json_t *all = NULL;
	struct err err = { 0 };

	if (load_pending(ctl, &tools, &hosts, &modules, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json) {
		all = json_pack("{s:O, s:O, s:O}", "tools", tools, "network", hosts, "modules",
				modules);
		print_json(stdout, all);
		return CTL_DONE;
	}
	all = json_copy(hosts);
	(void)json_array_extend(all, modules);
	print_pending(tools, all);
	return CTL_DONE;
}

/* ---- show ---- */

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
		(void)fprintf(stderr, "mcpboxctl: %s; approve with --hash to mean what you saw\n",
			      err.text);
}

/* A decision ends what was seen before it. */
static void forget_seen(const struct ctl *ctl, const char *id)
{
	BOX_CLEANUP(mem_freep) char *path = seen_path(ctl, id);

	(void)unlink(path);
}

static enum ctl_exit show_tool(const struct ctl *ctl, const char *id)
{
	struct review v;
	struct err err = { 0 };
	enum ctl_exit code = CTL_DONE;

	if (review_load(ctl, id, &v, &err) < 0) {
		code = ctl_fail(ctl, &err);
	} else {
		remember_seen(ctl, v.tool);
		if (ctl->options.json)
			review_print_json(&v);
		else
			review_print(&v, ctl->args[0]);
	}
	review_done(&v);
	return code;
}

/* Where the admin service keeps each kind. */
static const char *const resources[] = {
	[TARGET_TOOL] = "tools",
	[TARGET_HOST] = "network",
	[TARGET_MODULE] = "modules",
};

static int get_request(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *all = NULL;
	BOX_CLEANUP(mem_freep)
	char *path = mem_printf("/api/approvals/%s?status=all", resources[t->kind]);
	json_t *request;
	size_t i;
	int r = session_list(ctl, path, &all, err);

	if (r < 0)
		return r;
	json_array_foreach(all, i, request)
	{
		if (strcmp(print_member(request, "id", ""), t->id) == 0) {
			*ret = json_incref(request);
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "there is no request %s", ctl->args[0]);
}

static enum ctl_exit show_request(const struct ctl *ctl, const struct target *t)
{
	BOX_CLEANUP(json_decrefp) json_t *request = NULL;
	struct err err = { 0 };

	if (get_request(ctl, t, &request, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, request);
	else
		review_print_request(request);
	return CTL_DONE;
}

enum ctl_exit cmd_show(struct ctl *ctl)
{
	struct target target;
	struct err err = { 0 };

	if (find_target(ctl, ctl->args[0], &target, &err) < 0)
		return ctl_fail(ctl, &err);
	return target.kind == TARGET_TOOL ? show_tool(ctl, target.id) : show_request(ctl, &target);
}

/* ---- deciding ---- */

/* --hash, else what `show` had on the screen; never what nobody has looked at.  Heap. */
static int reviewed_hash(const struct ctl *ctl, const char *id, char **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = seen_path(ctl, id);
	struct err ignored = { 0 };
	size_t len;

	if (ctl->options.hash) {
		*ret = mem_strdup(ctl->options.hash);
		return 0;
	}
	if (place_read_file(path, 128, ret, &len, &ignored) == 0 && len > 0)
		return 0;
	return err_set(err, ERR_STALE, "look at it first: " CTL_SELF " show %.200s", ctl->args[0]);
}

static int changed_since(const struct ctl *ctl, int r, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *hint = NULL;

	if (r != -ERR_STALE)
		return r;
	hint = mem_printf("look again, then decide: " CTL_SELF " show %.200s", ctl->args[0]);
	return err_set_field(err, ERR_STALE, NULL, hint,
			     "%.200s has changed since you looked at it", ctl->args[0]);
}

static int let_through(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *hash = NULL;
	BOX_CLEANUP(mem_freep) char *path = NULL;
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	int r;

	path = mem_printf("/api/approvals/%s/%s/action", resources[t->kind], t->id);
	if (t->kind != TARGET_TOOL) {
		body = t->kind == TARGET_MODULE
			       ? json_pack("{s:s}", "action", "approve")
			       : json_pack("{s:s, s:b}", "action", "approve", "allow_private",
					   ctl->options.allow_private);
		return session_call(ctl, "POST", path, body, ret, err);
	}
	r = reviewed_hash(ctl, t->id, &hash, err);
	if (r < 0)
		return r;
	body = json_pack("{s:s, s:s}", "action", "approve", "content_hash", hash);
	r = session_call(ctl, "POST", path, body, ret, err);
	return changed_since(ctl, r, err);
}

static int send_back(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *path = mem_printf("/api/approvals/%s/%s/action", resources[t->kind], t->id);
	BOX_CLEANUP(json_decrefp)
	json_t *body = json_pack("{s:s, s:s}", "action", "reject", "reason", ctl->options.reason);

	if (!body)
		return err_set(err, ERR_INVALID, "the reason must be UTF-8");
	return session_call(ctl, "POST", path, body, ret, err);
}

static int take_back(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *path = mem_printf("/api/approvals/%s/%s/revoke", resources[t->kind], t->id);

	return session_call(ctl, "POST", path, NULL, ret, err);
}

/* Decisions about tools come with a sentence, those about hosts and modules with the request. */
static void print_outcome(const json_t *answer)
{
	const char *message = print_member(answer, "message", NULL);
	BOX_CLEANUP(mem_freep) char *what = NULL;

	if (message) {
		(void)putchar(' ');
		print_safe(stdout, message, strlen(message));
	} else if (json_object_get(answer, "host") || json_object_get(answer, "module_name")) {
		what = review_request_label(answer);
		(void)printf(" The request of %s/%s for ", print_member(answer, "server_name", "?"),
			     print_member(answer, "tool_name", "*"));
		print_safe(stdout, what, strlen(what));
		(void)printf(" is %s.", print_member(answer, "status", "?"));
		if (json_object_get(answer, "module_name") &&
		    strcmp(print_member(answer, "status", ""), "approved") == 0)
			(void)fputs(" Every tool of every server may import it.", stdout);
	}
	(void)putchar('\n');
}

/* An approved tool is listed only while its server runs; whoever waits for it should hear so. */
static void print_if_not_started(const struct ctl *ctl, const char *tool_id)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("/api/tools/%s", tool_id);
	BOX_CLEANUP(mem_freep) char *server_path = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tool = NULL;
	BOX_CLEANUP(json_decrefp) json_t *server = NULL;
	struct err ignored = { 0 };
	const char *name;

	if (session_call(ctl, "GET", path, NULL, &tool, &ignored) < 0)
		return;
	server_path = mem_printf("/api/servers/%s", print_member(tool, "server_id", ""));
	if (session_call(ctl, "GET", server_path, NULL, &server, &ignored) < 0 ||
	    strcmp(print_member(server, "status", ""), "running") == 0)
		return;
	name = print_member(server, "name", "?");
	(void)printf(
		"Server '%s' is not started yet: a client calls mcpbox_start_server, or " CTL_SELF
		" start %s\n",
		name, name);
}

typedef int decision(const struct ctl *ctl, const struct target *t, json_t **ret, struct err *err);

static enum ctl_exit decide(const struct ctl *ctl, decision *fn, const char *done)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct target target;
	struct err err = { 0 };
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
	print_outcome(answer);
	if (fn == let_through && target.kind == TARGET_TOOL)
		print_if_not_started(ctl, target.id);
	return CTL_DONE;
}

enum ctl_exit cmd_approve(struct ctl *ctl)
{
	return decide(ctl, let_through, "Approved");
}

enum ctl_exit cmd_reject(struct ctl *ctl)
{
	if (!ctl->options.reason || !*ctl->options.reason) {
		(void)fputs("mcpboxctl: rejecting needs --reason, so that the author knows what to "
			    "change\n",
			    stderr);
		return CTL_USAGE;
	}
	return decide(ctl, send_back, "Rejected");
}

enum ctl_exit cmd_revoke(struct ctl *ctl)
{
	return decide(ctl, take_back, "Revoked");
}
