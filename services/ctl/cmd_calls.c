/* calls: what was run, newest last, from the admin service's logs. */
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "find.h"
#include "mem.h"
#include "print.h"
#include "session.h"

enum { DEFAULT_CALLS = 20, MOST_CALLS = 100, ERROR_WIDTH = 100 };

static int calls_path(const struct ctl *ctl, char **ret, struct err *err)
{
	const struct options *o = &ctl->options;
	uint64_t count = (o->given & OPT(OPTION_LIMIT)) ? o->limit : DEFAULT_CALLS;
	struct target target;
	int r;

	if (count == 0 || count > MOST_CALLS)
		return err_set(err, ERR_INVALID, "-n wants a number from 1 to %d", MOST_CALLS);
	if (ctl->arg_count == 0) {
		*ret = mem_printf("/api/execution-logs?page_size=%u", (unsigned)count);
		return 0;
	}
	r = find_target(ctl, ctl->args[0], &target, err);
	if (r < 0)
		return r;
	if (target.kind != TARGET_TOOL)
		return err_set(err, ERR_INVALID, "'%.80s' is no tool", ctl->args[0]);
	*ret = mem_printf("/api/tools/%s/logs?page_size=%u", target.id, (unsigned)count);
	return 0;
}

/* The first line says what it was; all of it is in --json. */
static char *headline(const json_t *call)
{
	const char *error = print_member(call, "error", "");
	size_t len = strcspn(error, "\n");
	bool is_cut = len > ERROR_WIDTH || error[len];

	return mem_printf("%.*s%s", (int)(len < ERROR_WIDTH ? len : ERROR_WIDTH), error,
			  is_cut ? " …" : "");
}

static void print_call(struct print_table *t, const json_t *call)
{
	BOX_CLEANUP(mem_freep) char *error = headline(call);
	char took[24];

	print_number(call, "duration_ms", took);
	print_table_row(t, (const char *const[]){ print_member(call, "created_at", NULL),
						  print_member(call, "tool_name", NULL),
						  print_member(call, "executed_by", NULL),
						  print_member(call, "outcome", "runs"), took,
						  error });
}

enum ctl_exit cmd_calls(struct ctl *ctl)
{
	static const char *const heads[] = { "BEGAN", "TOOL", "BY", "OUTCOME", "MS", "ERROR" };
	BOX_CLEANUP(mem_freep) char *path = NULL;
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };
	struct print_table *t;
	const json_t *items;
	int r = calls_path(ctl, &path, &err);

	if (r == 0)
		r = session_call(ctl, "GET", path, NULL, &answer, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	items = json_object_get(answer, "items");
	if (ctl->options.json) {
		print_json(stdout, items);
		return CTL_DONE;
	}
	t = print_table_begin(heads, ARRAY_LEN(heads));
	for (size_t i = json_array_size(items); i > 0; i--)
		print_call(t, json_array_get(items, i - 1));
	print_table_end(t, stdout);
	return CTL_DONE;
}
