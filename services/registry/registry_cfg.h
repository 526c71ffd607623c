/* Settings of the registry; the table in registry_cfg.c is their documentation. */
#pragma once

#include "cfg.h"
#include "secret.h"

struct registry_cfg {
	char *log_level;
	struct secret *encryption_key; /* 64 hex digits */
	struct secret *db_url;
	char *registry_addr;
	uint32_t workers;
	uint32_t bus_peers;
	char *bus_tls_cert;
	char *bus_tls_ca;
	uint32_t db_wait_ms;
	uint32_t db_statement_ms;
	uint32_t retention_ms;
};
extern const struct cfg_row registry_cfg_rows[];
extern const size_t registry_cfg_row_count;
