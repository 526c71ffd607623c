/* mcpboxctl: a table of commands. */
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "json.h"
#include "mem.h"
#include "print.h"

struct ctl_command {
	const char *words; /* one or two */
	const char *args;  /* as in the help; in brackets: may be left out */
	size_t arg_count;
	uint32_t options;
	ctl_command_fn *run;
	const char *meaning;
};

static const struct ctl_command commands[] = {
	{ "setup", "", 0, OPT(OPTION_USER) | OPT(OPTION_PASSWORD_FILE), cmd_setup,
	  "make the first admin, once" },
	{ "login", "", 0, OPT(OPTION_USER) | OPT(OPTION_PASSWORD_FILE), cmd_login,
	  "log in as an admin and keep the session" },
	{ "logout", "", 0, 0, cmd_logout, "end the session" },
	{ "pending", "", 0, 0, cmd_pending, "what waits for a decision" },
	{ "show", "X", 1, 0, cmd_show,
	  "a tool: code, hosts, notes, what changed since the live version; or a request" },
	{ "test", "X", 1, OPT(OPTION_ARGUMENTS), cmd_test,
	  "run a tool's newest version once, approved or not: result, output, hosts" },
	{ "approve", "X", 1, OPT(OPTION_HASH) | OPT(OPTION_ALLOW_PRIVATE), cmd_approve,
	  "let it through, as it was shown" },
	{ "reject", "X", 1, OPT(OPTION_REASON), cmd_reject, "send it back with --reason" },
	{ "revoke", "X", 1, 0, cmd_revoke, "take an approval back, at once" },
	{ "start", "SERVER", 1, 0, cmd_start, "let a server's approved tools be called" },
	{ "stop", "SERVER", 1, 0, cmd_stop, "take a server's tools out of the list" },
	{ "warm-reuse on", "SERVER", 1, 0, cmd_reuse_on,
	  "faster: let one process serve many calls of a tool of the server" },
	{ "warm-reuse off", "SERVER", 1, 0, cmd_reuse_off,
	  "a fresh process for each call, as usual" },
	{ "pause", "[SERVER]", 1, 0, cmd_pause,
	  "end all calls and let none begin, of one server or of all" },
	{ "resume", "[SERVER]", 1, 0, cmd_resume, "let them be called again" },
	{ "tools", "", 0, 0, cmd_tools, "all tools" },
	{ "servers", "", 0, 0, cmd_servers, "all servers" },
	{ "modules", "", 0, 0, cmd_modules,
	  "modules that tools may import: every tool of every server" },
	{ "calls", "[X]", 1, OPT(OPTION_LIMIT), cmd_calls,
	  "the last calls, of all tools or of one: by whom, how they ended" },
	{ "executors", "", 0, 0, cmd_executors, "running executors and how they confine tools" },
	{ "instances", "", 0, 0, cmd_instances, "every process that has announced itself" },
	{ "audit tail", "", 0,
	  OPT(OPTION_SINCE) | OPT(OPTION_TOPIC) | OPT(OPTION_LIMIT) | OPT(OPTION_NO_FOLLOW),
	  cmd_audit_tail, "the audit log, live" },
	{ "audit verify", "", 0, OPT(OPTION_ANCHOR), cmd_audit_verify,
	  "check the chain of the audit log" },
	{ "export", "FILE", 1, OPT(OPTION_SERVER) | OPT(OPTION_FORMAT) | OPT(OPTION_HEADS),
	  cmd_export, "all servers, or one, as a signed file (- is standard output)" },
	{ "import", "FILE", 1,
	  OPT(OPTION_DRY_RUN) | OPT(OPTION_ACCEPT_UNVERIFIED) | OPT(OPTION_SETTINGS), cmd_import,
	  "servers of such a file; their tools wait for review" },
	{ "user add", "U", 1, OPT(OPTION_ROLE) | OPT(OPTION_PASSWORD_FILE), cmd_user_add,
	  "make a user; a viewer unless --role says more" },
	{ "user list", "", 0, 0, cmd_user_list, "all users" },
	{ "user role", "U", 1, OPT(OPTION_ROLE), cmd_user_role, "give a user another --role" },
	{ "user remove", "U", 1, 0, cmd_user_remove, "delete a user" },
	{ "user passwd", "U", 1, OPT(OPTION_PASSWORD_FILE), cmd_user_passwd,
	  "set a user's password (the instance's owner)" },
	{ "sessions", "", 0, 0, cmd_sessions, "who is logged in; an admin sees everybody" },
	{ "session end", "ID", 1, 0, cmd_session_end, "log a session out" },
	{ "tokens add", "NAME", 1, OPT(OPTION_SCOPE) | OPT(OPTION_DAYS), cmd_tokens_add,
	  "make an API token of yours; it is shown once" },
	{ "tokens list", "", 0, 0, cmd_tokens_list, "API tokens; an admin sees everybody's" },
	{ "tokens remove", "ID", 1, 0, cmd_tokens_remove, "take an API token back" },
	{ "keys init", "", 0, OPT(OPTION_ROOT) | OPT(OPTION_OUT), cmd_keys_init,
	  "make the root key and the key file of each role" },
	{ "keys seal", "FILE", 1, OPT(OPTION_ROOT) | OPT(OPTION_PASSWORD_FILE), cmd_keys_seal,
	  "write the root key to FILE, sealed under a passphrase" },
	{ "keys open", "FILE", 1, OPT(OPTION_OUT) | OPT(OPTION_PASSWORD_FILE), cmd_keys_open,
	  "write the key that is sealed in FILE to --out" },
	{ "keys mark", "FILE", 1, OPT(OPTION_ROOT), cmd_keys_mark,
	  "print what only the holder of the root key can print of FILE" },
	{ "keys rotate", "", 0, 0, cmd_keys_rotate,
	  "seal all secrets anew, with a new key, while everything runs" },
};

