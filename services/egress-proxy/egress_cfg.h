/* The settings of the egress-proxy; rows in egress_cfg.c. */
#pragma once

#include <stdint.h>
#include "service.h"

struct egress_cfg {
	char *log_level;
	char *keys_file;
	char *registry_addr;
	char *spool_dir;
	uint64_t spool_max_bytes;
	char *socket_path;
	char *ca_file;
	char *pinned_hosts;
	char *dns;
	char *upstream_proxy;
	uint64_t body_memory_bytes;
	uint32_t bus_peers;
	char *bus_tls_cert;
	char *bus_tls_ca;
	uint32_t audit_sync_ms;
	uint32_t stale_max_ms;
};

extern const struct service_info egress_info;
