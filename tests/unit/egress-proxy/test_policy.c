/* What a grant allows: each refusal beside its nearest allowed neighbour. */
#include "test.h"
#include "grant_builder.h"
#include "policy.h"

struct row {
	const char *allowlist, *method, *target;
	const char *reason; /* NULL: allowed */
};

static const struct row rows[] = {
	{ "api.example.com", "GET", "https://api.example.com/", NULL },
	{ "api.example.com", "GET", "http://api.example.com/", NULL },
	{ "api.example.com", "CONNECT", "api.example.com:443", NULL },
	{ "api.example.com", "CONNECT", "api.example.com:80", "port" },
	{ "api.example.com", "GET", "https://api.example.com:8443/", "port" },
	{ "api.example.com:8443", "GET", "https://api.example.com:8443/", NULL },
	{ "api.example.com:8443", "GET", "https://api.example.com/", "port" },
	{ "api.example.com:8443,api.example.com", "GET", "https://api.example.com/", NULL },
	{ "-", "GET", "https://api.example.com/", "not-listed" },
	{ "api.example.com", "GET", "https://xapi.example.com/", "not-listed" },
	{ "api.example.com", "GET", "https://x.api.example.com/", "not-listed" },
	{ "API.EXAMPLE.COM.", "GET", "https://api.example.com/", NULL },
	{ "*.example.com", "GET", "https://a.b.example.com/", NULL },
	{ "*.example.com", "GET", "https://example.com/", "not-listed" },
	{ "*.example.com", "GET", "https://aexample.com/", "not-listed" },
	{ "*.example.com:443", "GET", "https://a.example.com:8443/", "port" },
	{ "*.com", "GET", "https://example.com/", "not-listed" },
	{ "*.co.uk", "GET", "https://example.co.uk/", "not-listed" },
	{ "*.example.co.uk", "GET", "https://a.example.co.uk/", NULL },
	{ "*", "GET", "https://example.com/", "not-listed" },
	{ "a.*.example.com", "GET", "https://a.b.example.com/", "not-listed" },
	{ "93.184.215.14", "GET", "https://93.184.215.14/", NULL },
	{ "93.184.215.0/24", "GET", "https://93.184.215.14/", "not-listed" },
	{ "*.215.14", "GET", "https://93.184.215.14/", "not-listed" },
	{ "[2606:2800::1]", "GET", "https://[2606:2800:0::1]/", NULL },
	{ "localhost", "GET", "https://localhost/", "local-name" },
	{ "postgres", "GET", "http://postgres/", "local-name" },
	{ "intranet+private", "GET", "http://intranet/", NULL },
	{ "printer.local", "GET", "http://printer.local/", "local-name" },
	{ "printer.local+private", "GET", "http://printer.local/", NULL },
	{ "a.internal", "GET", "http://a.internal/", "local-name" },
	{ "metadata.azure.com", "GET", "http://metadata.azure.com/", "local-name" },
	{ "internal.example.com", "GET", "http://internal.example.com/", NULL },
};

static int ask(const char *allowlist, const char *method, const char *text, const char **ret_reason)
{
	struct grant_builder b;
	struct target t = { 0 };
	const struct rule *rule = NULL;
	bool tunnel = strcmp(method, "CONNECT") == 0;
	struct policy *p;
	struct err err = { 0 };
	int r;

	grant_build(&b, allowlist);
	p = policy_new(&b.grant);
	r = tunnel ? target_parse_authority(text, strlen(text), &t, &err)
		   : target_parse_url(text, strlen(text), &t, &err);
	assert_int_equal(r, 0);
	r = policy_check(p, &t, tunnel ? NULL : method, &rule, ret_reason, &err);
	assert_true((r == 0) == (rule != NULL));
	target_done(&t);
	policy_free(p);
	grant_done(&b);
	return r;
}