static const char what_x_is[] =
	"X is a tool's id or server/tool, host:REQUEST_ID or module:REQUEST_ID.\n";

static void print_overview(FILE *out)
{
	(void)fputs("usage: " CTL_SELF " COMMAND [ARGUMENTS] [OPTIONS]\n\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		char left[40];

		(void)snprintf(left, sizeof(left), "%s %s", commands[i].words, commands[i].args);
		(void)fprintf(out, "  %-22s %s\n", left, commands[i].meaning);
	}
	(void)fprintf(out, "\n%s", what_x_is);
	(void)fputs("backup FILE and restore FILE: " CTL_SELF " backup --help\n\nEverywhere:\n",
		    out);
	options_print(OPT_EVERYWHERE, out);
	(void)fputs("\nExit: 0 done, 1 refused or broken chain, 2 usage, 3 not reachable.\n", out);
}

static void print_help(const struct ctl_command *c, FILE *out)
{
	(void)fprintf(out, "usage: " CTL_SELF " %s%s%s [OPTIONS]\n\n%s\n", c->words,
		      c->arg_count ? " " : "", c->args, c->meaning);
	if (strcmp(c->args, "X") == 0)
		(void)fputs(what_x_is, out);
	(void)fputc('\n', out);
	options_print(c->options | OPT_EVERYWHERE, out);
}

/* How many leading words name the command: 1, 2, or 0 when they name another. */
static size_t match_words(const struct ctl_command *c, const struct options *o)
{
	const char *space = strchr(c->words, ' ');
	size_t first = space ? (size_t)(space - c->words) : strlen(c->words);

	if (o->word_count == 0 || strlen(o->words[0]) != first ||
	    memcmp(o->words[0], c->words, first) != 0)
		return 0;
	if (!space)
		return 1;
	return o->word_count > 1 && strcmp(o->words[1], space + 1) == 0 ? 2 : 0;
}

static const struct ctl_command *find_command(const struct options *o, size_t *ret_words)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		*ret_words = match_words(&commands[i], o);
		if (*ret_words > 0)
			return &commands[i];
	}
	return NULL;
}

/* "mcpboxctl: <what><detail>" and where to look. */
static enum ctl_exit usage(const char *what, const char *detail)
{
	(void)fprintf(stderr, "mcpboxctl: %s", what);
	print_safe(stderr, detail, strlen(detail));
	(void)fputs("\nTry: " CTL_SELF " --help\n", stderr);
	return CTL_USAGE;
}

/* What may follow a first word that is only half a command. */
static enum ctl_exit usage_second_word(const char *first)
{
	size_t len = strlen(first);
	bool is_known = false;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct ctl_command *c = &commands[i];

		if (strncmp(c->words, first, len) != 0 || c->words[len] != ' ')
			continue;
		if (!is_known)
			(void)fprintf(stderr, "mcpboxctl: '%s' goes on with one of\n", first);
		is_known = true;
		(void)fprintf(stderr, "  " CTL_SELF " %s %-*s %s\n", c->words, 3, c->args,
			      c->meaning);
	}
	return is_known ? CTL_USAGE : usage("there is no command ", first);
}

static enum ctl_exit run(const struct ctl_command *command, struct ctl *ctl)
{
	struct err err = { 0 };
	enum ctl_exit code;

	if (place_find(ctl->options.data, &ctl->place, &err) < 0)
		return usage("", err.text);
	code = command->run(ctl);
	place_done(&ctl->place);
	return code;
}

static enum ctl_exit dispatch(struct ctl *ctl)
{
	const struct options *o = &ctl->options;
	size_t words;
	const struct ctl_command *c = find_command(o, &words);
	const char *foreign;

	if (o->word_count == 0 && o->help) {
		print_overview(stdout);
		return CTL_DONE;
	}
	if (o->word_count == 0)
		return usage("a command is missing", "");
	if (!c)
		return usage_second_word(o->words[0]);
	if (o->help) {
		print_help(c, stdout);
		return CTL_DONE;
	}
	foreign = options_first_foreign(o->given, c->options | OPT_EVERYWHERE);
	if (foreign)
		return usage("this command does not take ", foreign);
	ctl->args = o->words + words;
	ctl->arg_count = o->word_count - words;
	if (ctl->arg_count > c->arg_count || (ctl->arg_count < c->arg_count && c->args[0] != '['))
		return usage(c->arg_count ? "this command takes one argument: "
					  : "this command takes no arguments",
			     c->args);
	return run(c, ctl);
}

static enum ctl_exit exit_code(enum err_code code)
{
	switch (code) {
	case ERR_UNAVAILABLE:
	case ERR_DEADLINE:
	case ERR_BUSY:
	case ERR_UNKNOWN_OUTCOME:
		return CTL_UNREACHABLE;
	default:
		return CTL_REFUSED;
	}
}

enum ctl_exit ctl_fail(const struct ctl *ctl, const struct err *err)
{
	if (ctl->options.json)
		print_json_error(stdout, err);
	(void)fputs("mcpboxctl: ", stderr);
	print_safe(stderr, err->text, strlen(err->text));
	if (err->hint[0]) {
		(void)fputs("\n  ", stderr);
		print_safe(stderr, err->hint, strlen(err->hint));
	}
	(void)fputc('\n', stderr);
	return exit_code(err->code);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	struct err err = { 0 };

	json_start();
	if (options_parse(argc, argv, &ctl.options, &err) < 0)
		return usage("", err.text);
	return dispatch(&ctl);
}
