/* tools, servers, start, stop, pause, resume (from the admin service); executors, instances (from the registry's Status). */
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "ctl.h"
#include "find.h"
#include "json.h"
#include "mem.h"
#include "ops.h"
#include "parse.h"
#include "print.h"
#include "session.h"

static void print_servers(const json_t *servers)
{
	static const char *const heads[] = { "SERVER", "STATUS", "TOOLS", "ID", "DESCRIPTION" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *server;

	json_array_foreach(servers, i, server)
	{
		char tools[24];

		print_number(server, "tool_count", tools);
		print_table_row(t,
				(const char *const[]){ print_member(server, "name", NULL),
						       print_member(server, "status", NULL), tools,
						       print_member(server, "id", NULL),
						       print_member(server, "description", NULL) });
	}
	print_table_end(t, stdout);
}

enum ctl_exit cmd_servers(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *servers = NULL;
	struct err err = { 0 };

	if (session_list(ctl, "/api/servers", &servers, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, servers);
	else if (json_array_size(servers) == 0)
		(void)puts("There are no servers yet.");
	else
		print_servers(servers);
	return CTL_DONE;
}

static void print_modules(const json_t *approved, const json_t *defaults)
{
	static const char *const heads[] = { "MODULE", "ASKED BY", "APPROVED BY", "X" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *m;

	json_array_foreach(approved, i, m)
	{
		BOX_CLEANUP(mem_freep)
		char *asker = mem_printf("%s/%s", print_member(m, "server_name", "-"),
					 print_member(m, "tool_name", "-"));
		BOX_CLEANUP(mem_freep)
		char *x = mem_printf("module:%s", print_member(m, "id", "?"));

		print_table_row(t,
				(const char *const[]){ print_member(m, "module_name", NULL), asker,
						       print_member(m, "reviewed_by", NULL), x });
	}
	print_table_end(t, stdout);
	(void)printf("\nEvery tool of every server may import these, and always:");
	json_array_foreach(defaults, i, m)(void) printf(" %s", json_string_value(m));
	(void)putchar('\n');
}

enum ctl_exit cmd_modules(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *approved = NULL;
	BOX_CLEANUP(json_decrefp) json_t *lists = NULL;
	struct err err = { 0 };
	int r = session_list(ctl, "/api/approvals/modules?status=approved", &approved, &err);

	if (r == 0)
		r = session_call(ctl, "GET", "/api/settings/modules", NULL, &lists, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json) {
		(void)json_object_set(lists, "approved", approved);
		print_json(stdout, lists);
		return CTL_DONE;
	}
	print_modules(approved, json_object_get(lists, "default_modules"));
	return CTL_DONE;
}

/* POST, and what the answer says. */
static enum ctl_exit tell(const struct ctl *ctl, const char *path)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };
	const char *message;

	if (session_call(ctl, "POST", path, NULL, &answer, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json) {
		print_json(stdout, answer);
		return CTL_DONE;
	}
	message = print_member(answer, "message", "Done.");
	print_safe(stdout, message, strlen(message));
	(void)putchar('\n');
	return CTL_DONE;
}

/* where: "servers" or "sandbox/servers". */
static enum ctl_exit tell_server(const struct ctl *ctl, const char *where, const char *verb)
{
	BOX_CLEANUP(mem_freep) char *path = NULL;
	struct err err = { 0 };
	char id[64];

	if (find_server(ctl, ctl->args[0], id, &err) < 0)
		return ctl_fail(ctl, &err);
	path = mem_printf("/api/%s/%s/%s", where, id, verb);
	return tell(ctl, path);
}

enum ctl_exit cmd_start(struct ctl *ctl)
{
	return tell_server(ctl, "sandbox/servers", "start");
}

enum ctl_exit cmd_stop(struct ctl *ctl)
{
	return tell_server(ctl, "sandbox/servers", "stop");
}

enum ctl_exit cmd_pause(struct ctl *ctl)
{
	return ctl->arg_count ? tell_server(ctl, "servers", "pause") : tell(ctl, "/api/pause");
}

enum ctl_exit cmd_resume(struct ctl *ctl)
{
	return ctl->arg_count ? tell_server(ctl, "servers", "resume") : tell(ctl, "/api/resume");
}

enum ctl_exit cmd_keys_rotate(struct ctl *ctl)
{
	return tell(ctl, "/api/keys/rotate");
}

/* All tools of all servers, each with its server's name. */
static int load_tools(const struct ctl *ctl, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *servers = NULL;
	BOX_CLEANUP(json_decrefp) json_t *all = json_array();
	size_t i, j;
	json_t *server, *tool;
	int r = session_list(ctl, "/api/servers", &servers, err);

	if (r < 0)
		return r;
	json_array_foreach(servers, i, server)
	{
		BOX_CLEANUP(json_decrefp) json_t *tools = NULL;
		BOX_CLEANUP(mem_freep)
		char *path = mem_printf("/api/servers/%s/tools", print_member(server, "id", ""));

		r = session_list(ctl, path, &tools, err);
		if (r < 0)
			return r;
		json_array_foreach(tools, j, tool)(void)
			json_object_set(tool, "server_name", json_object_get(server, "name"));
		(void)json_array_extend(all, tools);
	}
	*ret = TAKE(all);
	return 0;
}

static void print_tools(const json_t *tools)
{
	static const char *const heads[] = { "TOOL", "PUBLISHED AS", "STATUS", "HEAD",
					     "LIVE", "ENABLED",      "ID" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *tool;

	json_array_foreach(tools, i, tool)
	{
		BOX_CLEANUP(mem_freep)
		char *name = mem_printf("%s/%s", print_member(tool, "server_name", "?"),
					print_member(tool, "name", "?"));
		char head[24], live[24];

		print_number(tool, "current_version", head);
		print_number(tool, "live_version", live);
		print_table_row(
			t, (const char *const[]){
				   name, print_member(tool, "published_name", NULL),
				   print_member(tool, "approval_status", NULL), head, live,
				   json_is_true(json_object_get(tool, "enabled")) ? "yes" : "no",
				   print_member(tool, "id", NULL) });
	}
	print_table_end(t, stdout);
}

enum ctl_exit cmd_tools(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *tools = NULL;
	struct err err = { 0 };

	if (load_tools(ctl, &tools, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, tools);
	else if (json_array_size(tools) == 0)
		(void)puts("There are no tools yet.");
	else
		print_tools(tools);
	return CTL_DONE;
}

/* ---- from the Status ---- */

static int load_status(const struct ctl *ctl, PB(Status) * *ret, struct err *err)
{
	BOX_CLEANUP(ops_closep) struct ops *ops = NULL;
	int r = ops_open(ctl, NULL, &ops, err);

	return r == 0 ? ops_status(ops, ret, err) : r;
}

static const char *short_role(const PB(Instance) * instance)
{
	return role_name((enum bus_role)instance->role);
}

static void print_instances(const PB(Status) * status)
{
	static const char *const heads[] = { "INSTANCE", "ROLE", "SINCE", "VERSION", "STATE" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));

	for (size_t i = 0; i < status->n_instances; i++) {
		const PB(Instance) *in = status->instances[i];
		char since[32];

		clock_format_iso(in->since_unix_ms, since);
		print_table_row(t, (const char *const[]){ in->instance, short_role(in), since,
							  in->version,
							  in->draining ? "draining"
							  : in->stale  ? "stale"
								       : "well" });
	}
	print_table_end(t, stdout);
}

static json_t *object_json(ProtobufCBinaryData text)
{
	json_t *object = NULL;
	struct err ignored = { 0 };

	if (text.len > 0 && json_load(text.data, text.len, &object, &ignored) == 0)
		return object;
	return json_object();
}

/* With what interface.md, `status --json`, wants of executors. */
static json_t *instance_json(const PB(Instance) * in)
{
	char since[32], boot_id[2 * BOOT_ID_SIZE + 1] = "";

	clock_format_iso(in->since_unix_ms, since);
	if (in->boot_id.len == BOOT_ID_SIZE)
		format_hex(in->boot_id.data, in->boot_id.len, boot_id);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:o, s:o}",
			 "role", short_role(in), "instance", in->instance, "boot_id", boot_id,
			 "version", in->version, "since", since, "control_addr", in->control_addr,
			 "work_addr", in->work_addr, "capacity", (int)in->capacity, "in_flight",
			 (int)in->in_flight, "draining", in->draining, "stale", in->stale, "layers",
			 object_json(in->layers_json), "missing", object_json(in->missing_json));
}

/* The instances of one role; ROLE_NONE: all. */
static json_t *instances_json(const PB(Status) * status, enum bus_role role)
{
	json_t *list = json_array();

	for (size_t i = 0; i < status->n_instances; i++)
		if (role == ROLE_NONE || (enum bus_role)status->instances[i]->role == role)
			(void)json_array_append_new(list, instance_json(status->instances[i]));
	return list;
}

static json_t *paused_json(const PB(Status) * status)
{
	json_t *names = json_array();

	for (size_t i = 0; i < status->n_paused_servers; i++)
		(void)json_array_append_new(names, json_string(status->paused_servers[i]));
	return names;
}

static json_t *status_json(const PB(Status) * status)
{
	char now[32];

	clock_format_iso(status->registry_unix_ms, now);
	return json_pack("{s:s, s:I, s:I, s:b, s:o, s:o}", "registry_time", now, "state_seq",
			 (json_int_t)status->state_seq, "audit_seq", (json_int_t)status->audit_seq,
			 "paused", (int)status->paused, "paused_servers", paused_json(status),
			 "instances", instances_json(status, ROLE_NONE));
}

enum ctl_exit cmd_instances(struct ctl *ctl)
{
	BOX_CLEANUP(msg_freep) PB(Status) *status = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	struct err err = { 0 };

	if (load_status(ctl, &status, &err) != 0)
		return ctl_fail(ctl, &err);
	tree = status_json(status);
	if (ctl->options.json)
		print_json(stdout, tree);
	else
		print_instances(status);
	return CTL_DONE;
}

/* "seccomp landlock=7 userns": the layers that are on. */
static char *layers_text(const json_t *layers)
{
	struct buf b = BUF_INIT(512);
	const char *name;
	json_t *value;
	size_t len;

	json_object_foreach((json_t *)(uintptr_t)layers, name, value)
	{
		if (!json_is_true(value) && !json_is_integer(value))
			continue;
		buf_printf(&b, "%s%s", b.len ? " " : "", name);
		if (json_is_integer(value))
			buf_printf(&b, "=%lld", (long long)json_integer_value(value));
	}
	return b.len ? (char *)buf_take(&b, &len) : mem_strdup("none");
}

static void print_executors(const json_t *executors)
{
	static const char *const heads[] = { "EXECUTOR", "RUNNING", "CAPACITY", "LAYERS" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *executor;

	json_array_foreach(executors, i, executor)
	{
		BOX_CLEANUP(mem_freep)
		char *layers = layers_text(json_object_get(executor, "layers"));
		char running[24], capacity[24];

		print_number(executor, "in_flight", running);
		print_number(executor, "capacity", capacity);
		print_table_row(t, (const char *const[]){ print_member(executor, "instance", NULL),
							  running, capacity, layers });
	}
	print_table_end(t, stdout);
}

enum ctl_exit cmd_executors(struct ctl *ctl)
{
	BOX_CLEANUP(msg_freep) PB(Status) *status = NULL;
	BOX_CLEANUP(json_decrefp) json_t *executors = NULL;
	struct err err = { 0 };

	if (load_status(ctl, &status, &err) != 0)
		return ctl_fail(ctl, &err);
	executors = instances_json(status, ROLE_EXECUTOR);
	if (ctl->options.json)
		print_json(stdout, executors);
	else if (json_array_size(executors) == 0)
		(void)puts("No executor is running; tools cannot be called.");
	else
		print_executors(executors);
	return CTL_DONE;
}
