/* Settings of the admin service. */
#pragma once

#include <stdint.h>
#include "service.h"

struct admin_cfg {
	char *log_level;
	char *keys_file;
	char *registry_addr;
	uint32_t bus_peers;
	char *bus_tls_cert;
	char *bus_tls_ca;
	char *listen_host;
	uint32_t port;
	char *web_dir;
	char *host_names;
};

extern const struct service_info admin_info;
