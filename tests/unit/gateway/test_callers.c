#include "gateway_test.h"

#include "callers.h"
#include "clock.h"
#include "mem.h"

/* A registry that knows one token. */
struct registry {
	struct callers *callers;
	int answer; /* 0, or the code of its refusal */
	bool may_call, is_silent;
	int64_t expires_unix_ms, now_unix_ms;
	unsigned asked;
	bool asks_itself; /* somebody else comes while the question is on its way */
	int nested;
};

static const char good[] = "Bearer mcpbox.abc-DEF_123";

static int ask(void *arg, const struct caller *c, ProtobufCMessage **ret, struct err *err)
{
	struct registry *r = arg;
	PB(CheckTokenReply) reply = MCPBOX__V1__CHECK_TOKEN_REPLY__INIT;
	char name[] = "anna", id[] = "t-1";
	struct caller other;
	uint8_t *packed;
	size_t len;

	assert_string_equal(c->token, "mcpbox.abc-DEF_123");
	r->asked++;
	if (r->asks_itself) {
		r->asks_itself = false;
		r->nested = callers_identify(r->callers, good, "::1", &other, err);
		assert_string_equal(other.name, "anna");
	}
	if (r->answer != 0)
		return err_set(err, (enum err_code) - r->answer, "no");
	reply.username = name;
	reply.token_id = id;
	reply.may_call = r->may_call;
	reply.expires_at_unix_ms = r->expires_unix_ms;
	packed = msg_pack(&reply.base, &len);
	assert_int_equal(msg_unpack(reply.base.descriptor, packed, len, ret), 0);
	free(packed);
	return 0;
}

static int64_t registry_now(void *arg)
{
	return ((struct registry *)arg)->now_unix_ms;
}

static bool is_silent(void *arg)
{
	return ((struct registry *)arg)->is_silent;
}

static void begin(struct registry *r)
{
	const struct callers_config config = { .ask = ask,
					       .arg = r,
					       .registry_now = registry_now,
					       .is_silent = is_silent,
					       .stale_max_ms = 300000 };

	r->now_unix_ms = 1000000;
	r->may_call = true;
	r->callers = callers_new(&config);
}

static int identify(struct registry *r, const char *authorization, struct caller *ret)
{
	struct err err = { 0 };
	int code = callers_identify(r->callers, authorization, "127.0.0.1", ret, &err);

	err_done(&err);
	return code;
}

static void nobody_in_particular_is_local(void **state)
{
	struct registry r = { 0 };
	struct caller c;
	PB(Principal) p = MCPBOX__V1__PRINCIPAL__INIT;

	(void)state;
	begin(&r);
	assert_int_equal(identify(&r, NULL, &c), 0);
	assert_true(c.may_call && c.name[0] == '\0');
	caller_principal(&c, &p);
	assert_int_equal(p.kind, MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL);
	assert_int_equal(r.asked, 0);
	callers_free(r.callers);
}

