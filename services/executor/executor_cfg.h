/* Settings of the executor. */
#pragma once

#include <stdint.h>
#include "service.h"

struct executor_cfg {
	char *log_level;
	char *keys_file;
	char *registry_addr;
	char *bus_listen;
	uint32_t bus_peers;
	char *bus_tls_cert;
	char *bus_tls_ca;
	char *egress_socket;
	char *worker_path;
	char *runtime_dir;
	char *module_dirs;
	char *sandbox_min;
	char *cgroup_dirs;
	uint32_t capacity;
	uint32_t tool_share, server_share; /* percent of capacity */
	uint32_t tool_idle_ms;
	uint32_t tools_mb;
	uint32_t stale_max_ms;
};
extern const struct service_info executor_info;
