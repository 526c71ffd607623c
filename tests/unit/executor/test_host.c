/* What is said of a missing wall, from trees that look like hosts. */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>
#include "host.h"
#include "mem.h"
#include "wire.h"

struct tree {
	char path[64];
};

static int set_up(void **state)
{
	struct tree *t = mem_alloc(sizeof(*t));

	(void)snprintf(t->path, sizeof(t->path), "/tmp/mcpbox-host-XXXXXX");
	*state = t;
	return mkdtemp(t->path) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct tree *t = *state;
	char *command = mem_printf("rm -rf '%s'", t->path);
	int r = system(command);

	free(command);
	free(t);
	return r;
}

static void put(const struct tree *t, const char *name, const char *text)
{
	char *command = mem_printf("mkdir -p \"$(dirname '%s%s')\"; printf '%s' >'%s%s'", t->path,
				   name, text, t->path, name);

	assert_int_equal(system(command), 0);
	free(command);
}

#define SAYS(t, bits, word) assert_non_null(strstr(host_lacks((t)->path, bits), word))

static void namespaces_have_a_cause(void **state)
{
	static const uint32_t each[] = { LAYER_USERNS, LAYER_PIDNS, LAYER_MOUNTNS, LAYER_NETNS };
	const struct tree *t = *state;

	SAYS(t, LAYER_USERNS, "CONFIG_USER_NS");
	put(t, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0\\n");
	put(t, "/proc/sys/user/max_user_namespaces", "10\\n");
	SAYS(t, LAYER_USERNS, "CONFIG_USER_NS");
	put(t, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\\n");
	SAYS(t, LAYER_USERNS, "kernel.apparmor_restrict_unprivileged_userns=0");
	put(t, "/proc/self/status", "NoNewPrivs:\\t1\\nSeccomp:\\t0\\nSeccomp_filters:\\t0\\n");
	SAYS(t, LAYER_USERNS, "kernel.apparmor_restrict_unprivileged_userns=0");
	put(t, "/proc/self/status", "NoNewPrivs:\\t1\\nSeccomp:\\t2\\nSeccomp_filters:\\t1\\n");
	for (size_t i = 0; i < ARRAY_LEN(each); i++)
		SAYS(t, each[i], "seccomp=deploy/seccomp.json");
	put(t, "/proc/sys/kernel/unprivileged_userns_clone", "0\\n");
	SAYS(t, LAYER_USERNS, "kernel.unprivileged_userns_clone=1");
	put(t, "/proc/sys/user/max_user_namespaces", "0\\n");
	SAYS(t, LAYER_USERNS, "user.max_user_namespaces");
}

static void landlock_may_be_built_but_not_chosen(void **state)
{
	const struct tree *t = *state;

	SAYS(t, LAYER_LANDLOCK, "Linux 5.13");
	put(t, "/sys/kernel/security/lsm", "capability,landlock,yama");
	SAYS(t, LAYER_LANDLOCK, "lsm=landlock,...");
	put(t, "/sys/kernel/security/lsm", "capability,yama");
	SAYS(t, LAYER_LANDLOCK, "boot with landlock added");
}

static void the_others_say_what_they_need(void **state)
{
	const struct tree *t = *state;

	SAYS(t, LAYER_CGROUP, "./mcpbox up as root");
	SAYS(t, LAYER_SECCOMP, "CONFIG_SECCOMP_FILTER");
	SAYS(t, LAYER_NOFS | LAYER_LANDLOCK, "Landlock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(namespaces_have_a_cause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(landlock_may_be_built_but_not_chosen, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_others_say_what_they_need, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
