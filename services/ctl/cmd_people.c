/* user list|role|remove, sessions, session end, tokens add|list|remove: through the admin service.  What needs a
 * password is in cmd_login.c. */
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "ctl.h"
#include "json.h"
#include "mem.h"
#include "print.h"
#include "session.h"

#define DAY_MS INT64_C(86400000)

/* ---- lists ---------------------------------------------------------------------------------------- */

struct column {
	const char *head, *member;
};

static void print_list(const json_t *items, const struct column *columns, size_t count)
{
	const char *cells[8];
	struct print_table *t;
	size_t i;
	json_t *item;

	for (size_t c = 0; c < count; c++)
		cells[c] = columns[c].head;
	t = print_table_begin(cells, count);
	json_array_foreach(items, i, item)
	{
		for (size_t c = 0; c < count; c++) {
			const json_t *value = json_object_get(item, columns[c].member);

			cells[c] = json_is_true(value) ? "yes"
				   : json_is_false(value)
					   ? "no"
					   : print_member(item, columns[c].member, NULL);
		}
		print_table_row(t, cells);
	}
	print_table_end(t, stdout);
}

static enum ctl_exit list(const struct ctl *ctl, const char *path, bool is_paged,
			  const struct column *columns, size_t count)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };
	const json_t *items;
	int r = is_paged ? session_list(ctl, path, &answer, &err)
			 : session_call(ctl, "GET", path, NULL, &answer, &err);

	if (r < 0)
		return ctl_fail(ctl, &err);
	items = is_paged ? answer : json_object_get(answer, "items");
	if (ctl->options.json)
		print_json(stdout, items);
	else
		print_list(items, columns, count);
	return CTL_DONE;
}

/* Prints the answer as JSON, or the text. */
static enum ctl_exit tell(const struct ctl *ctl, const json_t *answer, const char *text)
{
	if (ctl->options.json)
		print_json(stdout, answer);
	else
		(void)puts(text);
	return CTL_DONE;
}

/* ---- users ---------------------------------------------------------------------------------------- */

enum ctl_exit cmd_user_list(struct ctl *ctl)
{
	static const struct column columns[] = { { "USER", "username" },
						 { "ROLE", "role" },
						 { "ACTIVE", "is_active" },
						 { "LAST LOGIN", "last_login_at" },
						 { "ID", "id" } };

	return list(ctl, "/api/users", true, columns, ARRAY_LEN(columns));
}

/* "/api/users/<id>" of the user with that name, heap. */
static int user_path(const struct ctl *ctl, const char *name, char **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *users = NULL;
	size_t i;
	json_t *user;
	int r = session_list(ctl, "/api/users", &users, err);

	if (r < 0)
		return r;
	json_array_foreach(users, i,
			   user) if (strcmp(print_member(user, "username", ""), name) == 0)
	{
		*ret = mem_printf("/api/users/%s", print_member(user, "id", ""));
		return 0;
	}
	return err_set(err, ERR_NOT_FOUND, "there is no user '%s'", name);
}

enum ctl_exit cmd_user_role(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	BOX_CLEANUP(mem_freep) char *path = NULL;
	struct err err = { 0 };
	int r = ctl->options.role
			? user_path(ctl, ctl->args[0], &path, &err)
			: err_set_field(&err, ERR_INVALID, "role",
					"--role admin, reviewer, author or viewer", "which role?");

	if (r == 0) {
		body = json_pack("{s:s}", "role", ctl->options.role);
		r = session_call(ctl, "PATCH", path, body, &answer, &err);
	}
	return r < 0 ? ctl_fail(ctl, &err) : tell(ctl, answer, "The role is in force now.");
}

enum ctl_exit cmd_user_remove(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	BOX_CLEANUP(mem_freep) char *path = NULL;
	struct err err = { 0 };
	int r = user_path(ctl, ctl->args[0], &path, &err);

	if (r == 0)
		r = session_call(ctl, "DELETE", path, NULL, &answer, &err);
	return r < 0 ? ctl_fail(ctl, &err)
		     : tell(ctl, answer, "Removed, with all sessions and tokens.");
}

/* ---- by id ---------------------------------------------------------------------------------------- */

/* The word goes into a path. */
static int check_id(const char *id, struct err *err)
{
	if (strlen(id) == 36 && id[strspn(id, "0123456789abcdefABCDEF-")] == '\0')
		return 0;
	return err_set(err, ERR_INVALID, "that is no id; the list shows them");
}

static enum ctl_exit delete_by_id(struct ctl *ctl, const char *under, const char *text)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s", under, ctl->args[0]);
	struct err err = { 0 };
	int r = check_id(ctl->args[0], &err);

	if (r == 0)
		r = session_call(ctl, "DELETE", path, NULL, &answer, &err);
	return r < 0 ? ctl_fail(ctl, &err) : tell(ctl, answer, text);
}

enum ctl_exit cmd_sessions(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "USER", "username" },       { "FROM", "remote" },
		{ "SINCE", "created_at" },    { "LAST USED", "last_used_at" },
		{ "THIS ONE", "is_current" }, { "ID", "id" }
	};

	return list(ctl, "/api/sessions", false, columns, ARRAY_LEN(columns));
}

enum ctl_exit cmd_session_end(struct ctl *ctl)
{
	return delete_by_id(ctl, "/api/sessions", "Ended.");
}

/* ---- API tokens ----------------------------------------------------------------------------------- */

enum ctl_exit cmd_tokens_list(struct ctl *ctl)
{
	static const struct column columns[] = { { "TOKEN", "name" },
						 { "USER", "username" },
						 { "SCOPE", "scope" },
						 { "UNTIL", "expires_at" },
						 { "ID", "id" } };

	return list(ctl, "/api/tokens", false, columns, ARRAY_LEN(columns));
}

enum ctl_exit cmd_tokens_add(struct ctl *ctl)
{
	const struct options *o = &ctl->options;
	BOX_CLEANUP(json_decrefp)
	json_t *body = json_pack("{s:s, s:s}", "name", ctl->args[0], "scope",
				 o->scope ? o->scope : "read");
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };
	char until[32];
	int r = 0;

	if (!body || o->days > 36500)
		r = err_set(&err, ERR_INVALID, "the name must be UTF-8, --days at most 36500");
	if (r == 0 && o->days > 0) {
		clock_format_iso(clock_unix_ms() + (int64_t)o->days * DAY_MS, until);
		(void)json_object_set_new(body, "expires_at", json_string(until));
	}
	if (r == 0)
		r = session_call(ctl, "POST", "/api/tokens", body, &answer, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (!o->json)
		(void)fputs("Shown once, kept nowhere:\n", stderr);
	return tell(ctl, answer, print_member(answer, "token", "?"));
}

enum ctl_exit cmd_tokens_remove(struct ctl *ctl)
{
	return delete_by_id(ctl, "/api/tokens", "Removed; it is good for nothing any more.");
}
