#include "executor_cfg.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include "cfg.h"
#include "layers.h"
#include "mem.h"

static const struct cfg_row rows[] = {
	CFG_LOG_LEVEL(struct executor_cfg, log_level),
	CFG(struct executor_cfg, "MCPBOX_KEYS_FILE", CFG_STRING, keys_file, NULL, 0, 0,
	    CFG_REQUIRED | CFG_INTERNAL, "key file of the executor role"),
	CFG(struct executor_cfg, "MCPBOX_REGISTRY_ADDR", CFG_STRING, registry_addr,
	    "127.0.0.1:8100", 0, 0, 0, "where the registry listens; a list"),
	CFG(struct executor_cfg, "MCPBOX_BUS_LISTEN", CFG_STRING, bus_listen, "tcp://127.0.0.1:0",
	    0, 0, 0, "where this instance listens; port 0 is announced"),
	CFG(struct executor_cfg, "MCPBOX_BUS_PEERS", CFG_UINT, bus_peers, "64", 4, 1024, 0,
	    "questions to other services at once"),
	BUS_TLS_ROWS(struct executor_cfg),
	CFG(struct executor_cfg, "MCPBOX_EGRESS_SOCKET", CFG_STRING, egress_socket, NULL, 0, 100,
	    CFG_INTERNAL,
	    "socket of the egress-proxy on this machine; unset: tools have no network"),
	CFG(struct executor_cfg, "MCPBOX_WORKER_PATH", CFG_STRING, worker_path, NULL, 0, 0,
	    CFG_REQUIRED | CFG_INTERNAL, "the worker program"),
	CFG(struct executor_cfg, "MCPBOX_RUNTIME_DIR", CFG_STRING, runtime_dir, NULL, 0, 1000,
	    CFG_REQUIRED | CFG_INTERNAL, "directory of the Python runtime"),
	CFG(struct executor_cfg, "MCPBOX_MODULE_DIRS", CFG_STRING, module_dirs, "", 0, 4000, 0,
	    "directories from which approved modules are read, with : between"),
	CFG(struct executor_cfg, "MCPBOX_SANDBOX_MIN", CFG_STRING, sandbox_min, "seccomp,landlock",
	    0, 0, 0,
	    "layers without which an executor refuses to start: seccomp landlock userns pidns "
	    "mountns netns cgroup"),
	CFG(struct executor_cfg, "MCPBOX_CGROUP", CFG_STRING, cgroup_dirs, "", 0, 4000,
	    CFG_INTERNAL,
	    "control groups handed over to this executor, directories with : between (v2: one, v1: "
	    "memory and "
	    "pids); unset: its own, where it may write it"),
	CFG(struct executor_cfg, "MCPBOX_EXECUTOR_CAPACITY", CFG_UINT, capacity, "24", 1, 256, 0,
	    "calls at once; more are refused as busy"),
	CFG(struct executor_cfg, "MCPBOX_EXECUTOR_TOOL_SHARE", CFG_UINT, tool_share, "75", 1, 100,
	    0, "percent of the capacity that one tool may use at once; 100: no cap"),
	CFG(struct executor_cfg, "MCPBOX_EXECUTOR_SERVER_SHARE", CFG_UINT, server_share, "88", 1,
	    100, 0, "percent of the capacity that the tools of one server may use at once"),
	CFG(struct executor_cfg, "MCPBOX_EXECUTOR_TOOL_IDLE", CFG_MS, tool_idle_ms, "300s", 1000,
	    86400000, 0, "how long a tool's process that holds its modules is kept without a call"),
	CFG(struct executor_cfg, "MCPBOX_EXECUTOR_TOOLS_MB", CFG_UINT, tools_mb, "1024", 64,
	    1048576, 0, "memory for such processes in MiB; the least recently used end"),
	CFG(struct executor_cfg, "MCPBOX_STALE_MAX", CFG_MS, stale_max_ms, "300s", 0, 86400000, 0,
	    "how long approved tools run without a registry; 0: stop at once"),
};

/* A directory that is misspelt, or closed to this account, would only show as modules that no tool finds. */
static int judge_module_dir(const char *path, struct err *err)
{
	DIR *dir = path[0] == '/' ? opendir(path) : NULL;

	if (path[0] != '/')
		return err_set(err, ERR_INVALID, "MCPBOX_MODULE_DIRS: '%s' is no absolute path",
			       path);
	if (!dir)
		return err_set(err, ERR_INVALID,
			       "MCPBOX_MODULE_DIRS: '%s': %s (the executor's account must be able "
			       "to read it)",
			       path, strerrordesc_np(errno));
	(void)closedir(dir);
	return 0;
}

static int judge_module_dirs(const char *dirs, struct err *err)
{
	int r = 0;

	while (r == 0 && *dirs) {
		size_t len = strcspn(dirs, ":");
		BOX_CLEANUP(mem_freep) char *path = mem_strndup(dirs, len);

		if (len > 0)
			r = judge_module_dir(path, err);
		dirs += len;
		dirs += *dirs == ':';
	}
	return r;
}

static int judge(const void *settings, struct err *err)
{
	const struct executor_cfg *cfg = settings;
	uint32_t floor;
	int r = layers_parse(cfg->sandbox_min, &floor, err);

	return r == 0 ? judge_module_dirs(cfg->module_dirs, err) : r;
}

const struct service_info executor_info = {
	.name = "executor",
	.rows = rows,
	.row_count = sizeof(rows) / sizeof(rows[0]),
	.judge = judge,
};