static void decides_each_row_and_names_the_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *reason = NULL;
		int r = ask(rows[i].allowlist, rows[i].method, rows[i].target, &reason);

		if ((r == 0) != (rows[i].reason == NULL))
			fail_msg("[%s] %s: %d %s", rows[i].allowlist, rows[i].target, r,
				 reason ? reason : "");
		if (rows[i].reason)
			assert_string_equal(reason, rows[i].reason);
	}
}

struct path_row {
	const char *method, *path, *reason;
};
static const struct path_row path_rows[] = {
	{ "GET", "/v1", NULL },
	{ "GET", "/v1/items", NULL },
	{ "GET", "/v1?x=/../y", NULL },
	{ "GET", "/v1/.well-known", NULL },
	{ "GET", "/v1/a..b/...", NULL },
	{ "GET", "/v10", "path" },
	{ "GET", "/", "path" },
	{ "GET", "/v1/../admin", "path" },
	{ "GET", "/v1/%2e%2E/admin", "path" },
	{ "GET", "/v1/.%2e/admin", "path" },
	{ "GET", "/v1/x%2f..%2fadmin", "path" },
	{ "GET", "/v1/x%5c..%5cadmin", "path" },
	{ "GET", "/v1/..", "path" },
	{ "GET", "/v1/..;x/admin", "path" },
	{ "POST", "/v1", "method" },
};

static void narrows_by_method_and_path(void **state)
{
	char *methods[] = { (char[]){ "GET" } };
	char *prefixes[] = { (char[]){ "/v1" } };
	struct grant_builder b;
	struct policy *p;

	(void)state;
	grant_build(&b, "api.example.com");
	b.hosts[0].methods = methods;
	b.hosts[0].n_methods = 1;
	b.hosts[0].path_prefixes = prefixes;
	b.hosts[0].n_path_prefixes = 1;
	p = policy_new(&b.grant);
	for (size_t i = 0; i < ARRAY_LEN(path_rows); i++) {
		const struct path_row *row = &path_rows[i];
		char *url = mem_printf("https://api.example.com%s", row->path);
		const char *reason = NULL;
		const struct rule *rule;
		struct target t;
		int r;

		assert_int_equal(target_parse_url(url, strlen(url), &t, NULL), 0);
		r = policy_check(p, &t, row->method, &rule, &reason, NULL);
		if ((r == 0) != (row->reason == NULL))
			fail_msg("%s %s: %d", row->method, row->path, r);
		if (row->reason)
			assert_string_equal(reason, row->reason);
		target_done(&t);
		free(url);
	}
	policy_free(p);
	grant_done(&b);
}

static void judges_addresses_by_the_rule_that_allowed_the_name(void **state)
{
	struct rule plain = { 0 };
	struct rule private_too = { .allow_private = true };
	struct host host = { .text = "a.example.com" };
	struct address lan = { 4, { 192, 168, 1, 20 } };
	struct address loop = { 4, { 127, 0, 0, 1 } };
	struct address global = { 4, { 93, 184, 215, 14 } };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(policy_judge_address(&plain, &host, &global, &err), 0);
	assert_int_equal(policy_judge_address(&plain, &host, &lan, &err), -ERR_DENIED);
	assert_int_equal(policy_judge_address(&private_too, &host, &lan, &err), 0);
	assert_int_equal(policy_judge_address(&private_too, &host, &loop, &err), -ERR_DENIED);
	assert_null(strstr(err.text, "127."));
}

static void counts_entries_that_grant_nothing(void **state)
{
	struct grant_builder b;
	struct policy *p;

	(void)state;
	grant_build(&b, "*.com,https://x/,0x7f.1,ok.example.com");
	p = policy_new(&b.grant);
	assert_int_equal(policy_rule_count(p), 1);
	assert_int_equal(policy_bad_entries(p), 3);
	policy_free(p);
	grant_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_each_row_and_names_the_reason),
		cmocka_unit_test(narrows_by_method_and_path),
		cmocka_unit_test(judges_addresses_by_the_rule_that_allowed_the_name),
		cmocka_unit_test(counts_entries_that_grant_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
