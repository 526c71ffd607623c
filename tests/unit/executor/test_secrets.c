#include "test.h"
#include "crypto.h"
#include "delivery.h"
#include "json.h"
#include "secrets.h"
#include "test_keys.h"

static const char value[] = "revealed\nto \"tools\"";

struct world {
	struct keys *registry, *executor;
	PB(Grant) grant;
	PB(SecretBinding) shown, hidden, *shown_list[1], *hidden_list[1];
	uint8_t seed[PLACEHOLDER_SEED_LEN], sealed[sizeof(value) + DELIVERY_EXTRA];
};

static void make(struct world *w)
{
	*w = (struct world){ .registry = test_keys(ROLE_REGISTRY, 1),
			     .executor = test_keys(ROLE_EXECUTOR, 1) };
	mcpbox__v1__grant__init(&w->grant);
	mcpbox__v1__secret_binding__init(&w->shown);
	mcpbox__v1__secret_binding__init(&w->hidden);
	w->grant.server_id = (char *)(uintptr_t) "server-1";
	w->shown.key = (char *)(uintptr_t) "SHOWN";
	w->hidden.key = (char *)(uintptr_t) "HIDDEN";
	delivery_seal(w->registry, ROLE_EXECUTOR, "server-1", &w->shown, value, sizeof(value) - 1,
		      w->sealed);
	w->shown.sealed = pb_bytes(w->sealed, sizeof(value) - 1 + DELIVERY_EXTRA);
	w->grant.placeholder_seed = pb_bytes(w->seed, sizeof(w->seed));
	w->shown_list[0] = &w->shown;
	w->hidden_list[0] = &w->hidden;
	w->grant.revealed = w->shown_list;
	w->grant.secrets = w->hidden_list;
	w->grant.n_revealed = w->grant.n_secrets = 1;
}

static void unmake(struct world *w)
{
	keys_free(w->registry);
	keys_free(w->executor);
}

static char *text_of(const struct secrets *s, const char *key)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const char *text;

	assert_int_equal(json_load(s->json->data, s->json->len, &tree, NULL), 0);
	text = json_string_value(json_object_get(tree, key));
	assert_non_null(text);
	return strdup(text);
}

static void a_call_gets_values_and_placeholders(void **state)
{
	char placeholder[PLACEHOLDER_LEN + 1];
	struct secrets s;
	struct world w;
	char *text;

	(void)state;
	make(&w);
	assert_int_equal(secrets_open(w.executor, &w.grant, "call-1", false, &s, NULL), 0);
	text = text_of(&s, "SHOWN");
	assert_string_equal(text, value);
	free(text);
	delivery_placeholder(w.seed, "call-1", "HIDDEN", placeholder);
	text = text_of(&s, "HIDDEN");
	assert_string_equal(text, placeholder);
	free(text);
	assert_non_null(s.mask);
	secrets_done(&s);
	unmake(&w);
}

static void no_process_that_serves_many_calls_is_shown_a_value(void **state)
{
	char placeholder[PLACEHOLDER_LEN + 1];
	struct err err = { 0 };
	struct secrets s;
	struct world w;
	char *text;

	(void)state;
	make(&w);
	assert_int_equal(secrets_open(w.executor, &w.grant, "call-1", true, &s, &err), -ERR_DENIED);
	assert_null(s.json);
	w.grant.n_revealed = 0;
	assert_int_equal(secrets_open(w.executor, &w.grant, "call-1", true, &s, &err), 0);
	delivery_placeholder(w.seed, PLACEHOLDER_ANY_CALL, "HIDDEN", placeholder);
	text = text_of(&s, "HIDDEN");
	assert_string_equal(text, placeholder);
	free(text);
	assert_null(s.mask);
	secrets_done(&s);
	unmake(&w);
}

static void a_value_of_another_server_does_not_open(void **state)
{
	struct err err = { 0 };
	struct secrets s;
	struct world w;

	(void)state;
	make(&w);
	w.grant.server_id = (char *)(uintptr_t) "server-2";
	assert_int_equal(secrets_open(w.executor, &w.grant, "call-1", false, &s, &err),
			 -ERR_DENIED);
	assert_null(s.json);
	assert_null(s.mask);
	unmake(&w);
}

static void by_policy_values_are_shown(void **state)
{
	struct secrets s;
	struct world w;

	(void)state;
	make(&w);
	w.grant.shows_revealed = true;
	assert_int_equal(secrets_open(w.executor, &w.grant, "call-1", false, &s, NULL), 0);
	assert_null(s.mask);
	secrets_done(&s);
	unmake(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_gets_values_and_placeholders),
		cmocka_unit_test(no_process_that_serves_many_calls_is_shown_a_value),
		cmocka_unit_test(a_value_of_another_server_does_not_open),
		cmocka_unit_test(by_policy_values_are_shown),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
