/*
 * What all commands share: the options, where the instance is, how a command ends.  One thread.
 */
#pragma once

#include "attrs.h"
#include "err.h"
#include "options.h"
#include "place.h"

/* How a person calls us: the binary lies in no PATH. */
#define CTL_SELF "./mcpbox ctl"

/* Exit codes; scripts rely on them. */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_REFUSED = 1,
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3,
};

struct ctl {
	struct options options;
	const char *const *args; /* the words behind the command's name */
	size_t arg_count;
	struct place place;
};

/* Each command prints what it has to say and returns how the program ends. */
typedef enum ctl_exit ctl_command_fn(struct ctl *ctl);

ctl_command_fn cmd_setup, cmd_login, cmd_logout, cmd_user_passwd;
ctl_command_fn cmd_pending, cmd_show, cmd_approve, cmd_reject, cmd_revoke;
ctl_command_fn cmd_test;
ctl_command_fn cmd_audit_tail, cmd_audit_verify;
ctl_command_fn cmd_start, cmd_stop, cmd_pause, cmd_resume, cmd_reuse_on, cmd_reuse_off;
ctl_command_fn cmd_calls, cmd_modules, cmd_tools, cmd_servers, cmd_executors, cmd_instances;
ctl_command_fn cmd_keys_init, cmd_keys_mark, cmd_keys_seal, cmd_keys_open;
ctl_command_fn cmd_keys_rotate;
ctl_command_fn cmd_export, cmd_import;
ctl_command_fn cmd_user_add, cmd_user_list, cmd_user_role, cmd_user_remove;
ctl_command_fn cmd_sessions, cmd_session_end;
ctl_command_fn cmd_tokens_add, cmd_tokens_list, cmd_tokens_remove;

/* Say what went wrong (stderr; with --json an object on stdout) and choose the exit code by err's
 * code. */
enum ctl_exit ctl_fail(const struct ctl *ctl, const struct err *err);
