#include "gateway_cfg.h"

#include "attrs.h"
#include "origin.h"

#define ROW(name, kind, field, fallback, min, max, flags, meaning) \
	CFG(struct gateway_cfg, name, kind, field, fallback, min, max, flags, meaning)

/* clang-format off */
static const struct cfg_row rows[] = {
	CFG_LOG_LEVEL(struct gateway_cfg, log_level),
	ROW("MCPBOX_LISTEN_HOST",     CFG_STRING, listen_host,    "127.0.0.1",      1, 255,    0, "address that the MCP port listens on"),
	ROW("MCPBOX_GATEWAY_PORT",    CFG_UINT,   port,           "8000",           0, 65535,  0, "port of the MCP endpoint in local mode"),
	ROW("MCPBOX_REGISTRY_ADDR",   CFG_STRING, registry_addr,  "127.0.0.1:8100", 1, 1024,   0, "where the registry listens, comma-separated"),
	ROW("MCPBOX_KEYS_FILE",       CFG_STRING, keys_file,      NULL,             1, 4095,   CFG_REQUIRED | CFG_INTERNAL, "key file of this role"),
	ROW("MCPBOX_BUS_PEERS",       CFG_UINT,   bus_peers,      "64",             4, 512,    0, "most peers on the bus at once"),
	BUS_TLS_ROWS(struct gateway_cfg),
	ROW("MCPBOX_SPOOL_DIR",       CFG_STRING, spool_dir,      NULL,             1, 4095,   CFG_REQUIRED | CFG_INTERNAL, "where call records wait for the registry"),
	ROW("MCPBOX_SPOOL_MAX",       CFG_SIZE,   spool_max_bytes, "1g",            65536, 1ull << 40, 0, "size of the records that wait for the registry at which calls are refused"),
	ROW("MCPBOX_AUDIT_SYNC_MS",   CFG_MS,     audit_sync_ms,  "50",             0, 10000,  0, "longest time a call record waits for fdatasync; 0: before each answer"),
	ROW("MCPBOX_STALE_MAX",       CFG_MS,     stale_max_ms,   "300s",           0, 86400000, 0, "how long published tools run without a registry; 0: stop at once"),
	ROW("MCPBOX_RATE_LIMIT_RPM",  CFG_UINT,   rate_limit_rpm, "0",              0, 1000000, 0, "MCP requests per caller and minute; 0: what the policy mcp_rate_limit_rpm was set to, no limit until then"),
	ROW("MCPBOX_ALLOWED_HOSTS",   CFG_STRING, allowed_hosts,  NULL,             0, 4095,   0, "host names beside the loopback ones under which the MCP port may be addressed, comma-separated"),
	ROW("MCPBOX_CORS_ORIGINS",    CFG_STRING, cors_origins,   NULL,             0, 4095,   0, "origins of browser pages that may use the MCP port, comma-separated"),
	ROW("MCPBOX_GATEWAY_THREADS", CFG_UINT,   threads,        "512",            32, 16384, 0, "connections of MCP clients at once; half of them may be streams"),
	ROW("MCPBOX_GATEWAY_CALLS",   CFG_UINT,   calls,          "128",            1, 4096,   0, "tool calls at once; more are refused"),
};
/* clang-format on */

static int judge(const void *settings, struct err *err)
{
	const struct gateway_cfg *cfg = settings;

	return origin_list_check(cfg->cors_origins, err);
}

const struct service_info gateway_info = {
	.name = "gateway",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.judge = judge,
};
