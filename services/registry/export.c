/* Servers as a file: format 1.2 of the reference, or 2.0 with versions, decisions and settings. */
#include <string.h>
#include "clock.h"
#include "import_read.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "nouns.h"
#include "servers.h"
#include "parse.h"

static int too_large(struct err *err, const PB(ExportRequest) * in)
{
	const char *hint = in->server_id[0] == '\0' ? "export servers one by one"
			   : strcmp(in->format, "2.0") == 0 && !in->heads_only
				   ? "heads_only leaves older versions out"
				   : "delete tools, or split the server";

	return err_set_field(err, ERR_TOO_LARGE, NULL, hint, "the export is larger than %d MiB",
			     FILE_MAX_BYTES / (1024 * 1024));
}

/* ---- what is in it -------------------------------------------------------------------------------- */

static int load_tool(struct work *w, const char *server_id, bool heads_only, ROW(FileTool) * t)
{
	int r = store_file_versions(w->tx, t->id, heads_only, &t->versions, &t->n_versions);

	if (r == 0)
		r = store_file_decisions(w->tx, t->id, &t->decisions, &t->n_decisions);
	if (r == 0)
		r = store_file_modules(w->tx, t->id, &t->module_requests, &t->n_module_requests);
	if (r == 0)
		r = store_file_hosts(w->tx, server_id, t->id, &t->network_access_requests,
				     &t->n_network_access_requests);
	return r;
}

static int load_server(struct work *w, bool heads_only, ROW(FileServer) * s)
{
	int r = store_file_hosts(w->tx, s->id, NULL, &s->hosts, &s->n_hosts);

	if (r == 0)
		r = store_file_secrets(w->tx, s->id, &s->secrets, &s->n_secrets);
	if (r == 0)
		r = store_file_tools(w->tx, s->id, &s->tools, &s->n_tools);
	for (size_t i = 0; r == 0 && i < s->n_tools; i++)
		r = load_tool(w, s->id, heads_only, s->tools[i]);
	return r;
}

/* What belongs to no server. */
static int load_rest(struct work *w, ROW(FileContent) * c)
{
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(64 * 1024);
	PB(SecurityPolicy) * policy;
	int r = store_file_modules(w->tx, NULL, &c->modules, &c->n_modules);

	if (r == 0)
		r = store_policy_get(w->tx, false, &policy);
	if (r != 0)
		return r;
	msg_to_json(&policy->base, 0, &b);
	c->security_policy_json = pb_bytes(arena_dup(&w->arena, b.data, b.len), b.len);
	return 0;
}

static int load_content(struct work *w, const PB(ExportRequest) * in, bool heads_only,
			ROW(FileContent) * c)
{
	bool is_all = in->server_id[0] == '\0';
	int r = store_file_servers(w->tx, in->server_id, &c->servers, &c->n_servers);

	if (r == 0 && is_all)
		r = load_rest(w, c);
	for (size_t i = 0; r == 0 && i < c->n_servers; i++)
		r = load_server(w, heads_only, c->servers[i]);
	c->exported_at_unix_ms = w->now_unix_ms;
	c->product_version = arena_str(&w->arena, BOX_VERSION);
	return r;
}

/* ---- format 2.0 ----------------------------------------------------------------------------------- */

static void write_own(struct work *w, const ROW(FileContent) * c, struct buf *out)
{
	struct buf content BOX_CLEANUP(buf_done) = BUF_INIT(FILE_MAX_BYTES);
	uint8_t signature[CRYPTO_SIGN_SIZE];
	char signature_hex[2 * CRYPTO_SIGN_SIZE + 1], key_hex[2 * CRYPTO_PUBLIC_SIZE + 1];
	uint32_t id;
	const uint8_t *secret = keys_sign(w->reg->keys, &id);
	ROW(OwnFile) f = MCPBOX__ROWS__OWN_FILE__INIT;
	static char version[] = "2.0";

	msg_to_json(&c->base, 0, &content);
	out->is_over = content.is_over;
	crypto_sign(secret, FILE_SIGN_LABEL, content.data, content.len, signature);
	format_hex(signature, sizeof(signature), signature_hex);
	format_hex(keys_verify(w->reg->keys, id), CRYPTO_PUBLIC_SIZE, key_hex);
	f.version = version;
	f.content_json = pb_bytes(content.data, content.len);
	f.key = key_hex;
	f.signature = signature_hex;
	msg_to_json(&f.base, 0, out);
}

