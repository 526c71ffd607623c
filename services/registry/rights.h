/*
 * May this principal do that?  Pure; the row of the dispatch table says which right a message needs,
 * and which services may carry it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "frame.h"
#include "msg.h"

enum right {
	RIGHT_ANYONE, /* before login */
	RIGHT_SELF,   /* any logged-in person */
	RIGHT_READ,
	RIGHT_CALL,   /* published tools; judged at the gateway, which knows them */
	RIGHT_AUTHOR, /* ask for things, start and stop: every LLM */
	RIGHT_EDIT, /* change servers and tools: remote LLMs only under policy remote_tool_editing */
	RIGHT_DECIDE, /* approve, reject, revoke */
	RIGHT_SETTINGS,
	RIGHT_AUDIT,
	RIGHT_OWNER,   /* root or the instance's owner at the command line */
	RIGHT_SERVICE, /* a service on its own account */
};

struct claim {
	enum bus_role from; /* the service that carries the request: proven by its key */
	PB(Principal__Kind) kind;
	const char *user_role;   /* USER, TOKEN: from the database, never from the wire */
	const char *token_scope; /* TOKEN */
	bool may_edit_remotely;  /* policy remote_tool_editing */
};
bool right_is_role(const char *role);   /* of an account */
bool right_is_scope(const char *scope); /* of an API token */
bool right_granted(const struct claim *claim, enum right right);
