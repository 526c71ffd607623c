#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crypto.h"
#include "permit.h"
#include "test_keys.h"

#define LIVE (1u << MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE)
#define NOW  1000000000

static PB(Role) audience[] = { MCPBOX__V1__ROLE__ROLE_EXECUTOR, MCPBOX__V1__ROLE__ROLE_EGRESS };

static PB(Permit) good_permit(void)
{
	PB(Permit) p = MCPBOX__V1__PERMIT__INIT;

	p.permit_id = (char *)"permit";
	p.n_audience = ARRAY_LEN(audience);
	p.audience = audience;
	p.purpose = MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE;
	p.not_after_unix_ms = NOW;
	return p;
}

static struct permit_view good_view(void)
{
	return (struct permit_view){
		.role = ROLE_EXECUTOR,
		.purposes = LIVE,
		.registry_now_unix_ms = NOW,
		.stale_max_ms = 300000,
	};
}

static void a_good_permit_is_taken(void **state)
{
	PB(Permit) p = good_permit();
	struct permit_view view = good_view();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(permit_judge(&p, &view, &err), 0);
}

static void another_role_is_refused(void **state)
{
	PB(Permit) p = good_permit();
	struct permit_view view = good_view();
	struct err err = { 0 };

	(void)state;
	view.role = ROLE_GATEWAY;
	assert_int_equal(permit_judge(&p, &view, &err), -ERR_DENIED);
}

static void another_purpose_is_refused(void **state)
{
	PB(Permit) p = good_permit();
	struct permit_view view = good_view();
	struct err err = { 0 };

	(void)state;
	p.purpose = MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST;
	assert_int_equal(permit_judge(&p, &view, &err), -ERR_DENIED);
	view.purposes |= 1u << MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST;
	assert_int_equal(permit_judge(&p, &view, &err), 0);
	p.purpose = MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_UNSPECIFIED;
	view.purposes = ~0u;
	assert_int_equal(permit_judge(&p, &view, &err), -ERR_DENIED);
}

static void an_unknown_need_is_refused_by_name(void **state)
{
	char *needs[] = { (char *)"teleport" };
	PB(Permit) p = good_permit();
	struct permit_view view = good_view();
	struct err err = { 0 };

	(void)state;
	p.n_needs = 1;
	p.needs = needs;
	assert_int_equal(permit_judge(&p, &view, &err), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "teleport"));
}

static void time_and_silence(void **state)
{
	static const struct {
		int64_t now_after_expiry;
		uint64_t silence_ms, stale_max_ms;
		int expected;
	} rows[] = {
		{ 0, 0, 300000, 0 },
		{ 1, 0, 300000, -ERR_DENIED },
		{ 1, 1500, 300000, -ERR_DENIED }, /* not silent yet: no stretch */
		{ 1, 1501, 300000, 0 },
		{ 299000, 299000, 300000, 0 },
		{ 299001, 299000, 300000, -ERR_DENIED },
		{ -500000, 300001, 300000, -ERR_DENIED }, /* silent for too long, expired or not */
		{ -500000, 1500, 0, 0 },
		{ -500000, 1501, 0, -ERR_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		PB(Permit) p = good_permit();
		struct permit_view view = good_view();
		struct err err = { 0 };

		view.registry_now_unix_ms += rows[i].now_after_expiry;
		view.silence_ms = rows[i].silence_ms;
		view.stale_max_ms = rows[i].stale_max_ms;
		if (permit_judge(&p, &view, &err) != rows[i].expected)
			fail_msg("row %zu", i);
	}
}

static void nothing_is_judged_without_the_registrys_time(void **state)
{
	PB(Permit) p = good_permit();
	struct permit_view view = good_view();
	struct err err = { 0 };

	(void)state;
	view.registry_now_unix_ms = 0;
	assert_int_equal(permit_judge(&p, &view, &err), -ERR_UNAVAILABLE);
}

static void only_the_registrys_signature_counts(void **state)
{
	struct keys *registry = test_keys(ROLE_REGISTRY, 1),
		    *executor = test_keys(ROLE_EXECUTOR, 1);
	PB(SignedPermit) s = MCPBOX__V1__SIGNED_PERMIT__INIT;
	uint8_t signature[CRYPTO_SIGN_SIZE], packed[] = "any bytes";
	const uint8_t *key = keys_sign(registry, &s.key_id);

	(void)state;
	crypto_sign(key, "mcpbox permit", packed, sizeof(packed), signature);
	s.permit = pb_bytes(packed, sizeof(packed));
	s.signature = pb_bytes(signature, sizeof(signature));
	/* Twice: the second is remembered, and must not lower the bar. */
	for (int i = 0; i < 2; i++) {
		assert_true(permit_is_signed(executor, &s));
		packed[0] ^= 1;
		assert_false(permit_is_signed(executor, &s));
		packed[0] ^= 1;
		signature[5] ^= 1;
		assert_false(permit_is_signed(executor, &s));
		signature[5] ^= 1;
		s.key_id = 2;
		assert_false(permit_is_signed(executor, &s));
		s.key_id = 1;
		s.signature.len--;
		assert_false(permit_is_signed(executor, &s));
		s.signature.len++;
	}
	/* A signature under another label is of another kind. */
	crypto_sign(key, "mcpbox status", packed, sizeof(packed), signature);
	assert_false(permit_is_signed(executor, &s));
	keys_free(registry);
	keys_free(executor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_permit_is_taken),
		cmocka_unit_test(another_role_is_refused),
		cmocka_unit_test(another_purpose_is_refused),
		cmocka_unit_test(an_unknown_need_is_refused_by_name),
		cmocka_unit_test(time_and_silence),
		cmocka_unit_test(nothing_is_judged_without_the_registrys_time),
		cmocka_unit_test(only_the_registrys_signature_counts),
	};

	if (crypto_start() < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