/* ---- format 1.2 ----------------------------------------------------------------------------------- */

static ROW(OldHost) * old_host(struct work *w, const ROW(FileHost) * h)
{
	ROW(OldHost) *old = arena_msg(&w->arena, &mcpbox__rows__old_host__descriptor);

	old->host = h->host;
	old->port = h->port;
	old->port_opt_case = h->port_opt_case ? MCPBOX__ROWS__OLD_HOST__PORT_OPT_PORT : 0;
	old->justification = h->justification;
	old->status = h->status;
	old->requested_by = h->requested_by;
	old->requested_by_opt_case = h->requested_by_opt_case
					     ? MCPBOX__ROWS__OLD_HOST__REQUESTED_BY_OPT_REQUESTED_BY
					     : 0;
	old->reviewed_by = h->reviewed_by;
	old->reviewed_by_opt_case =
		h->reviewed_by_opt_case ? MCPBOX__ROWS__OLD_HOST__REVIEWED_BY_OPT_REVIEWED_BY : 0;
	old->rejection_reason = h->rejection_reason;
	old->rejection_reason_opt_case =
		h->rejection_reason_opt_case
			? MCPBOX__ROWS__OLD_HOST__REJECTION_REASON_OPT_REJECTION_REASON
			: 0;
	return old;
}

static ROW(OldHost) * *old_hosts(struct work *w, ROW(FileHost) *const *hosts, size_t count)
{
	ROW(OldHost) **old = arena_pointers(&w->arena, count);

	for (size_t i = 0; i < count; i++)
		old[i] = old_host(w, hosts[i]);
	return old;
}

static ROW(OldTool) * old_tool(struct work *w, const ROW(FileTool) * t)
{
	const ROW(FileVersion) *head = t->versions[t->n_versions - 1];
	ROW(OldTool) *old = arena_msg(&w->arena, &mcpbox__rows__old_tool__descriptor);

	old->name = head->name;
	old->description = head->description;
	old->description_opt_case = head->description_opt_case
					    ? MCPBOX__ROWS__OLD_TOOL__DESCRIPTION_OPT_DESCRIPTION
					    : 0;
	old->enabled = t->enabled;
	old->enabled_opt_case = MCPBOX__ROWS__OLD_TOOL__ENABLED_OPT_ENABLED;
	old->timeout_ms = head->timeout_ms;
	old->timeout_ms_opt_case =
		head->timeout_ms_opt_case ? MCPBOX__ROWS__OLD_TOOL__TIMEOUT_MS_OPT_TIMEOUT_MS : 0;
	old->python_code = head->python_code;
	old->python_code_opt_case = head->python_code_opt_case
					    ? MCPBOX__ROWS__OLD_TOOL__PYTHON_CODE_OPT_PYTHON_CODE
					    : 0;
	old->input_schema_json = head->input_schema_json;
	old->module_requests = t->module_requests;
	old->n_module_requests = t->n_module_requests;
	old->network_access_requests =
		old_hosts(w, t->network_access_requests, t->n_network_access_requests);
	old->n_network_access_requests = t->n_network_access_requests;
	return old;
}

static int old_server(struct work *w, const ROW(FileServer) * s, ROW(OldServer) * *ret)
{
	ROW(OldServer) *old = arena_msg(&w->arena, &mcpbox__rows__old_server__descriptor);
	int r = store_server_allowed_hosts(w->tx, s->id, &old->allowed_hosts,
					   &old->n_allowed_hosts);

	old->name = s->name;
	old->description = s->description;
	old->description_opt_case =
		s->description_opt_case ? MCPBOX__ROWS__OLD_SERVER__DESCRIPTION_OPT_DESCRIPTION : 0;
	old->default_timeout_ms = s->default_timeout_ms;
	old->default_timeout_ms_opt_case =
		MCPBOX__ROWS__OLD_SERVER__DEFAULT_TIMEOUT_MS_OPT_DEFAULT_TIMEOUT_MS;
	old->admin_network_requests = old_hosts(w, s->hosts, s->n_hosts);
	old->n_admin_network_requests = s->n_hosts;
	old->tools = arena_pointers(&w->arena, s->n_tools);
	old->n_tools = s->n_tools;
	for (size_t i = 0; i < s->n_tools; i++)
		old->tools[i] = old_tool(w, s->tools[i]);
	*ret = old;
	return r;
}