static void what_is_no_token_is_refused_without_a_question(void **state)
{
	static const char *const rows[] = {
		"",
		"Bearer",
		"Bearer ",
		"Basic bWNwYm94OmFiYw==",
		"Bearer abc",
		"Bearer mcpbox.",
		"Bearer mcpbox.a b",
		"Bearer mcpbox.a,b",
		"mcpbox.abc",
		"Bearer "
		"mcpbox.0123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789012345678901234567890",
	};
	struct registry r = { 0 };
	struct caller c;

	(void)state;
	begin(&r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(identify(&r, rows[i], &c), -ERR_UNAUTHENTICATED);
	assert_int_equal(r.asked, 0);
	callers_free(r.callers);
}

static void a_token_is_its_owner(void **state)
{
	struct registry r = { 0 };
	struct caller c;
	PB(Principal) p = MCPBOX__V1__PRINCIPAL__INIT;
	char key[CALLERS_KEY_SIZE];

	(void)state;
	begin(&r);
	r.may_call = false;
	callers_rate_key(r.callers, good, "127.0.0.1", key);
	assert_string_equal(key, "127.0.0.1"); /* or each guess would have a rate of its own */
	assert_int_equal(identify(&r, good, &c), 0);
	assert_string_equal(c.name, "anna");
	assert_false(c.may_call);
	caller_principal(&c, &p);
	assert_int_equal(p.kind, MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN);
	assert_memory_equal(p.secret.data, "mcpbox.abc-DEF_123", p.secret.len);
	callers_rate_key(r.callers, good, "127.0.0.1", key);
	assert_string_equal(key, "token t-1");
	caller_done(&c);
	assert_int_equal(c.token[0], 0);
	callers_free(r.callers);
}

static void what_was_said_holds_for_less_than_a_second(void **state)
{
	struct registry r = { 0 };
	struct caller c;

	(void)state;
	begin(&r);
	for (int i = 0; i < 100; i++)
		assert_int_equal(identify(&r, good, &c), 0);
	assert_in_range(r.asked, 1, 2);
	r.answer = -ERR_UNAUTHENTICATED; /* revoked */
	clock_test_advance(800);
	assert_int_equal(identify(&r, good, &c), -ERR_UNAUTHENTICATED);
	assert_int_equal(c.token[0], 0);
	clock_test_advance(-800);
	callers_free(r.callers);
}

static void one_asks_and_the_others_go_on(void **state)
{
	struct registry r = { 0 };
	struct caller c;

	(void)state;
	begin(&r);
	assert_int_equal(identify(&r, good, &c), 0);
	clock_test_advance(500);
	r.asks_itself = true;
	r.nested = -1;
	assert_int_equal(identify(&r, good, &c), 0);
	assert_int_equal(r.nested, 0);
	assert_int_equal(r.asked, 2);
	clock_test_advance(-500);
	callers_free(r.callers);
}

static void it_expires_without_being_asked_about(void **state)
{
	struct registry r = { 0 };
	struct caller c;

	(void)state;
	begin(&r);
	r.expires_unix_ms = r.now_unix_ms + 100;
	assert_int_equal(identify(&r, good, &c), 0);
	r.now_unix_ms += 100;
	r.answer = -ERR_UNAVAILABLE;
	assert_int_equal(identify(&r, good, &c), -ERR_UNAUTHENTICATED);
	callers_free(r.callers);
}

static void without_a_registry_the_known_go_on_and_strangers_wait(void **state)
{
	struct registry r = { .answer = -ERR_UNAVAILABLE };
	struct caller c;

	(void)state;
	begin(&r);
	assert_int_equal(identify(&r, good, &c), -ERR_UNAVAILABLE);
	r.answer = 0;
	assert_int_equal(identify(&r, good, &c), 0);
	r.answer = -ERR_UNAVAILABLE;
	clock_test_advance(299000);
	assert_int_equal(identify(&r, good, &c), 0);
	assert_string_equal(c.name, "anna");
	assert_int_equal(r.asked, 3);
	r.is_silent = true; /* then nobody waits for an answer that will not come */
	assert_int_equal(identify(&r, good, &c), 0);
	assert_int_equal(r.asked, 3);
	clock_test_advance(2000);
	assert_int_equal(identify(&r, good, &c), -ERR_UNAVAILABLE);
	clock_test_advance(-301000);
	callers_free(r.callers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_in_particular_is_local),
		cmocka_unit_test(what_is_no_token_is_refused_without_a_question),
		cmocka_unit_test(a_token_is_its_owner),
		cmocka_unit_test(what_was_said_holds_for_less_than_a_second),
		cmocka_unit_test(one_asks_and_the_others_go_on),
		cmocka_unit_test(it_expires_without_being_asked_about),
		cmocka_unit_test(without_a_registry_the_known_go_on_and_strangers_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
