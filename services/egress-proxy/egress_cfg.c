#include "egress_cfg.h"

#include "dns.h"
#include "pinned.h"

#define ROW(name, kind, field, fallback, min, max, flags, meaning) \
	CFG(struct egress_cfg, name, kind, field, fallback, min, max, flags, meaning)

static const struct cfg_row rows[] = {
	CFG_LOG_LEVEL(struct egress_cfg, log_level),
	ROW("MCPBOX_KEYS_FILE", CFG_STRING, keys_file, NULL, 0, 0, CFG_REQUIRED | CFG_INTERNAL,
	    "this role's key file"),
	ROW("MCPBOX_REGISTRY_ADDR", CFG_STRING, registry_addr, "127.0.0.1:8100", 0, 0, 0,
	    "where the registry listens; a list for several"),
	ROW("MCPBOX_BUS_PEERS", CFG_UINT, bus_peers, "64", 1, 1024, 0, "peers on the bus at once"),
	BUS_TLS_ROWS(struct egress_cfg),
	ROW("MCPBOX_SPOOL_DIR", CFG_STRING, spool_dir, NULL, 0, 0, CFG_REQUIRED | CFG_INTERNAL,
	    "directory of records that have not reached the registry yet"),
	ROW("MCPBOX_SPOOL_MAX", CFG_SIZE, spool_max_bytes, "1g", 65536, 1ull << 40, 0,
	    "size of the records that wait for the registry at which requests are refused"),
	ROW("MCPBOX_AUDIT_SYNC_MS", CFG_MS, audit_sync_ms, "50", 0, 60000, 0,
	    "longest time a record waits for fdatasync; 0 = before each answer"),
	ROW("MCPBOX_STALE_MAX", CFG_MS, stale_max_ms, "300s", 0, 86400000, 0,
	    "how long published tools run without a registry; 0 = stop at once"),
	ROW("MCPBOX_EGRESS_SOCKET", CFG_STRING, socket_path, NULL, 0, 107,
	    CFG_REQUIRED | CFG_INTERNAL, "path of the socket for executors"),
	ROW("MCPBOX_EGRESS_CA_FILE", CFG_STRING, ca_file, NULL, 0, 4096, 0,
	    "extra trust anchors for outbound TLS, read at start"),
	ROW("MCPBOX_EGRESS_PINNED_HOSTS", CFG_STRING, pinned_hosts, NULL, 0, 65536, 0,
	    "name[:port]=address[:port],...: the operator's own resolution"),
	ROW("MCPBOX_EGRESS_DNS", CFG_STRING, dns, NULL, 0, 256, 0,
	    "address[:port] of the resolver to use; unset: the host's own"),
	ROW("MCPBOX_EGRESS_BODY_MEMORY", CFG_SIZE, body_memory_bytes, "512m", 1048576, 1ull << 40,
	    0, "memory for bodies of requests and answers under way, all together"),
	ROW("MCPBOX_EGRESS_UPSTREAM_PROXY", CFG_STRING, upstream_proxy, NULL, 0, 1024, 0,
	    "company proxy for outbound traffic"),
};

/* A variable that is taken and then not obeyed would send traffic where the operator does not
 * expect it. */
static int refuse_unsupported(const struct egress_cfg *cfg, struct err *err)
{
	if (!cfg->upstream_proxy)
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
		       "MCPBOX_EGRESS_UPSTREAM_PROXY: not supported by this version; unset it");
}

static int judge(const void *settings, struct err *err)
{
	const struct egress_cfg *cfg = settings;
	struct pinned pinned = { 0 };
	struct dns_server dns;
	int r = refuse_unsupported(cfg, err);

	if (r == 0)
		r = dns_parse_server(cfg->dns, &dns, err);
	if (r == 0)
		r = pinned_parse(cfg->pinned_hosts, &pinned, err);
	pinned_done(&pinned);
	return r;
}

const struct service_info egress_info = {
	.name = "egress-proxy",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.judge = judge,
};
