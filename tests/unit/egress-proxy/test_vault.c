#include "test.h"
#include "crypto.h"
#include "test_keys.h"
#include "vault.h"

static const char value[] = "the value of it";

struct world {
	struct keys *registry, *egress;
	PB(Grant) grant;
	PB(SecretBinding) bindings[3], *list[3];
	char *hosts[2], *places[1];
	uint8_t seed[PLACEHOLDER_SEED_LEN], sealed[3][sizeof(value) + DELIVERY_EXTRA];
	struct vault *vault;
};

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* BOUND to hosts, FREE to none, and OTHER, bound to another host. */
static void make(struct world *w)
{
	static const char *const keys[] = { "BOUND", "FREE", "OTHER" };

	*w = (struct world){ .registry = test_keys(ROLE_REGISTRY, 1),
			     .egress = test_keys(ROLE_EGRESS, 1),
			     .hosts = { text("api.example.com"), text("*.example.org:8443") },
			     .places = { text("header") } };
	mcpbox__v1__grant__init(&w->grant);
	w->grant.server_id = text("server-1");
	w->grant.placeholder_seed = pb_bytes(w->seed, sizeof(w->seed));
	for (size_t i = 0; i < 3; i++) {
		PB(SecretBinding) *b = w->list[i] = &w->bindings[i];

		mcpbox__v1__secret_binding__init(b);
		b->key = text(keys[i]);
		b->hosts = i == 2 ? w->hosts + 1 : w->hosts;
		b->n_hosts = i == 0 ? 2 : i == 1 ? 0 : 1;
		b->places = w->places;
		b->n_places = 1;
		delivery_seal(w->registry, ROLE_EGRESS, "server-1", b, value, sizeof(value) - 1,
			      w->sealed[i]);
		b->sealed = pb_bytes(w->sealed[i], sizeof(value) - 1 + DELIVERY_EXTRA);
	}
	w->grant.secrets = w->list;
	w->grant.n_secrets = 3;
	w->vault = vault_new(&w->grant);
}

static void unmake(struct world *w)
{
	vault_free(w->vault);
	keys_free(w->registry);
	keys_free(w->egress);
}

struct row {
	const char *url;
	uint16_t rule_port;
	bool by_policy, is_pinned;
	bool bound[3];
};

static void try_row(struct world *w, const struct row *row)
{
	struct rule rule = { .takes_secrets = !row->by_policy, .port = row->rule_port };
	struct target target;
	const struct vault_target to = { &target, &rule, row->is_pinned };
	struct inject_secret *list = NULL;
	const struct mask *mask = NULL;
	bool any = row->bound[0] || row->bound[1] || row->bound[2];

	assert_int_equal(target_parse_url(row->url, strlen(row->url), &target, NULL), 0);
	assert_int_equal(vault_list(w->vault, w->egress, "call-1", &to, &list, &mask, NULL), 0);
	for (size_t i = 0; i < 3; i++) {
		if (list[i].is_bound != row->bound[i])
			fail_msg("%s: secret %zu", row->url, i);
		assert_int_equal(list[i].value != NULL, row->bound[i]);
		assert_int_equal(list[i].places, PLACE_HEADER);
	}
	assert_int_equal(mask != NULL, any);
	free(list);
	target_done(&target);
	vault_close(w->vault);
}

static void a_value_is_for_its_hosts_over_what_may_carry_it(void **state)
{
	static const struct row rows[] = {
		{ "https://api.example.com/", 0, false, false, { true, true, false } },
		{ "https://api.example.com:8443/", 8443, false, false, { false, true, false } },
		{ "https://a.example.org:8443/", 8443, false, false, { true, true, true } },
		{ "https://a.b.example.org:8443/", 8443, false, false, { true, true, true } },
		{ "https://example.org:8443/", 8443, false, false, { false, true, false } },
		{ "https://api.example.com.evil.example/",
		  0,
		  false,
		  false,
		  { false, true, false } },
		{ "https://evil.example/", 0, true, false, { false, false, false } },
		{ "https://api.example.com/", 0, true, false, { true, false, false } },
		/* in the clear */
		{ "http://api.example.com/", 0, false, false, { false, false, false } },
		{ "http://api.example.com/", 0, false, true, { true, true, false } },
		{ "http://a.example.org:8443/", 8443, false, false, { true, true, true } },
		{ "http://api.example.com/", 80, false, false, { false, true, false } },
		{ "http://api.example.com:443/", 443, false, false, { false, false, false } },
	};
	struct world w;

	(void)state;
	make(&w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		try_row(&w, &rows[i]);
	unmake(&w);
}

static void a_binding_that_was_altered_opens_nothing(void **state)
{
	struct rule rule = { .takes_secrets = true };
	struct target target;
	const struct vault_target to = { &target, &rule, false };
	struct inject_secret *list = NULL;
	const struct mask *mask = NULL;
	struct err err = { 0 };
	struct world w;

	(void)state;
	make(&w);
	w.hosts[0] = text("evil.example");
	vault_free(w.vault);
	w.vault = vault_new(&w.grant);
	assert_int_equal(target_parse_url("https://evil.example/", 21, &target, NULL), 0);
	assert_int_equal(vault_list(w.vault, w.egress, "call-1", &to, &list, &mask, &err),
			 -ERR_DENIED);
	assert_null(list);
	assert_null(strstr(err.text, value));
	target_done(&target);
	unmake(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_for_its_hosts_over_what_may_carry_it),
		cmocka_unit_test(a_binding_that_was_altered_opens_nothing),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
