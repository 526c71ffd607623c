#include "test.h"
#include "crypto.h"
#include "delivery.h"
#include "test_keys.h"

static const char value[] = "a value that nobody else may see";

struct world {
	struct keys *registry, *egress, *executor;
	char *hosts[2], *places[2];
	PB(SecretBinding) b;
	uint8_t sealed[sizeof(value) + DELIVERY_EXTRA];
};

static void make(struct world *w)
{
	*w = (struct world){ .registry = test_keys(ROLE_REGISTRY, 1),
			     .egress = test_keys(ROLE_EGRESS, 1),
			     .executor = test_keys(ROLE_EXECUTOR, 1) };
	mcpbox__v1__secret_binding__init(&w->b);
	w->hosts[0] = strdup("a.example");
	w->hosts[1] = strdup("b.example");
	w->places[0] = strdup("header");
	w->places[1] = strdup("body");
	w->b.key = strdup("API_KEY");
	w->b.hosts = w->hosts;
	w->b.n_hosts = 2;
	w->b.places = w->places;
	w->b.n_places = 1;
	delivery_seal(w->registry, ROLE_EGRESS, "server-1", &w->b, value, sizeof(value) - 1,
		      w->sealed);
	w->b.sealed = pb_bytes(w->sealed, sizeof(value) - 1 + DELIVERY_EXTRA);
}

static void unmake(struct world *w)
{
	keys_free(w->registry);
	keys_free(w->egress);
	keys_free(w->executor);
	free(w->b.key);
	for (size_t i = 0; i < 2; i++) {
		free(w->hosts[i]);
		free(w->places[i]);
	}
}

static void opens_for_the_role_that_it_is_for(void **state)
{
	struct world w;
	struct secret *s = NULL;
	struct err err = { 0 };

	(void)state;
	make(&w);
	assert_int_equal(delivery_open(w.egress, "server-1", &w.b, &s, &err), 0);
	assert_string_equal((const char *)s->data, value);
	assert_int_equal(s->len, sizeof(value) - 1);
	secret_free(s);
	assert_null(memmem(w.sealed, sizeof(w.sealed), "nobody", 6));
	unmake(&w);
}

static void refuse(const struct keys *k, const char *server, const PB(SecretBinding) * b)
{
	struct secret *s = NULL;
	struct err err = { 0 };

	assert_int_equal(delivery_open(k, server, b, &s, &err), -ERR_DENIED);
	assert_null(s);
	assert_null(strstr(err.text, "nobody"));
}

static void opens_for_nobody_else_and_bound_to_nothing_else(void **state)
{
	struct world w;
	PB(SecretBinding) b;

	(void)state;
	make(&w);
	refuse(w.executor, "server-1", &w.b);
	refuse(w.registry, "server-1", &w.b); /* who seals does not open */
	refuse(w.egress, "server-2", &w.b);
	b = w.b, b.key = (char[]){ "API_KEZ" }, refuse(w.egress, "server-1", &b);
	b = w.b, b.n_hosts = 1, refuse(w.egress, "server-1", &b);
	b = w.b, b.n_places = 2, refuse(w.egress, "server-1", &b);
	b = w.b, b.key_generation = 2, refuse(w.egress, "server-1", &b);
	for (size_t len = 0; len < w.b.sealed.len; len++)
		b = w.b, b.sealed.len = len, refuse(w.egress, "server-1", &b);
	w.sealed[60] ^= 1;
	refuse(w.egress, "server-1", &w.b);
	unmake(&w);
}

static void a_placeholder_is_of_one_call_and_one_key(void **state)
{
	static const uint8_t seed[PLACEHOLDER_SEED_LEN] = "seed", other[PLACEHOLDER_SEED_LEN] = "x";
	char first[PLACEHOLDER_LEN + 1], next[PLACEHOLDER_LEN + 1];

	(void)state;
	delivery_placeholder(seed, "call-1", "KEY", first);
	assert_int_equal(strlen(first), PLACEHOLDER_LEN);
	assert_int_equal(strncmp(first, PLACEHOLDER_PREFIX, strlen(PLACEHOLDER_PREFIX)), 0);
	delivery_placeholder(seed, "call-1", "KEY", next);
	assert_string_equal(first, next);
	delivery_placeholder(seed, "call-2", "KEY", next);
	assert_string_not_equal(first, next);
	delivery_placeholder(seed, "call-1", "KEZ", next);
	assert_string_not_equal(first, next);
	delivery_placeholder(other, "call-1", "KEY", next);
	assert_string_not_equal(first, next);
	delivery_placeholder(seed, "call-1K", "EY", next);
	assert_string_not_equal(first, next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_for_the_role_that_it_is_for),
		cmocka_unit_test(opens_for_nobody_else_and_bound_to_nothing_else),
		cmocka_unit_test(a_placeholder_is_of_one_call_and_one_key),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
