/* test X: run a tool's newest version once, approved or not, and see what it does and where it goes. */
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "json.h"
#include "mem.h"
#include "print.h"
#include "session.h"

static int read_arguments(const struct ctl *ctl, json_t **ret, struct err *err)
{
	const char *text = ctl->options.arguments ? ctl->options.arguments : "{}";
	struct err why = { 0 };

	if (json_load(text, strlen(text), ret, &why) < 0 || !json_is_object(*ret))
		return err_set_field(err, ERR_INVALID, NULL,
				     "such as --arguments '{\"city\": \"Oslo\"}'",
				     "--arguments must be a JSON object");
	return 0;
}

static int ask(const struct ctl *ctl, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *arguments = NULL;
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	int r = read_arguments(ctl, &arguments, err);

	if (r < 0)
		return r;
	body = json_pack("{s:s, s:O}", "tool_id", ctl->args[0], "arguments", arguments);
	if (!body)
		return err_set(err, ERR_INVALID, "the name must be UTF-8");
	return session_call(ctl, "POST", "/api/tools/test-code", body, ret, err);
}

static void print_hosts(const json_t *answer)
{
	static const char *const heads[] = { "HOST", "PORT",     "DECISION",
					     "RULE", "REQUESTS", "STATUS" };
	const json_t *hosts = json_object_get(answer, "hosts");
	struct print_table *t;
	size_t i;
	json_t *host;

	if (json_array_size(hosts) == 0) {
		(void)puts(json_is_true(json_object_get(answer, "hosts_complete"))
				   ? "It asked for no host."
				   : "Which hosts it asked for is not known yet; see the audit.");
		return;
	}
	t = print_table_begin(heads, ARRAY_LEN(heads));
	json_array_foreach(hosts, i, host)
	{
		char port[24], requests[24], status[24];

		print_number(host, "port", port);
		print_number(host, "requests", requests);
		print_number(host, "status", status);
		print_table_row(t, (const char *const[]){ print_member(host, "host", "?"), port,
							  print_member(host, "decision", "?"),
							  print_member(host, "rule", NULL),
							  requests, status });
	}
	print_table_end(t, stdout);
}

static void print_part(const char *head, const char *text)
{
	if (!text || !*text)
		return;
	(void)puts(head);
	print_indented(stdout, "  ", text);
}

static void print_answer(const struct ctl *ctl, const json_t *answer)
{
	BOX_CLEANUP(mem_freep)
	char *result =
		json_dumps(json_object_get(answer, "result"), JSON_ENCODE_ANY | JSON_INDENT(2));
	char version[24], duration[24];

	print_number(answer, "version", version);
	print_number(answer, "duration_ms", duration);
	print_safe(stdout, ctl->args[0], strlen(ctl->args[0]));
	(void)printf(", version %s: %s, %s ms\n", version, print_member(answer, "outcome", "?"),
		     duration);
	print_part("Error:", print_member(answer, "error", NULL));
	if (json_is_true(json_object_get(answer, "success")))
		print_part("Result:", result);
	print_part("It printed:", print_member(answer, "stdout", NULL));
	print_hosts(answer);
}

enum ctl_exit cmd_test(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };

	if (ask(ctl, &answer, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, answer);
	else
		print_answer(ctl, answer);
	return json_is_true(json_object_get(answer, "success")) ? CTL_DONE : CTL_REFUSED;
}
