#include "host.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attrs.h"
#include "cleanup.h"
#include "wire.h"

#define FILE_MAX 4096u

/* A host that has `word` on a line of its file lacks the layers for this reason. */
static const struct reason {
	uint32_t bits;
	const char *file; /* NULL: always */
	const char *word;
	bool is_absent; /* the other way round: the word is not there */
	const char *text;
} reasons[] = {
	{ LAYER_NAMESPACES, "/proc/sys/user/max_user_namespaces", "0", false,
	  "the kernel is told to allow no user namespaces: sysctl user.max_user_namespaces=15000" },
	{ LAYER_NAMESPACES, "/proc/sys/kernel/unprivileged_userns_clone", "0", false,
	  "the kernel is told to keep user namespaces from accounts without rights: "
	  "sysctl kernel.unprivileged_userns_clone=1" },
	{ LAYER_NAMESPACES, "/proc/self/status", "Seccomp:\t2", false,
	  "a container's system call filter refuses namespaces: in Docker start it with "
	  "--security-opt seccomp=deploy/seccomp.json, on hosts with AppArmor also with "
	  "--security-opt apparmor=unconfined" },
	{ LAYER_NAMESPACES, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", false,
	  "AppArmor lets namespaces be made but not used: "
	  "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile with 'userns,' for "
	  "mcpbox-worker" },
	{ LAYER_NAMESPACES, NULL, NULL, false,
	  "the kernel refuses user namespaces to this account; it needs CONFIG_USER_NS" },
	{ LAYER_LANDLOCK, "/sys/kernel/security/lsm", "landlock", true,
	  "Landlock is not among the kernel's security modules: boot with landlock added to lsm= "
	  "(Linux 5.13 or newer)" },
	{ LAYER_LANDLOCK, NULL, NULL, false,
	  "it needs Linux 5.13 or newer with Landlock among its security modules "
	  "(lsm=landlock,...)" },
	{ LAYER_CGROUP, NULL, NULL, false,
	  "no cgroup is handed over to the executor: run ./mcpbox up as root, or give a container "
	  "a cgroup that it may write" },
	{ LAYER_SECCOMP, NULL, NULL, false, "it needs a kernel with CONFIG_SECCOMP_FILTER" },
};

/* False when there is no such file. */
static bool read_file(const char *root, const char *name, char text[FILE_MAX])
{
	BOX_CLEANUP(fd_closep) int fd = -1;
	char path[256];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, FILE_MAX - 1);
	text[len > 0 ? len : 0] = '\0';
	return len >= 0;
}

/* Lines are words with commas between (lsm), or one word. */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	while (*text) {
		size_t n = strcspn(text, ",\n");

		if (n == len && memcmp(text, word, len) == 0)
			return true;
		text += n + (text[n] != '\0');
	}
	return false;
}

static bool applies(const struct reason *reason, const char *root)
{
	char text[FILE_MAX];

	if (!reason->file)
		return true;
	if (!read_file(root, reason->file, text))
		return false;
	return has_word(text, reason->word) != reason->is_absent;
}

const char *host_lacks(const char *root, uint32_t bits)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if ((reasons[i].bits & bits) && applies(&reasons[i], root))
			return reasons[i].text;
	return "it is not available on this host";
}
