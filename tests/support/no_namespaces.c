/*
 * no_namespaces [--no-landlock] PROGRAM ARGUMENTS...: runs it as inside Docker's default profile, which refuses namespaces, mounts
 * and what else needs CAP_SYS_ADMIN (source: profiles/seccomp/default.json of moby);
 * with the option also as on a kernel without Landlock.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct {
	const char *name;
	int error;
} refused[] = {
	{ "unshare", EPERM },         { "setns", EPERM },
	{ "mount", EPERM },           { "umount2", EPERM },
	{ "pivot_root", EPERM },      { "open_tree", EPERM },
	{ "move_mount", EPERM },      { "mount_setattr", EPERM },
	{ "fsopen", EPERM },          { "keyctl", EPERM },
	{ "add_key", EPERM },         { "bpf", EPERM },
	{ "userfaultfd", EPERM },     { "io_uring_setup", EPERM },
	{ "perf_event_open", EPERM }, { "open_by_handle_at", EPERM },
	{ "clone3", ENOSYS },
};

static const char *const landlock[] = { "landlock_create_ruleset", "landlock_add_rule",
					"landlock_restrict_self" };

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < sizeof(refused) / sizeof(refused[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((unsigned)refused[i].error),
				     seccomp_syscall_resolve_name(refused[i].name), 0);
	for (unsigned bit = 0; r == 0 && bit < 32; bit++) {
		unsigned flag = 1u << bit;

		if (flag & (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
			    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP))
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
					     SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
	}
	if (argc > 2 && strcmp(argv[1], "--no-landlock") == 0) {
		for (size_t i = 0; r == 0 && i < sizeof(landlock) / sizeof(landlock[0]); i++)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
					     seccomp_syscall_resolve_name(landlock[i]), 0);
		argv++;
	}
	if (r == 0)
		r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (r != 0 || argc < 2) {
		(void)fprintf(stderr, "no_namespaces: %d\n", r);
		return 2;
	}
	(void)execvp(argv[1], argv + 1);
	return 127;
}
