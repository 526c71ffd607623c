#include "test.h"
#include "frame.h"
#include "leases.h"

static uint8_t boot_a[BOOT_ID_SIZE] = { 1 }, boot_b[BOOT_ID_SIZE] = { 2 };

static enum lease_news renew(struct leases *l, uint8_t *boot, uint32_t capacity, uint64_t now)
{
	PB(Instance) i = MCPBOX__V1__INSTANCE__INIT;

	i.role = MCPBOX__V1__ROLE__ROLE_EXECUTOR;
	i.boot_id = pb_bytes(boot, BOOT_ID_SIZE);
	i.capacity = capacity;
	return lease_renew(l, &i, now, (int64_t)now);
}

static size_t count(struct leases *l)
{
	struct arena arena = { 0 };
	size_t n;

	(void)lease_list(l, &arena, &n);
	arena_done(&arena);
	return n;
}

static void tells_joined_from_known_from_changed(void **state)
{
	struct leases *l = leases_new(0);

	(void)state;
	assert_int_equal(renew(l, boot_a, 8, 100), LEASE_JOINED);
	assert_int_equal(renew(l, boot_a, 8, 2100), LEASE_KNOWN);
	assert_int_equal(renew(l, boot_a, 4, 4100), LEASE_CHANGED);
	assert_int_equal(renew(l, boot_b, 4, 4100), LEASE_JOINED);
	assert_int_equal(count(l), 2);
	leases_free(l);
}

static void remembers_when_an_instance_joined(void **state)
{
	struct leases *l = leases_new(0);
	struct arena arena = { 0 };
	size_t n;

	(void)state;
	(void)renew(l, boot_a, 8, 100);
	(void)renew(l, boot_a, 8, 2100);
	assert_int_equal(lease_list(l, &arena, &n)[0]->since_unix_ms, 100);
	arena_done(&arena);
	leases_free(l);
}

static void loses_the_silent_after_three_renewals(void **state)
{
	struct leases *l = leases_new(0);
	PB(Instance) * gone;

	(void)state;
	(void)renew(l, boot_a, 8, 20000);
	(void)renew(l, boot_b, 8, 24000);
	assert_null(lease_expire(l, 20000 + LEASE_LOST_MS - 1));
	gone = lease_expire(l, 20000 + LEASE_LOST_MS);
	assert_non_null(gone);
	assert_memory_equal(gone->boot_id.data, boot_a, BOOT_ID_SIZE);
	assert_null(lease_expire(l, 20000 + LEASE_LOST_MS));
	assert_int_equal(count(l), 1);
	msg_free(&gone->base);
	leases_free(l);
}

static void loses_nobody_right_after_its_own_start(void **state)
{
	struct leases *l = leases_new(1000);
	PB(Instance) * gone;

	(void)state;
	(void)renew(l, boot_a, 8, 1000);
	assert_null(lease_expire(l, 1000 + LEASE_GRACE_MS - 1));
	gone = lease_expire(l, 1000 + LEASE_GRACE_MS);
	assert_non_null(gone);
	msg_free(&gone->base);
	leases_free(l);
}

static void lets_go_of_who_says_good_bye(void **state)
{
	struct leases *l = leases_new(0);
	PB(Instance) * gone;

	(void)state;
	(void)renew(l, boot_a, 8, 100);
	assert_null(lease_leave(l, boot_b));
	gone = lease_leave(l, boot_a);
	assert_non_null(gone);
	assert_int_equal(count(l), 0);
	msg_free(&gone->base);
	leases_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_joined_from_known_from_changed),
		cmocka_unit_test(remembers_when_an_instance_joined),
		cmocka_unit_test(loses_the_silent_after_three_renewals),
		cmocka_unit_test(loses_nobody_right_after_its_own_start),
		cmocka_unit_test(lets_go_of_who_says_good_bye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
