#include <string.h>
#include "find.h"
#include "json.h"
#include "mem.h"
#include "parse.h"
#include "print.h"
#include "session.h"

static int keep(struct target *t, enum target_kind kind, const char *id, struct err *err)
{
	if (!text_is_uuid(id))
		return err_set_field(err, ERR_INVALID, NULL,
				     "`pending` and `modules` list the ids of requests",
				     "'%.80s' is no id", id);
	t->kind = kind;
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
	return 0;
}

/* The id of the item with that name; NULL when there is none. */
static const char *id_by_name(const json_t *items, const char *name, size_t len)
{
	size_t i;
	json_t *item;

	json_array_foreach(items, i, item)
	{
		const char *have = print_member(item, "name", "");

		if (strlen(have) == len && memcmp(have, name, len) == 0)
			return print_member(item, "id", NULL);
	}
	return NULL;
}

static int server_by_name(const struct ctl *ctl, const char *name, size_t len, char ret[64],
			  struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *servers = NULL;
	const char *id;
	int r = session_list(ctl, "/api/servers", &servers, err);

	if (r < 0)
		return r;
	id = id_by_name(servers, name, len);
	if (!id)
		return err_set(err, ERR_NOT_FOUND, "there is no server '%.*s'", (int)len, name);
	(void)snprintf(ret, 64, "%s", id);
	return 0;
}

int find_server(const struct ctl *ctl, const char *x, char ret[64], struct err *err)
{
	if (!text_is_uuid(x))
		return server_by_name(ctl, x, strlen(x), ret, err);
	(void)snprintf(ret, 64, "%s", x);
	return 0;
}

static int find_by_names(const struct ctl *ctl, const char *x, const char *slash,
			 struct target *ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *tools = NULL;
	BOX_CLEANUP(mem_freep) char *path = NULL;
	char server[64];
	const char *id;
	int r = server_by_name(ctl, x, (size_t)(slash - x), server, err);

	if (r < 0)
		return r;
	path = mem_printf("/api/servers/%s/tools", server);
	r = session_list(ctl, path, &tools, err);
	if (r < 0)
		return r;
	id = id_by_name(tools, slash + 1, strlen(slash + 1));
	if (!id)
		return err_set(err, ERR_NOT_FOUND, "there is no tool '%s'", x);
	return keep(ret, TARGET_TOOL, id, err);
}

int find_target(const struct ctl *ctl, const char *x, struct target *ret, struct err *err)
{
	static const struct {
		const char *prefix;
		enum target_kind kind;
	} kinds[] = { { "host:", TARGET_HOST }, { "module:", TARGET_MODULE } };
	const char *slash = strchr(x, '/');

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strncmp(x, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return keep(ret, kinds[i].kind, x + strlen(kinds[i].prefix), err);
	if (slash)
		return find_by_names(ctl, x, slash, ret, err);
	if (text_is_uuid(x))
		return keep(ret, TARGET_TOOL, x, err);
	return err_set_field(err, ERR_INVALID, NULL,
			     "a tool's id, server/tool, host:REQUEST_ID or module:REQUEST_ID",
			     "'%.80s' names nothing that can be decided", x);
}
