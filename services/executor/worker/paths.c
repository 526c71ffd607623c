#include "paths.h"
#include "python_version.h"

#include <string.h>
#include <sys/stat.h>

/* Nothing of /proc and /sys/fs, nothing of /etc that names users or hosts.  Rows that a host lacks
 * are passed over. */
static const struct path_row fixed[] = {
	{ PYTHON_STDLIB, PATH_DIR },
	{ PYTHON_DIST_PACKAGES, PATH_DIR },        /* httpx, Debian's python3-* packages */
	{ "/usr/lib/x86_64-linux-gnu", PATH_DIR }, /* dlopen by extension modules */
	{ "/lib/x86_64-linux-gnu", PATH_DIR },
	{ "/lib64", PATH_DIR },
	{ "/etc/alternatives", PATH_DIR }, /* numpy's libblas.so.3 leads through here */
	{ "/etc/ld.so.cache", PATH_FILE },
	{ "/usr/share/zoneinfo", PATH_DIR },
	{ "/etc/localtime", PATH_FILE },
	{ "/etc/ssl/certs/ca-certificates.crt", PATH_FILE },
	{ "/dev/null", PATH_DEVICE },
	{ "/dev/urandom", PATH_FILE },
	{ "/sys/devices/system/cpu/online", PATH_FILE }, /* os.cpu_count() */
};

static void add(struct paths *p, struct path_row row)
{
	struct stat st;

	if (row.path[0] == '/' && p->count < PATHS_MAX && stat(row.path, &st) == 0)
		p->rows[p->count++] = row;
}

void paths_collect(const struct wire_config *config, struct paths *ret)
{
	char *rest = ret->module_dirs, *dir;

	ret->count = 0;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		add(ret, fixed[i]);
	add(ret, (struct path_row){ config->runtime_dir, PATH_DIR });
	memcpy(ret->module_dirs, config->module_dirs, sizeof(ret->module_dirs));
	while ((dir = strsep(&rest, ":")))
		add(ret, (struct path_row){ dir, PATH_DIR });
}
