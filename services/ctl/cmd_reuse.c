/* warm-reuse on|off: may one process serve many calls of a server's tool? */
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "find.h"
#include "json.h"
#include "mem.h"
#include "print.h"
#include "session.h"

static int ask(const struct ctl *ctl, bool on, json_t **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = NULL;
	BOX_CLEANUP(json_decrefp) json_t *body = json_pack("{s:b}", "warm_reuse", (int)on);
	char id[64];
	int r = find_server(ctl, ctl->args[0], id, err);

	if (r < 0)
		return r;
	path = mem_printf("/api/servers/%s/warm-reuse", id);
	return session_call(ctl, "PUT", path, body, ret, err);
}

static enum ctl_exit set_reuse(const struct ctl *ctl, bool on)
{
	BOX_CLEANUP(json_decrefp) json_t *server = NULL;
	struct err err = { 0 };
	const char *name;

	if (ask(ctl, on, &server, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json) {
		print_json(stdout, server);
		return CTL_DONE;
	}
	name = print_member(server, "name", "?");
	print_safe(stdout, name, strlen(name));
	(void)puts(on ? ": one process serves many calls of a tool; what a call leaves in memory, "
			"the next one sees."
		      : ": each call gets a fresh process.");
	return CTL_DONE;
}

enum ctl_exit cmd_reuse_on(struct ctl *ctl)
{
	return set_reuse(ctl, true);
}

enum ctl_exit cmd_reuse_off(struct ctl *ctl)
{
	return set_reuse(ctl, false);
}
