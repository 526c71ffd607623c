#include "registry_cfg.h"

#include "attrs.h"

#define ROW_OF(...) CFG(struct registry_cfg, __VA_ARGS__)

const struct cfg_row registry_cfg_rows[] = {
	ROW_OF("MCPBOX_LOG_LEVEL", CFG_STRING, log_level, "info", 0, 16, 0,
	       "debug, info, warn or error"),
	ROW_OF("MCPBOX_ENCRYPTION_KEY", CFG_SECRET, encryption_key, NULL, 64, 64,
	       CFG_REQUIRED | CFG_FILE_ALLOWED, "64 hex digits, root of all keys"),
	ROW_OF("MCPBOX_REGISTRY_DB_URL", CFG_SECRET, db_url, NULL, 1, 4096,
	       CFG_REQUIRED | CFG_FILE_ALLOWED, "PostgreSQL address, postgresql://..."),
	ROW_OF("MCPBOX_REGISTRY_ADDR", CFG_STRING, registry_addr, "127.0.0.1:8100", 1, 256, 0,
	       "where the registry listens; news at the next port, control at the one after"),
	ROW_OF("MCPBOX_REGISTRY_WORKERS", CFG_UINT, workers, "8", 1, 64, 0,
	       "questions answered at once, each with a database connection"),
	ROW_OF("MCPBOX_BUS_PEERS", CFG_UINT, bus_peers, "64", 4, 1024, 0,
	       "peers that can be asked at once"),
	BUS_TLS_ROWS(struct registry_cfg),
	ROW_OF("MCPBOX_REGISTRY_DB_WAIT", CFG_MS, db_wait_ms, "30s", 0, 600000, 0,
	       "how long a start waits for the database"),
	ROW_OF("MCPBOX_REGISTRY_DB_STATEMENT", CFG_MS, db_statement_ms, "4s", 100, 60000, 0,
	       "longest database statement"),
	ROW_OF("MCPBOX_REGISTRY_RETENTION", CFG_MS, retention_ms, "60s", 10, 86400000, 0,
	       "how often what is past its time is looked for"),
};
const size_t registry_cfg_row_count = ARRAY_LEN(registry_cfg_rows);
