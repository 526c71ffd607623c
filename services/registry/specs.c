#include "specs.h"

#include <string.h>
#include "checks.h"
#include "deliver.h"
#include "id.h"
#include "keys.h"
#include "module_names.h"

/* Ceilings of outbound requests; a setting of the server once there is a need. */
enum {
	GRANT_REQUEST_BYTES = 10 * 1024 * 1024,
	GRANT_RESPONSE_BYTES = 32 * 1024 * 1024,
	GRANT_REQUEST_MS = 120000,
	GRANT_CONNECTIONS = 16,
};

static int put_blob(struct work *w, const char *kind, const ProtobufCMessage *m, PB(Blob) * ret)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *data = arena_alloc(&w->arena, len + 1);
	uint8_t *hash = arena_alloc(&w->arena, CRYPTO_HASH_SIZE);

	(void)protobuf_c_message_pack(m, data);
	crypto_hash(data, len, hash);
	mcpbox__v1__blob__init(ret);
	ret->hash = pb_bytes(hash, CRYPTO_HASH_SIZE);
	ret->data = pb_bytes(data, len);
	return store_blob_put(w->tx, kind, work_bytes(ret->hash), work_bytes(ret->data));
}

/* ---- spec ---------------------------------------------------------------------------------------- */

static int list_modules(struct work *w, PB(ToolSpec) * spec)
{
	size_t count;
	char **approved;
	int r = store_modules_approved(w->tx, &approved, &count);

	if (r == 0)
		spec->modules = modules_allowed(&w->arena, approved, count, &spec->n_modules);
	return r;
}

/* timeout_max_ms: a ceiling below the tool's own; 0: none */
static int build_spec(struct work *w, const char *tool_id, uint32_t version,
		      uint32_t timeout_max_ms, PB(Blob) * ret)
{
	PB(ToolSpec) spec = MCPBOX__V1__TOOL_SPEC__INIT;
	PB(Limits) limits = MCPBOX__V1__LIMITS__INIT;
	ROW(SpecRow) * row;
	int r = store_spec_row(w->tx, tool_id, version, &row);

	if (r == 0)
		r = list_modules(w, &spec);
	if (r != 0)
		return r;
	limits_read(row->limits, &limits);
	spec.server_id = row->server_id;
	spec.server_name = row->server_name;
	spec.tool_id = row->tool_id;
	spec.tool_name = row->tool_name;
	spec.version = row->version;
	spec.python_code = row->python_code;
	spec.input_schema_json = row->input_schema;
	spec.output_schema_json = row->output_schema;
	spec.timeout_ms = timeout_max_ms && row->timeout_ms > timeout_max_ms ? timeout_max_ms
									     : row->timeout_ms;
	spec.limits = &limits;
	spec.warm_reuse = row->warm_reuse;
	return put_blob(w, "spec", &spec.base, ret);
}

/* ---- grant --------------------------------------------------------------------------------------- */

static PB(HostGrant) * host_grant(struct work *w, const ROW(HostRow) * row)
{
	PB(HostGrant) *g = arena_msg(&w->arena, &mcpbox__v1__host_grant__descriptor);

	g->host = row->host;
	g->port = row->port;
	g->allow_private = row->allow_private;
	g->methods = row->methods;
	g->n_methods = row->n_methods;
	g->path_prefixes = row->path_prefixes;
	g->n_path_prefixes = row->n_path_prefixes;
	g->by_policy = row->by_policy;
	return g;
}

