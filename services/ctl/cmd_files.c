/* export, import: servers as files, through the admin service.  What a file may do is the registry's to say. */
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "find.h"
#include "json.h"
#include "mem.h"
#include "print.h"
#include "session.h"

#define FILE_BYTES_MAX (8u * 1024 * 1024)

/* ---- export --------------------------------------------------------------------------------------- */

static const char *format_of(const char *given)
{
	return !given || strcmp(given, "own") == 0 ? "2.0" : given;
}

/* The format goes into a query. */
static int check_format(const char *format, struct err *err)
{
	if (format[strspn(format, "0123456789.")] == '\0')
		return 0;
	return err_set_field(err, ERR_INVALID, "format", NULL, "--format is own or 1.2");
}

static int fetch(const struct ctl *ctl, struct buf *ret, struct err *err)
{
	const struct options *o = &ctl->options;
	const char *format = format_of(o->format);
	BOX_CLEANUP(mem_freep) char *path = NULL;
	char id[64] = "";
	int r = check_format(format, err);

	if (r == 0 && o->server)
		r = find_server(ctl, o->server, id, err);
	if (r < 0)
		return r;
	path = mem_printf("/api/export/servers%s%s?format=%s%s", id[0] ? "/" : "", id, format,
			  o->heads ? "&heads_only=true" : "");
	return session_fetch(ctl, path, ret, err);
}

static size_t count_servers(const struct buf *file)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const json_t *content;

	if (json_load(file->data, file->len, &tree, NULL) < 0)
		return 0;
	content = json_object_get(tree, "content");
	return json_array_size(json_object_get(content ? content : tree, "servers"));
}

static void tell_export(const struct ctl *ctl, const struct buf *file)
{
	size_t servers = count_servers(file);

	if (ctl->options.json)
		(void)printf("{\"bytes\":%zu,\"servers\":%zu}\n", file->len, servers);
	else
		(void)printf("%zu server%s, %zu bytes.  No secret's value is in it.\n", servers,
			     servers == 1 ? "" : "s", file->len);
}

enum ctl_exit cmd_export(struct ctl *ctl)
{
	struct buf file BOX_CLEANUP(buf_done) = BUF_INIT(FILE_BYTES_MAX);
	struct err err = { 0 };
	int r = fetch(ctl, &file, &err);

	if (r < 0)
		return ctl_fail(ctl, &err);
	if (strcmp(ctl->args[0], "-") == 0) {
		(void)fwrite(file.data, 1, file.len, stdout);
		return CTL_DONE;
	}
	r = place_write_file(ctl->args[0], file.data, file.len, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	tell_export(ctl, &file);
	return CTL_DONE;
}

/* ---- import --------------------------------------------------------------------------------------- */

static int send(const struct ctl *ctl, json_t **ret, struct err *err)
{
	const struct options *o = &ctl->options;
	BOX_CLEANUP(mem_freep)
	char *path = mem_printf("/api/export/import?dry_run=%d&accept_unverified=%d&settings=%d",
				o->dry_run, o->accept_unverified, o->settings);
	BOX_CLEANUP(mem_freep) char *file = NULL;
	size_t len = 0;
	int r = place_read_file(ctl->args[0], FILE_BYTES_MAX, &file, &len, err);

	if (r < 0)
		return r;
	if (len == 0)
		return err_set(err, ERR_INVALID, "%s is empty", ctl->args[0]);
	r = session_send(ctl, path, file, len, ret, err);
	if (r == -ERR_STATE && strcmp(err->field, "accept_unverified") == 0)
		(void)snprintf(
			err->hint, sizeof(err->hint),
			"look at it with --dry-run; --accept-unverified takes it, and all of "
			"it arrives pending");
	return r;
}

static void print_changes(const json_t *changes)
{
	static const char *const heads[] = { "WHAT", "IN THE FILE", "IS", "HERE", "WHY" };
	struct print_table *t = print_table_begin(heads, ARRAY_LEN(heads));
	size_t i;
	json_t *c;

	json_array_foreach(changes, i, c) print_table_row(
		t,
		(const char *const[]){ print_member(c, "kind", NULL), print_member(c, "name", NULL),
				       print_member(c, "action", NULL), print_member(c, "as", NULL),
				       print_member(c, "reason", NULL) });
	print_table_end(t, stdout);
}

static void print_notes(const char *what, const json_t *notes)
{
	size_t i;
	json_t *note;

	json_array_foreach(notes, i, note)
	{
		(void)printf("%s: ", what);
		print_safe(stdout, json_string_value(note), json_string_length(note));
		(void)putchar('\n');
	}
}

static void print_import(const json_t *answer)
{
	bool verified = json_is_true(json_object_get(answer, "verified"));
	char tools[24];

	print_number(answer, "tools_created", tools);
	(void)printf("Format %s, %s\nSHA-256 %s\n\n", print_member(answer, "format", "?"),
		     verified ? "signed by this instance" : "NOT signed by this instance",
		     print_member(answer, "sha256_hash", "?"));
	print_changes(json_object_get(answer, "changes"));
	(void)putchar('\n');
	print_notes("warning", json_object_get(answer, "warnings"));
	print_notes("refused", json_object_get(answer, "errors"));
	if (json_is_true(json_object_get(answer, "dry_run")))
		(void)puts("Nothing was changed: this was a dry run.");
	else
		(void)printf("%s tools wait for review: " CTL_SELF " pending\n", tools);
}

enum ctl_exit cmd_import(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };

	if (send(ctl, &answer, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, answer);
	else
		print_import(answer);
	return json_is_true(json_object_get(answer, "success")) ? CTL_DONE : CTL_REFUSED;
}
