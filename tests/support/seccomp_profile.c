/*
 * seccomp_profile FILE PROGRAM ARGUMENTS...: runs it under a Docker seccomp profile, as Docker would for a process without
 * capabilities.  Knows what deploy/seccomp.json uses: names, action, errnoRet, args; not includes and excludes.
 */
#include <errno.h>
#include <jansson.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum scmp_compare op;
} comparisons[] = {
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
};

static uint32_t action_of(const json_t *rule, const char *key, const char *errno_key)
{
	const char *text = json_string_value(json_object_get(rule, key));

	if (text && strcmp(text, "SCMP_ACT_ALLOW") == 0)
		return SCMP_ACT_ALLOW;
	return SCMP_ACT_ERRNO((unsigned)json_integer_value(json_object_get(rule, errno_key)));
}

static int add_call(scmp_filter_ctx ctx, const json_t *rule, const char *name)
{
	const json_t *arg = json_array_get(json_object_get(rule, "args"), 0);
	const char *op = json_string_value(json_object_get(arg, "op"));
	uint32_t action = action_of(rule, "action", "errnoRet");
	int call = seccomp_syscall_resolve_name(name);
	struct scmp_arg_cmp cmp = {
		.arg = (unsigned)json_integer_value(json_object_get(arg, "index")),
		.datum_a = (scmp_datum_t)json_integer_value(json_object_get(arg, "value")),
	};

	if (call == __NR_SCMP_ERROR) /* newer than this library, which Docker passes over as well */
		return 0;
	if (!arg)
		return seccomp_rule_add(ctx, action, call, 0);
	for (size_t i = 0; op && i < sizeof(comparisons) / sizeof(comparisons[0]); i++) {
		if (strcmp(op, comparisons[i].name) != 0)
			continue;
		cmp.op = comparisons[i].op;
		return seccomp_rule_add_array(ctx, action, call, 1, &cmp);
	}
	return -EINVAL;
}

static int add_rules(scmp_filter_ctx ctx, const json_t *profile)
{
	const json_t *rule, *name;
	size_t i, k;
	int r = 0;

	json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
	{
		json_array_foreach(json_object_get(rule, "names"), k, name)
		{
			if (r == 0)
				r = add_call(ctx, rule, json_string_value(name));
		}
	}
	return r;
}

int main(int argc, char **argv)
{
	json_error_t where;
	json_t *profile = argc > 2 ? json_load_file(argv[1], 0, &where) : NULL;
	scmp_filter_ctx ctx;
	int r;

	if (!profile)
		return 2;
	ctx = seccomp_init(action_of(profile, "defaultAction", "defaultErrnoRet"));
	r = ctx ? add_rules(ctx, profile) : -ENOMEM;
	if (r == 0)
		r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (r != 0) {
		(void)fprintf(stderr, "seccomp_profile: %d\n", r);
		return 2;
	}
	(void)execvp(argv[2], argv + 2);
	return 127;
}
