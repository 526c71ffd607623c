/*
 * The table of cases (shared corpus, egress/cases.tsv) through target, policy and address, with the
 * stand-in resolver of its README.  Cases that need the real wire are counted by what they need.
 *
 * The table is found by MCPBOX_SHARED, else beside the source tree; without it the test is skipped.
 */
#include "test.h"
#include "grant_builder.h"
#include "policy.h"
#include "target.h"

#define LINE_MAX_LEN 16384
#define PARTS_MAX    16

/* ---- the stand-in resolver ---- */

static const struct {
	const char *name; /* "*.suffix": all below */
	const char *addresses[3];
} names[] = {
	{ "nosuch.example.com", { NULL } },
	{ "v6.example.com", { "2606:2800:21f:cb07:6820:80da:af6b:8b2c" } },
	{ "both.example.com", { "93.184.215.14", "10.0.0.5" } },
	{ "private.example.com", { "10.0.0.5" } },
	{ "cname.example.com", { "10.0.0.5" } },
	{ "loop.example.com", { "127.0.0.1" } },
	{ "meta.example.com", { "169.254.169.254" } },
	{ "metadata.google.internal", { "169.254.169.254" } },
	{ "mapped.example.com", { "::ffff:10.0.0.5" } },
	{ "nat64.example.com", { "64:ff9b::a00:5" } },
	{ "sixto4.example.com", { "2002:a00:5::1" } },
	{ "teredo.example.com", { "2001:0:4136:e378:8000:63bf:f5ff:fffa" } },
	{ "printer.lan", { "192.168.1.20" } },
	{ "postgres", { "172.18.0.5" } },
	{ "egress-proxy", { "172.18.0.5" } },
	{ "intranet", { "172.18.0.5" } },
	{ "*.example.com", { "93.184.215.14" } },
	{ "*.example.net", { "93.184.215.14" } },
	{ "*.example.org", { "93.184.215.14" } },
};

static bool name_matches(const char *pattern, const char *name)
{
	size_t n = strlen(name);
	size_t m = strlen(pattern);

	if (pattern[0] != '*')
		return strcmp(pattern, name) == 0;
	return n >= m && strcmp(name + n - (m - 1), pattern + 1) == 0;
}

static size_t look_up(const char *name, const char *override, struct address ret[3])
{
	size_t count = 0;
	size_t len = strlen(name);

	if (override && strncmp(override, name, len) == 0 && override[len] == ':') {
		const char *text = override + len + 1;

		if (address_parse_v4(text, strlen(text), &ret[0]) < 0)
			assert_int_equal(address_parse_v6(text, strlen(text), &ret[0]), 0);
		return 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!name_matches(names[i].name, name))
			continue;
		for (; count < 3 && names[i].addresses[count]; count++) {
			const char *text = names[i].addresses[count];

			if (address_parse_v4(text, strlen(text), &ret[count]) < 0)
				assert_int_equal(address_parse_v6(text, strlen(text), &ret[count]),
						 0);
		}
		break;
	}
	return count;
}

/* ---- one decision ---- */

static bool addresses_pass(const struct target *t, const struct rule *rule, const char *dns)
{
	struct address list[3] = { t->host.address };
	size_t count = t->host.kind == HOST_IS_NAME ? look_up(t->host.text, dns, list) : 1;

	for (size_t i = 0; i < count; i++)
		if (policy_judge_address(rule, &t->host, &list[i], NULL) < 0)
			return false;
	return count > 0;
}

static bool is_allowed(const struct policy *p, const char *method, const char *text,
		       const char *dns)
{
	bool is_tunnel = strcmp(method, "CONNECT") == 0;
	const char *reason;
	const struct rule *rule;
	struct target t;
	bool allowed;

	if ((is_tunnel ? target_parse_authority(text, strlen(text), &t, NULL)
		       : target_parse_url(text, strlen(text), &t, NULL)) < 0)
		return false;
	allowed = (is_tunnel || policy_method(method)) &&
		  policy_check(p, &t, is_tunnel ? NULL : method, &rule, &reason, NULL) == 0 &&
		  addresses_pass(&t, rule, dns);
	target_done(&t);
	return allowed;
}

/* ---- reading the table ---- */

static void add_code_point(char **out, unsigned c)
{
	if (c < 0x80) {
		*(*out)++ = (char)c;
	} else if (c < 0x800) {
		*(*out)++ = (char)(0xc0 | c >> 6);
		*(*out)++ = (char)(0x80 | (c & 0x3f));
	} else {
		*(*out)++ = (char)(0xe0 | c >> 12);
		*(*out)++ = (char)(0x80 | (c >> 6 & 0x3f));
		*(*out)++ = (char)(0x80 | (c & 0x3f));
	}
}

