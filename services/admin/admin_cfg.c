#include "admin_cfg.h"

#define ROW(name, kind, field, fallback, min, max, flags, meaning) \
	CFG(struct admin_cfg, name, kind, field, fallback, min, max, flags, meaning)

static const struct cfg_row rows[] = {
	CFG_LOG_LEVEL(struct admin_cfg, log_level),
	ROW("MCPBOX_KEYS_FILE", CFG_STRING, keys_file, NULL, 0, 0, CFG_REQUIRED | CFG_INTERNAL,
	    "this role's key file"),
	ROW("MCPBOX_REGISTRY_ADDR", CFG_STRING, registry_addr, "127.0.0.1:8100", 0, 0, 0,
	    "where the registry listens; a list for several"),
	ROW("MCPBOX_BUS_PEERS", CFG_UINT, bus_peers, "64", 4, 1024, 0, "peers on the bus at once"),
	BUS_TLS_ROWS(struct admin_cfg),
	ROW("MCPBOX_LISTEN_HOST", CFG_STRING, listen_host, "127.0.0.1", 1, 255, 0,
	    "address that the HTTP port is opened on"),
	ROW("MCPBOX_ADMIN_PORT", CFG_UINT, port, "3000", 0, 65535, 0,
	    "port of the web UI and REST"),
	ROW("MCPBOX_WEB_DIR", CFG_STRING, web_dir, NULL, 0, 4096, CFG_INTERNAL,
	    "directory of the built web UI; unset: one page that says how to decide without it"),
	ROW("MCPBOX_ADMIN_HOST_NAMES", CFG_STRING, host_names, "", 0, 1024, 0,
	    "further names under which browsers reach this port, comma-separated"),
};

const struct service_info admin_info = {
	.name = "admin",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
};