static int build_grant(struct work *w, const char *server_id, const char *server_name,
		       PB(Blob) * ret)
{
	PB(Grant) grant = MCPBOX__V1__GRANT__INIT;
	PB(SecurityPolicy) * policy;
	ROW(HostRow) * *rows;
	int r = store_hosts(w->tx, server_id, &rows, &grant.n_hosts);

	if (r == 0)
		r = store_policy_get(w->tx, false, &policy);
	if (r != 0)
		return r;
	grant.hosts = arena_pointers(&w->arena, grant.n_hosts);
	for (size_t i = 0; i < grant.n_hosts; i++)
		grant.hosts[i] = host_grant(w, rows[i]);
	grant.server_id = arena_str(&w->arena, server_id);
	grant.server_name = arena_str(&w->arena, server_name);
	grant.max_request_bytes = GRANT_REQUEST_BYTES;
	grant.max_response_bytes = GRANT_RESPONSE_BYTES;
	grant.max_request_ms = GRANT_REQUEST_MS;
	grant.max_connections = GRANT_CONNECTIONS;
	grant.policy_revision = (uint64_t)policy->revision;
	grant.ask_allowed = true;
	grant.shows_revealed = strcmp(policy->redact_secrets_in_output, "disabled") == 0;
	r = deliver_secrets(w, &grant);
	if (r == 0)
		r = put_blob(w, "grant", &grant.base, ret);
	return r == 0 ? store_grant_set(w->tx, server_id, work_bytes(ret->hash)) : r;
}

static int grant_of(struct work *w, const char *server_id, const char *server_name, PB(Blob) * ret)
{
	ProtobufCBinaryData hash;
	PB(Blob) * kept;
	int r = store_grant_hash(w->tx, server_id, &hash);

	if (r != 0)
		return r;
	if (hash.len == 0)
		return build_grant(w, server_id, server_name, ret);
	r = store_blob_get(w->tx, work_bytes(hash), &kept);
	if (r == 0)
		*ret = *kept;
	return r == -ERR_NOT_FOUND ? build_grant(w, server_id, server_name, ret) : r;
}

/* ---- permit -------------------------------------------------------------------------------------- */

static const char *const purpose_names[] = {
	[MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE] = "live",
	[MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST] = "test",
	[MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_REVIEW] = "review",
};

/* Who may honour it.  A review permit is no gateway's business: the registry itself sends Execute. */
static const struct {
	PB(Role) roles[3];
	size_t count;
} audiences[] = {
	[MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE] = { { MCPBOX__V1__ROLE__ROLE_EXECUTOR,
							  MCPBOX__V1__ROLE__ROLE_EGRESS,
							  MCPBOX__V1__ROLE__ROLE_GATEWAY },
							3 },
	[MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST] = { { MCPBOX__V1__ROLE__ROLE_EXECUTOR,
							  MCPBOX__V1__ROLE__ROLE_EGRESS,
							  MCPBOX__V1__ROLE__ROLE_GATEWAY },
							3 },
	[MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_REVIEW] = { { MCPBOX__V1__ROLE__ROLE_EXECUTOR,
							    MCPBOX__V1__ROLE__ROLE_EGRESS },
							  2 },
};

static int issue(struct work *w, PB(Permit) * permit, PB(SignedPermit) * ret)
{
	uint8_t *signature = arena_alloc(&w->arena, CRYPTO_SIGN_SIZE);
	ROW(PermitRow) row = MCPBOX__ROWS__PERMIT_ROW__INIT;
	char id[ID_TEXT_SIZE];
	size_t len;
	uint8_t *packed;

	id_new(id);
	permit->permit_id = arena_str(&w->arena, id);
	permit->audience = (PB(Role) *)(uintptr_t)audiences[permit->purpose].roles;
	permit->n_audience = audiences[permit->purpose].count;
	permit->not_after_unix_ms = w->now_unix_ms + PERMIT_LIFE_MS;
	len = protobuf_c_message_get_packed_size(&permit->base);
	packed = arena_alloc(&w->arena, len + 1);
	(void)protobuf_c_message_pack(&permit->base, packed);
	mcpbox__v1__signed_permit__init(ret);
	crypto_sign(keys_sign(w->reg->keys, &ret->key_id), "mcpbox permit", packed, len, signature);
	ret->permit = pb_bytes(packed, len);
	ret->signature = pb_bytes(signature, CRYPTO_SIGN_SIZE);

	row.id = permit->permit_id;
	row.tool_id = permit->tool_id;
	row.server_id = permit->server_id;
	row.version = permit->version;
	row.spec_hash = permit->spec_hash;
	row.grant_hash = permit->grant_hash;
	row.purpose = arena_str(&w->arena, purpose_names[permit->purpose]);
	row.key_id = ret->key_id;
	row.permit = ret->permit;
	row.signature = ret->signature;
	row.not_after_unix_ms = permit->not_after_unix_ms;
	return store_permit_put(w->tx, &row);
}

