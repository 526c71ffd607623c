#include <stdio.h>
#include <string.h>
#include "diff.h"
#include "mem.h"
#include "print.h"
#include "review.h"
#include "session.h"

#define DIFF_MAX (4u * 1024 * 1024)

/* ---- loading ---- */

void review_done(struct review *v)
{
	json_decref(v->tool);
	json_decref(v->server);
	json_decref(v->requests);
	json_decref(v->live);
	json_decref(v->changes);
	json_decref(v->secrets);
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
	json_array_foreach(all, i, request) if (strcmp(print_member(request, "tool_id", ""),
						       tool_id) == 0)(void)
		json_array_append(mine, request);
	*ret = mine;
	return 0;
}

static int get_secrets(const struct ctl *ctl, struct review *v, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *all = NULL;
	int r = get(ctl,
		    mem_printf("/api/servers/%s/secrets", print_member(v->tool, "server_id", "")),
		    &all, err);

	if (r == 0)
		v->secrets = json_incref(json_object_get(all, "items"));
	return r;
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
			mem_printf(
				"/api/tools/%s/versions/compare?from_version=%lld&to_version=%lld",
				id, (long long)from, (long long)head),
			&comparison, err);
	if (r < 0)
		return r;
	v->changes = json_incref(json_object_get(comparison, "differences"));
	json_decref(comparison);
	diff_unified(print_member(v->live, "python_code", ""),
		     print_member(v->tool, "python_code", ""), &v->diff);
	return 0;
}

int review_load(const struct ctl *ctl, const char *tool_id, struct review *ret, struct err *err)
{
	int r;

	*ret = (struct review){ .diff = BUF_INIT(DIFF_MAX) };
	r = get(ctl, mem_printf("/api/tools/%s", tool_id), &ret->tool, err);
	if (r == 0)
		r = get(ctl,
			mem_printf("/api/servers/%s", print_member(ret->tool, "server_id", "")),
			&ret->server, err);
	if (r == 0)
		r = get_secrets(ctl, ret, err);
	if (r == 0)
		r = get_requests(ctl, tool_id, &ret->requests, err);
	return r == 0 ? get_changes(ctl, tool_id, ret, err) : r;
}

/* ---- requests for hosts and modules ---- */

/* What the request is about is told by its own members. */
static bool is_module(const json_t *request)
{
	return json_object_get(request, "module_name");
}

char *review_request_label(const json_t *request)
{
	json_int_t port = json_integer_value(json_object_get(request, "port"));
	const char *private_mark =
		json_is_true(json_object_get(request, "private_requested")) ? "+private" : "";
	const char *host = print_member(request, "host", "?");

	if (is_module(request))
		return mem_strdup(print_member(request, "module_name", "?"));
	return port ? mem_printf("%s:%lld%s", host, (long long)port, private_mark)
		    : mem_printf("%s%s", host, private_mark);
}

void review_print_requests(const json_t *requests)
{
	static const char *const heads[] = { "REQUEST", "ASKS FOR", "TOOL", "STATUS", "WHY" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *request;

	json_array_foreach(requests, i, request)
	{
		BOX_CLEANUP(mem_freep)
		char *x = mem_printf("%s:%s", is_module(request) ? "module" : "host",
				     print_member(request, "id", "?"));
		BOX_CLEANUP(mem_freep) char *what = review_request_label(request);
		BOX_CLEANUP(mem_freep)
		char *tool = mem_printf("%s/%s", print_member(request, "server_name", "?"),
					print_member(request, "tool_name", "*"));

		print_table_row(t, (const char *const[]){
					   x, what, tool, print_member(request, "status", NULL),
					   print_member(request, "justification", NULL) });
	}
	print_table_end(t, stdout);
}

/* ---- showing it ---- */

/* Lines after the first stand below it, so that a value cannot pass for the next field. */
static void print_field(const char *name, const char *value)
{
	for (const char *label = name; *value; label = "") {
		size_t len = strcspn(value, "\n");

		(void)printf("  %-14s ", label);
		print_safe(stdout, value, len);
		(void)putchar('\n');
		value += len + (value[len] == '\n');
	}
}

struct fact {
	const char *name, *key;
};

static void print_facts_of(const json_t *object, const struct fact *facts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = print_member(object, facts[i].key, NULL);

		if (value)
			print_field(facts[i].name, value);
	}
}

/* A member that is no text, as JSON; nothing when it is null. */
static void print_other(const json_t *object, const char *key, const char *name)
{
	const json_t *value = json_object_get(object, key);
	BOX_CLEANUP(mem_freep) char *text = NULL;

	if (json_is_null(value))
		return;
	text = json_dumps(value, JSON_ENCODE_ANY);
	if (text)
		print_field(name, text);
}