/* Signed is what a reader finds in the file, so it is read back.  0 or -ERR_TOO_LARGE: numbers beyond 64 bits. */
static int sign_old(struct work *w, ROW(OldFile) * f)
{
	struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(FILE_MAX_BYTES);
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	uint8_t signature[CRYPTO_HASH_SIZE];
	char hex[2 * CRYPTO_HASH_SIZE + 1];

	msg_to_json(&f->base, 0, &text);
	if (text.is_over)
		return -ERR_TOO_LARGE;
	if (json_load(text.data, text.len, &tree, NULL) < 0)
		return -ERR_INVALID;
	(void)json_object_del(tree, "exported_at");
	(void)json_object_del(tree, "signature");
	import_old_signature(tree, true, (const char *)w->reg->cfg.encryption_key->data, signature);
	format_hex(signature, sizeof(signature), hex);
	f->signature = arena_str(&w->arena, hex);
	return 0;
}

static int write_old(struct work *w, const ROW(FileContent) * c, struct buf *out, struct err *err)
{
	ROW(OldFile) f = MCPBOX__ROWS__OLD_FILE__INIT;
	char now[32];
	int r = 0;

	clock_format_iso(w->now_unix_ms, now);
	f.version = arena_str(&w->arena, "1.2");
	f.exported_at = now;
	f.admin_module_requests = c->modules;
	f.n_admin_module_requests = c->n_modules;
	f.servers = arena_pointers(&w->arena, c->n_servers);
	f.n_servers = c->n_servers;
	for (size_t i = 0; r == 0 && i < c->n_servers; i++)
		r = old_server(w, c->servers[i], &f.servers[i]);
	if (r == 0)
		r = sign_old(w, &f);
	if (r == -ERR_INVALID)
		return err_set_field(err, ERR_STATE, "format", "format 2.0 can hold it",
				     "a schema holds a number that format 1.2 cannot carry");
	if (r == -ERR_TOO_LARGE)
		out->is_over = true;
	else if (r == 0)
		msg_to_json(&f.base, 0, out);
	return r == -ERR_TOO_LARGE ? 0 : r;
}

/* ---- asking for it -------------------------------------------------------------------------------- */

static int check_request(const PB(ExportRequest) * in, struct err *err)
{
	if (in->format[0] && strcmp(in->format, "1.2") != 0 && strcmp(in->format, "2.0") != 0)
		return err_set_field(err, ERR_INVALID, "format", NULL, "format must be 1.2 or 2.0");
	return 0;
}

static void answer(struct work *w, const char *format, const ROW(FileContent) * c, struct buf *file)
{
	PB(ExportReply) reply = MCPBOX__V1__EXPORT_REPLY__INIT;

	reply.file = pb_bytes(file->data, file->len);
	reply.format = arena_str(&w->arena, format);
	reply.servers = (uint32_t)c->n_servers;
	for (size_t i = 0; i < c->n_servers; i++)
		reply.tools += (uint32_t)c->servers[i]->n_tools;
	work_answer(w, &reply.base);
}

int export_servers(struct work *w, const void *message, struct err *err)
{
	const PB(ExportRequest) *in = message;
	bool is_own = strcmp(in->format, "2.0") == 0;
	bool heads_only = !is_own || in->heads_only;
	ROW(FileContent) c = MCPBOX__ROWS__FILE_CONTENT__INIT;
	struct buf file BOX_CLEANUP(buf_done) = BUF_INIT(FILE_MAX_BYTES);
	PB(Server) * server;
	int64_t size = 0;
	int r = check_request(in, err);

	if (r == 0 && in->server_id[0])
		r = server_load(w, in->server_id, false, &server, err);
	if (r == 0)
		r = store_file_size(w->tx, in->server_id, heads_only, &size);
	if (r == 0 && size > FILE_MAX_BYTES)
		return too_large(err, in);
	if (r == 0)
		r = load_content(w, in, heads_only, &c);
	if (r != 0)
		return r;
	if (is_own)
		write_own(w, &c, &file);
	else
		r = write_old(w, &c, &file, err);
	if (r == 0 && file.is_over)
		r = too_large(err, in);
	if (r == 0)
		answer(w, is_own ? "2.0" : "1.2", &c, &file);
	return r;
}