static int make_permit(struct work *w, const PB(Tool) * tool, uint32_t version,
		       PB(Permit__Purpose) purpose, const PB(Blob) * spec, const PB(Blob) * grant,
		       PB(SignedPermit) * ret)
{
	PB(Permit) permit = MCPBOX__V1__PERMIT__INIT;
	ROW(HeadRow) * head;
	int r = store_head_get(w->tx, false, &head);

	if (r != 0)
		return r;
	permit.server_id = tool->server_id;
	permit.tool_id = tool->id;
	permit.version = version;
	permit.spec_hash = spec->hash;
	permit.grant_hash = grant->hash;
	permit.purpose = purpose;
	permit.state_seq = head->state_seq;
	return issue(w, &permit, ret);
}

int specs_renew(struct work *w, const char *tool_id)
{
	PB(SignedPermit) permit;
	PB(Blob) spec, grant;
	PB(Server) * server;
	PB(Tool) * tool;
	/* The locks, in the order that everyone takes them, keep a change from passing us half-way. */
	int r = store_tool_get(w->tx, tool_id, false, &tool);

	if (r == 0)
		r = store_server_get(w->tx, tool->server_id, true, &server);
	if (r == 0)
		r = store_tool_get(w->tx, tool_id, true, &tool);
	if (r == 0 && !tool->live_version_opt_case)
		return 0;
	if (r == 0)
		r = build_spec(w, tool_id, tool->live_version, 0, &spec);
	if (r == 0)
		r = store_spec_set(w->tx, tool_id, work_bytes(spec.hash));
	if (r == 0)
		r = grant_of(w, server->id, server->name, &grant);
	if (r == 0)
		r = make_permit(w, tool, tool->live_version,
				MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE, &spec, &grant, &permit);
	return r == -ERR_NOT_FOUND ? 0 : r; /* deleted meanwhile */
}

/* ---- test ---------------------------------------------------------------------------------------- */

static PB(MapTool) * map_tool_of(struct work *w, const PB(Tool) * t, const PB(Server) * s,
				 const PB(Blob) * spec, const PB(Blob) * grant,
				 PB(SignedPermit) * permit)
{
	PB(MapTool) *m = arena_msg(&w->arena, &mcpbox__v1__map_tool__descriptor);

	m->tool_id = t->id;
	m->server_id = t->server_id;
	m->server_name = s->name;
	m->tool_name = t->name;
	m->published_name = t->published_name;
	m->version = t->current_version;
	m->description = t->description;
	m->title = t->title;
	m->input_schema_json = t->input_schema_json;
	m->output_schema_json = t->output_schema_json;
	m->annotations_json = t->annotations_json;
	m->timeout_ms = t->timeout_ms_opt_case ? t->timeout_ms : s->default_timeout_ms;
	m->spec_hash = spec->hash;
	m->grant_hash = grant->hash;
	m->permit = permit;
	return m;
}

int specs_prepare_test(struct work *w, const PB(Tool) * tool, PB(Permit__Purpose) purpose,
		       uint32_t timeout_max_ms, PB(PrepareTestReply) * reply)
{
	PB(SignedPermit) *permit = arena_alloc(&w->arena, sizeof(*permit));
	PB(Blob) *blobs = arena_array(&w->arena, 2, sizeof(*blobs));
	PB(Server) * server;
	int r = store_server_get(w->tx, tool->server_id, true, &server);

	if (r == 0)
		r = build_spec(w, tool->id, tool->current_version, timeout_max_ms, &blobs[0]);
	if (r == 0)
		r = grant_of(w, server->id, server->name, &blobs[1]);
	if (r == 0)
		r = make_permit(w, tool, tool->current_version, purpose, &blobs[0], &blobs[1],
				permit);
	if (r != 0)
		return r;
	reply->tool = map_tool_of(w, tool, server, &blobs[0], &blobs[1], permit);
	reply->n_blobs = 2;
	reply->blobs = arena_pointers(&w->arena, 2);
	reply->blobs[0] = &blobs[0];
	reply->blobs[1] = &blobs[1];
	return 0;
}
