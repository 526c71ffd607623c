/* Who may stand before the bus without having shown a key. */
#include "test.h"
#include "bus_doorstep.h"

/* The pipe that has to leave, or 0. */
static uint32_t admit(struct doorstep *d, uint32_t pipe, uint8_t host)
{
	const struct doorstep_row row = { .pipe = pipe, .family = NNG_AF_INET, .host = { host } };

	return doorstep_admit(d, &row);
}

static void an_address_has_few_places(void **state)
{
	struct doorstep d = { .lock = PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	assert_int_equal(admit(&d, 100, 2), 0);
	for (uint32_t i = 1; i <= DOORSTEP_PER_ADDRESS; i++)
		assert_int_equal(admit(&d, i, 1), 0);
	/* The oldest of the same address makes room, one that has shown a seal does not. */
	doorstep_prove(&d, (nng_pipe){ 1 });
	assert_int_equal(admit(&d, 101, 1), 0);
	assert_int_equal(admit(&d, 102, 1), 2);
	assert_int_equal(admit(&d, 103, 1), 3);
	assert_int_equal(admit(&d, 104, 2), 0);
	assert_int_equal(atomic_load(&d.count), DOORSTEP_PER_ADDRESS + 2);
}

static void all_addresses_together_have_not_many(void **state)
{
	struct doorstep d = { .lock = PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	for (uint32_t i = 1; i <= DOORSTEP_MAX; i++)
		assert_int_equal(admit(&d, i, (uint8_t)i), 0);
	assert_int_equal(admit(&d, 100, 100), 1);
	assert_int_equal(admit(&d, 101, 101), 2);
	assert_int_equal(atomic_load(&d.count), DOORSTEP_MAX);
}

static void a_proven_connection_is_not_counted(void **state)
{
	struct doorstep d = { .lock = PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	for (uint32_t i = 1; i <= 100; i++) {
		assert_int_equal(admit(&d, i, 1), 0);
		doorstep_prove(&d, (nng_pipe){ i });
		doorstep_prove(&d, (nng_pipe){ i });
	}
	assert_int_equal(atomic_load(&d.count), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_few_places),
		cmocka_unit_test(all_addresses_together_have_not_many),
		cmocka_unit_test(a_proven_connection_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
