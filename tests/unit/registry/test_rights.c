#include "test.h"
#include "rights.h"

#define KIND(name) MCPBOX__V1__PRINCIPAL__KIND__KIND_##name

static bool granted(enum bus_role from, PB(Principal__Kind) kind, const char *role,
		    const char *scope, enum right right)
{
	struct claim c = { .from = from, .kind = kind, .user_role = role, .token_scope = scope };

	return right_granted(&c, right);
}

/* Each refusal stands beside its nearest allowed neighbour. */
static void grants_by_table(void **state)
{
	static const struct {
		enum bus_role from;
		PB(Principal__Kind) kind;
		const char *role, *scope;
		enum right right;
		bool expected;
	} rows[] = {
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_EDIT, true },
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_AUTHOR, true },
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_DECIDE, false },
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_SETTINGS, false },
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_SELF, false },
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_AUDIT, false },
		{ ROLE_GATEWAY, KIND(LOCAL), NULL, NULL, RIGHT_SERVICE, false },
		{ ROLE_ADMIN, KIND(LOCAL), NULL, NULL, RIGHT_READ, false },
		{ ROLE_EXECUTOR, KIND(LOCAL), NULL, NULL, RIGHT_READ, false },
		{ ROLE_GATEWAY, KIND(MCP), NULL, NULL, RIGHT_AUTHOR, true },
		{ ROLE_GATEWAY, KIND(MCP), NULL, NULL, RIGHT_EDIT, false },
		{ ROLE_ADMIN, KIND(MCP), NULL, NULL, RIGHT_READ, false },
		{ ROLE_ADMIN, KIND(USER), "admin", "", RIGHT_DECIDE, true },
		{ ROLE_ADMIN, KIND(USER), "admin", "", RIGHT_SETTINGS, true },
		{ ROLE_ADMIN, KIND(USER), "admin", "", RIGHT_OWNER, false },
		{ ROLE_ADMIN, KIND(USER), "admin", "", RIGHT_SERVICE, false },
		{ ROLE_ADMIN, KIND(USER), "reviewer", "", RIGHT_DECIDE, true },
		{ ROLE_ADMIN, KIND(USER), "reviewer", "", RIGHT_EDIT, false },
		{ ROLE_ADMIN, KIND(USER), "author", "", RIGHT_EDIT, true },
		{ ROLE_ADMIN, KIND(USER), "author", "", RIGHT_DECIDE, false },
		{ ROLE_ADMIN, KIND(USER), "viewer", "", RIGHT_READ, true },
		{ ROLE_ADMIN, KIND(USER), "viewer", "", RIGHT_AUTHOR, false },
		{ ROLE_ADMIN, KIND(USER), NULL, NULL, RIGHT_READ, false },
		{ ROLE_ADMIN, KIND(USER), "root", "", RIGHT_READ, false },
		{ ROLE_ADMIN, KIND(TOKEN), "admin", "admin", RIGHT_DECIDE, true },
		{ ROLE_ADMIN, KIND(TOKEN), "admin", "author", RIGHT_DECIDE, false },
		{ ROLE_ADMIN, KIND(TOKEN), "viewer", "admin", RIGHT_EDIT, false },
		{ ROLE_ADMIN, KIND(TOKEN), "admin", "admin", RIGHT_SELF, false },
		{ ROLE_OPS, KIND(OWNER), NULL, NULL, RIGHT_AUDIT, true },
		{ ROLE_OPS, KIND(OWNER), NULL, NULL, RIGHT_OWNER, true },
		{ ROLE_OPS, KIND(OWNER), NULL, NULL, RIGHT_DECIDE, false },
		{ ROLE_ADMIN, KIND(OWNER), NULL, NULL, RIGHT_OWNER, false },
		{ ROLE_EXECUTOR, KIND(SYSTEM), NULL, NULL, RIGHT_SERVICE, true },
		{ ROLE_ADMIN, KIND(SYSTEM), NULL, NULL, RIGHT_READ, false },
		{ ROLE_ADMIN, KIND(UNSPECIFIED), NULL, NULL, RIGHT_READ, false },
		{ ROLE_ADMIN, KIND(SYSTEM), NULL, NULL, RIGHT_ANYONE, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (granted(rows[i].from, rows[i].kind, rows[i].role, rows[i].scope,
			    rows[i].right) != rows[i].expected)
			fail_msg("row %zu", i);
}

static void the_policy_lifts_the_refusal_for_remote_editors_only(void **state)
{
	struct claim c = { .from = ROLE_GATEWAY, .kind = KIND(MCP), .may_edit_remotely = true };

	(void)state;
	assert_true(right_granted(&c, RIGHT_EDIT));
	assert_false(right_granted(&c, RIGHT_DECIDE));
	c.from = ROLE_ADMIN;
	assert_false(right_granted(&c, RIGHT_EDIT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_by_table),
		cmocka_unit_test(the_policy_lifts_the_refusal_for_remote_editors_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