static size_t add_escape(char **out, const char *s)
{
	char hex[5] = { 0 };
	size_t digits = *s == 'x' ? 2 : 4;

	switch (*s) {
	case 'r':
		*(*out)++ = '\r';
		return 1;
	case 'n':
		*(*out)++ = '\n';
		return 1;
	case 't':
		*(*out)++ = '\t';
		return 1;
	case 'x':
	case 'u':
		memcpy(hex, s + 1, digits);
		if (digits == 2)
			*(*out)++ = (char)strtoul(hex, NULL, 16);
		else
			add_code_point(out, (unsigned)strtoul(hex, NULL, 16));
		return 1 + digits;
	default:
		*(*out)++ = *s;
		return 1;
	}
}

static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (*s == '\\')
			s += 1 + add_escape(&out, s + 1);
		else
			*out++ = *s++;
	}
	*out = '\0';
}

struct table_case {
	char *id, *request, *allowlist, *expected;
	char *parts[PARTS_MAX];
	size_t part_count;
};

static void split_parts(struct table_case *c)
{
	char *next = strstr(c->request, " ; ");

	while (next && c->part_count < PARTS_MAX) {
		*next = '\0';
		c->parts[c->part_count] = next + 3;
		next = strstr(c->parts[c->part_count++], " ; ");
	}
	for (size_t i = 0; i < c->part_count; i++)
		unescape(c->parts[i]);
	unescape(c->request);
}

static const char *part(const struct table_case *c, const char *key)
{
	for (size_t i = 0; i < c->part_count; i++)
		if (strncmp(c->parts[i], key, strlen(key)) == 0)
			return c->parts[i] + strlen(key);
	return NULL;
}

/* What a case needs beyond a decision; NULL: nothing. */
static const char *needs_the_wire(const struct table_case *c)
{
	if (strncmp(c->request, "RAW ", 4) == 0)
		return "RAW bytes";
	for (size_t i = 0; i < c->part_count; i++)
		if (strncmp(c->parts[i], "dns=", 4) != 0 &&
		    strncmp(c->parts[i], "redirect=", 9) != 0)
			return c->parts[i];
	return NULL;
}

static bool run_case(struct table_case *c)
{
	char *method = c->request;
	char *target = strchr(method, ' ');
	const char *redirect = part(c, "redirect=");
	const char *dns = part(c, "dns=");
	struct grant_builder b;
	struct policy *p;
	bool allowed;

	assert_non_null(target);
	*target++ = '\0';
	grant_build(&b, c->allowlist);
	p = policy_new(&b.grant);
	allowed = is_allowed(p, method, target, dns);
	if (redirect) {
		assert_true(allowed);
		allowed = is_allowed(p, method, redirect, dns);
	}
	policy_free(p);
	grant_done(&b);
	return allowed;
}

static FILE *open_table(void)
{
	const char *shared = getenv("MCPBOX_SHARED");
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/corpus/egress/cases.tsv",
		       shared ? shared : BOX_SOURCE_DIR "/../shared");
	return fopen(path, "r");
}

static void ends_every_case_of_the_table_as_stated(void **state)
{
	char line[LINE_MAX_LEN];
	FILE *table = open_table();
	unsigned run = 0;
	unsigned wrong = 0;
	unsigned skipped = 0;

	(void)state;
	if (!table) {
		print_message("no corpus/egress/cases.tsv: set MCPBOX_SHARED\n");
		skip();
	}
	assert_non_null(fgets(line, sizeof(line), table)); /* column names */
	while (fgets(line, sizeof(line), table)) {
		char *rest = line;
		struct table_case c = { .id = strsep(&rest, "\t"),
					.request = strsep(&rest, "\t"),
					.allowlist = strsep(&rest, "\t"),
					.expected = strsep(&rest, "\t") };
		const char *need;
		bool allowed;

		assert_non_null(c.expected);
		split_parts(&c);
		need = needs_the_wire(&c);
		if (need) {
			print_message("%s: skipped, needs %s\n", c.id, need);
			skipped++;
			continue;
		}
		run++;
		allowed = run_case(&c);
		if (allowed == (strcmp(c.expected, "allow") == 0))
			continue;
		print_error("%s: expected %s\n", c.id, c.expected);
		wrong++;
	}
	(void)fclose(table);
	print_message("%u cases, %u wrong, %u need the real wire\n", run, wrong, skipped);
	assert_int_equal(wrong, 0);
	assert_true(run > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_every_case_of_the_table_as_stated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