/* Hosts that the server's tools may reach now, whichever of them asked. */
static void print_allowed_hosts(const json_t *server)
{
	const json_t *hosts = json_object_get(server, "allowed_hosts");
	size_t i;
	json_t *host;

	(void)puts("\nHosts that its server may reach");
	if (json_array_size(hosts) == 0)
		(void)puts("  none");
	json_array_foreach(hosts, i, host) print_indented(stdout, "  ", json_string_value(host));
}

/* Comma-separated; `none` when the list is empty. */
static char *join(const json_t *list, const char *none)
{
	struct buf b = BUF_INIT(64 * 1024);
	size_t i, len;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		if (i)
			buf_add_str(&b, ", ");
		buf_add_str(&b, json_string_value(item));
	}
	if (b.len == 0)
		buf_add_str(&b, none);
	return (char *)buf_take(&b, &len);
}

static char *secret_line(const json_t *s)
{
	BOX_CLEANUP(mem_freep)
	char *hosts = join(json_object_get(s, "hosts"),
			   "every host that a person approved for the server");
	BOX_CLEANUP(mem_freep) char *places = join(json_object_get(s, "places"), "nowhere");

	if (!json_is_true(json_object_get(s, "has_value")))
		return mem_strdup("not set");
	if (strcmp(print_member(s, "mode", ""), "reveal") == 0)
		return mem_strdup("REVEALED: the code sees its value");
	return mem_printf("injected; goes to %s; in %s", hosts, places);
}

/* Of the server: each of its tools has them. */
static void print_secrets(const json_t *secrets)
{
	size_t i;
	json_t *s;

	(void)puts("\nSecrets of its server");
	if (json_array_size(secrets) == 0)
		(void)puts("  none");
	json_array_foreach(secrets, i, s)
	{
		BOX_CLEANUP(mem_freep) char *line = secret_line(s);

		print_field(print_member(s, "key_name", "?"), line);
	}
}

static void print_limits(const json_t *tool, const json_t *server)
{
	if (json_is_integer(json_object_get(tool, "timeout_ms")))
		print_other(tool, "timeout_ms", "timeout, ms");
	else
		print_other(server, "default_timeout_ms", "timeout, ms");
	print_other(tool, "limits", "limits");
	print_field("processes", json_is_true(json_object_get(server, "warm_reuse"))
					 ? "one serves many calls (warm reuse)"
					 : "a fresh one for each call");
}

static void print_facts(const json_t *tool, const json_t *server)
{
	static const struct fact facts[] = {
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
	print_facts_of(tool, facts, ARRAY_LEN(facts));
	print_limits(tool, server);
	print_other(tool, "input_schema", "arguments");
}

static void print_changes(const struct review *v)
{
	size_t i;
	json_t *change;

	(void)printf("\nWhat changed since the live version, %lld\n",
		     (long long)json_integer_value(json_object_get(v->live, "version_number")));
	json_array_foreach(v->changes, i, change)
	{
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

void review_print(const struct review *v, const char *x)
{
	(void)printf("%s/%s\n", print_member(v->server, "name", "?"),
		     print_member(v->tool, "name", "?"));
	print_facts(v->tool, v->server);
	(void)puts("\nHosts that it asked for");
	if (json_array_size(v->requests) > 0)
		review_print_requests(v->requests);
	else
		(void)puts("  none");
	print_allowed_hosts(v->server);
	print_secrets(v->secrets);
	if (v->live)
		print_changes(v);
	(void)puts("\nCode");
	print_code(print_member(v->tool, "python_code", ""));
	if (strcmp(print_member(v->tool, "approval_status", ""), "pending_review") == 0)
		(void)printf("\nDecide: " CTL_SELF " approve %s, or " CTL_SELF
			     " reject %s --reason \"why\"\n",
			     x, x);
}

void review_print_json(const struct review *v)
{
	BOX_CLEANUP(json_decrefp)
	json_t *tree = json_pack("{s:O, s:O, s:O, s:O, s:O?, s:O?, s:s#}", "tool", v->tool,
				 "server", v->server, "requests", v->requests, "secrets",
				 v->secrets, "live", v->live, "differences", v->changes, "diff",
				 v->diff.data ? (const char *)v->diff.data : "", (int)v->diff.len);

	print_json(stdout, tree);
}

void review_print_request(const json_t *request)
{
	static const struct fact facts[] = {
		{ "status", "status" },
		{ "server", "server_name" },
		{ "tool", "tool_name" },
		{ "why", "justification" },
		{ "asked by", "requested_by" },
		{ "asked", "created_at" },
		{ "decided by", "reviewed_by" },
		{ "decided", "reviewed_at" },
		{ "rejected for", "rejection_reason" },
	};
	BOX_CLEANUP(mem_freep) char *what = review_request_label(request);

	print_field(is_module(request) ? "module" : "host", what);
	print_facts_of(request, facts, ARRAY_LEN(facts));
	if (is_module(request))
		print_field("holds for", "every tool of every server");
	if (json_is_true(json_object_get(request, "allow_private")))
		print_field("private", "addresses in private networks are allowed");
}
