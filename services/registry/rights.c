#include "rights.h"

#include <stddef.h>
#include <string.h>
#include "attrs.h"

#define BIT(right) (1u << (right))

/* What people may do, by the role that their account has. */
static const struct {
	const char *role;
	uint32_t rights;
} people[] = {
	{ "admin", BIT(RIGHT_SELF) | BIT(RIGHT_READ) | BIT(RIGHT_CALL) | BIT(RIGHT_AUTHOR) |
			   BIT(RIGHT_EDIT) | BIT(RIGHT_DECIDE) | BIT(RIGHT_SETTINGS) |
			   BIT(RIGHT_AUDIT) },
	{ "reviewer", BIT(RIGHT_SELF) | BIT(RIGHT_READ) | BIT(RIGHT_CALL) | BIT(RIGHT_DECIDE) |
			      BIT(RIGHT_AUDIT) },
	{ "author", BIT(RIGHT_SELF) | BIT(RIGHT_READ) | BIT(RIGHT_CALL) | BIT(RIGHT_AUTHOR) |
			    BIT(RIGHT_EDIT) },
	{ "viewer", BIT(RIGHT_SELF) | BIT(RIGHT_READ) | BIT(RIGHT_CALL) },
};

/* What an API token takes from its owner's rights. */
static const struct {
	const char *scope;
	uint32_t rights;
} scopes[] = {
	{ "read", BIT(RIGHT_READ) },
	{ "call", BIT(RIGHT_READ) | BIT(RIGHT_CALL) },
	{ "author", BIT(RIGHT_READ) | BIT(RIGHT_CALL) | BIT(RIGHT_AUTHOR) | BIT(RIGHT_EDIT) },
	{ "admin", ~0u },
};

/* Principals without an account: by kind, and only from the services that may vouch for them.  A broken
 * admin process has no row here: it can do nothing without somebody's live session. */
static const struct {
	PB(Principal__Kind) kind;
	uint32_t from;
	uint32_t rights;
} strangers[] = {
	{ MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL, FROM(ROLE_GATEWAY),
	  BIT(RIGHT_READ) | BIT(RIGHT_AUTHOR) | BIT(RIGHT_EDIT) },
	{ MCPBOX__V1__PRINCIPAL__KIND__KIND_MCP, FROM(ROLE_GATEWAY),
	  BIT(RIGHT_READ) | BIT(RIGHT_AUTHOR) },
	{ MCPBOX__V1__PRINCIPAL__KIND__KIND_OWNER, FROM(ROLE_OPS),
	  BIT(RIGHT_OWNER) | BIT(RIGHT_AUDIT) },
	{ MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM, ~0u, BIT(RIGHT_SERVICE) },
};

bool right_is_role(const char *role)
{
	for (size_t i = 0; i < ARRAY_LEN(people); i++)
		if (strcmp(people[i].role, role) == 0)
			return true;
	return false;
}

bool right_is_scope(const char *scope)
{
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
		if (strcmp(scopes[i].scope, scope) == 0)
			return true;
	return false;
}

static uint32_t of_person(const char *role)
{
	for (size_t i = 0; role && i < ARRAY_LEN(people); i++)
		if (strcmp(people[i].role, role) == 0)
			return people[i].rights;
	return 0;
}

static uint32_t of_scope(const char *scope)
{
	for (size_t i = 0; scope && i < ARRAY_LEN(scopes); i++)
		if (strcmp(scopes[i].scope, scope) == 0)
			return scopes[i].rights;
	return 0;
}

static uint32_t of_stranger(const struct claim *c)
{
	uint32_t rights = 0;

	for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
		if (strangers[i].kind == c->kind && (strangers[i].from & FROM(c->from)))
			rights |= strangers[i].rights;
	if (c->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_MCP && c->may_edit_remotely && rights)
		rights |= BIT(RIGHT_EDIT);
	return rights;
}

bool right_granted(const struct claim *c, enum right right)
{
	uint32_t rights;

	if (right == RIGHT_ANYONE)
		return true;
	if (c->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_USER)
		rights = of_person(c->user_role);
	else if (c->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN)
		rights = of_person(c->user_role) & of_scope(c->token_scope) & ~BIT(RIGHT_SELF);
	else
		rights = of_stranger(c);
	return (rights & BIT(right)) != 0;
}
