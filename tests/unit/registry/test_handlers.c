#include "test.h"
#include "handlers.h"
#include "work.h"

static void every_message_stands_once_in_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_op_count; i++) {
		assert_ptr_equal(op_find(registry_ops[i].msg), &registry_ops[i]);
		assert_non_null(msg_row(registry_ops[i].msg));
		assert_non_null(registry_ops[i].run);
	}
}

/* An LLM's way in is a gateway: what decides, sets or shows the audit has no row for it. */
static void no_gateway_carries_decisions(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_op_count; i++) {
		const struct op *op = &registry_ops[i];

		if (op->right == RIGHT_DECIDE || op->right == RIGHT_SETTINGS ||
		    op->right == RIGHT_AUDIT || op->right == RIGHT_OWNER || op->right == RIGHT_SELF)
			assert_int_equal(op->callers & FROM(ROLE_GATEWAY), 0);
	}
}

static void only_status_and_what_precedes_a_login_is_open_to_anyone(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_op_count; i++) {
		const struct op *op = &registry_ops[i];

		if (op->right == RIGHT_ANYONE && op->msg != MSG_GET_STATUS)
			assert_int_equal(op->callers, FROM(ROLE_ADMIN));
	}
}

static void every_decision_is_audited_when_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < registry_op_count; i++)
		if (registry_ops[i].kind == OP_CHANGE &&
		    (registry_ops[i].right == RIGHT_DECIDE || registry_ops[i].right == RIGHT_EDIT ||
		     registry_ops[i].right == RIGHT_SETTINGS))
			assert_non_null(registry_ops[i].topic);
}

static void the_control_socket_needs_no_database(void **state)
{
	struct bus_route routes[HANDLERS_MAX];
	size_t control = handlers_routes(true, routes);

	(void)state;
	assert_int_equal(control, 3);
	for (size_t i = 0; i < control; i++)
		assert_int_equal(op_find(routes[i].msg)->kind, OP_MEMORY);
	assert_int_equal(control + handlers_routes(false, routes), registry_op_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_stands_once_in_the_table),
		cmocka_unit_test(no_gateway_carries_decisions),
		cmocka_unit_test(only_status_and_what_precedes_a_login_is_open_to_anyone),
		cmocka_unit_test(every_decision_is_audited_when_refused),
		cmocka_unit_test(the_control_socket_needs_no_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
