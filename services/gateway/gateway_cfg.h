/* Settings of the gateway: one row each in gateway_cfg.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "service.h"

struct gateway_cfg {
	char *log_level;
	char *listen_host;
	uint32_t port;
	char *registry_addr;
	char *keys_file;
	uint32_t bus_peers;
	char *bus_tls_cert;
	char *bus_tls_ca;
	char *spool_dir;
	uint64_t spool_max_bytes;
	uint32_t audit_sync_ms;
	uint32_t stale_max_ms;
	uint32_t rate_limit_rpm;
	char *allowed_hosts;
	char *cors_origins;
	uint32_t threads;
	uint32_t calls;
};
extern const struct service_info gateway_info;
