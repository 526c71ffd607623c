#include "gateway_test.h"

#include <stdlib.h>
#include "clock.h"
#include "session.h"

static const uint8_t key[CRYPTO_KEY_SIZE] = { 1, 2, 3 };
static const uint8_t other_key[CRYPTO_KEY_SIZE] = { 4 };

static int setup(void **state)
{
	*state = sessions_new(key);
	return crypto_start();
}

static int teardown(void **state)
{
	sessions_free(*state);
	return 0;
}

static void id_holds_the_version_and_is_visible_ascii(void **state)
{
	char id[SESSION_ID_SIZE];
	struct session made, found;

	session_new(*state, MCP_2025_06_18, &made, id);
	for (const char *p = id; *p; p++)
		assert_in_range(*p, 0x21, 0x7e);
	assert_int_equal(session_find(*state, id, &found), 0);
	assert_int_equal(found.version, MCP_2025_06_18);
	assert_memory_equal(found.serial, made.serial, SESSION_SERIAL);
}

static void another_process_with_the_key_serves_it(void **state)
{
	struct sessions *other = sessions_new(key);
	struct sessions *stranger = sessions_new(other_key);
	char id[SESSION_ID_SIZE];
	struct session s;

	session_new(*state, MCP_2025_11_25, &s, id);
	assert_int_equal(session_find(other, id, &s), 0);
	assert_int_equal(session_find(stranger, id, &s), -ERR_NOT_FOUND);
	sessions_free(other);
	sessions_free(stranger);
}

static void each_altered_character_is_noticed(void **state)
{
	char id[SESSION_ID_SIZE], altered[SESSION_ID_SIZE];
	struct session s;

	session_new(*state, MCP_2025_11_25, &s, id);
	for (size_t i = 0; i < strlen(id); i++) {
		memcpy(altered, id, sizeof(id));
		altered[i] = altered[i] == 'A' ? 'B' : 'A';
		assert_int_equal(session_find(*state, altered, &s), -ERR_NOT_FOUND);
	}
	assert_int_equal(session_find(*state, "", &s), -ERR_NOT_FOUND);
	assert_int_equal(session_find(*state, "x", &s), -ERR_NOT_FOUND);
	id[strlen(id) - 4] = '\0';
	assert_int_equal(session_find(*state, id, &s), -ERR_NOT_FOUND);
}

static void ended_session_stays_ended(void **state)
{
	char id[SESSION_ID_SIZE], still[SESSION_ID_SIZE];
	struct session s, t;

	session_new(*state, MCP_2025_11_25, &s, id);
	session_new(*state, MCP_2025_11_25, &t, still);
	session_end(*state, &s);
	assert_int_equal(session_find(*state, id, &s), -ERR_NOT_FOUND);
	assert_int_equal(session_find(*state, still, &t), 0);
}

static void old_session_is_not_found(void **state)
{
	char id[SESSION_ID_SIZE];
	struct session s;

	session_new(*state, MCP_2025_11_25, &s, id);
	clock_test_advance((int64_t)SESSION_MAX_AGE_S * 1000 - 5000);
	assert_int_equal(session_find(*state, id, &s), 0);
	clock_test_advance(10000);
	assert_int_equal(session_find(*state, id, &s), -ERR_NOT_FOUND);
}

static void level_is_per_session(void **state)
{
	char id[SESSION_ID_SIZE];
	struct session s, t;

	session_new(*state, MCP_2025_11_25, &s, id);
	session_new(*state, MCP_2025_11_25, &t, id);
	assert_int_equal(session_level(*state, &s), SEVERITY_NONE);
	session_set_level(*state, &s, SEVERITY_ERROR);
	assert_int_equal(session_level(*state, &s), SEVERITY_ERROR);
	assert_int_equal(session_level(*state, &t), SEVERITY_NONE);
	session_end(*state, &s);
	assert_int_equal(session_level(*state, &s), SEVERITY_ERROR);
}

static void memory_of_ended_sessions_is_bounded_and_keeps_the_newest(void **state)
{
	char first[SESSION_ID_SIZE], last[SESSION_ID_SIZE];
	struct session s;

	session_new(*state, MCP_2025_11_25, &s, first);
	session_end(*state, &s);
	for (size_t i = 0; i < SESSION_NOTES * 2 + 10; i++) {
		session_new(*state, MCP_2025_11_25, &s, last);
		session_end(*state, &s);
	}
	assert_int_equal(session_find(*state, last, &s), -ERR_NOT_FOUND);
	assert_int_equal(session_find(*state, first, &s), 0); /* forgotten, as documented */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(id_holds_the_version_and_is_visible_ascii, setup,
						teardown),
		cmocka_unit_test_setup_teardown(another_process_with_the_key_serves_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(each_altered_character_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_session_stays_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(old_session_is_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(level_is_per_session, setup, teardown),
		cmocka_unit_test_setup_teardown(
			memory_of_ended_sessions_is_bounded_and_keeps_the_newest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
