#include "import_read.h"

#include <stdio.h>
#include <string.h>
#include "buf.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "msg.h"
#include "parse.h"
#include "pyjson.h"

enum { CANON_MAX = 64 * 1024 * 1024 /* escaping makes six bytes of two */ };

/* ---- size ---------------------------------------------------------------------------------------- */

/* Values of the text, told by the signs between them. */
static size_t count_parts(const char *text, size_t len)
{
	bool in_string = false;
	size_t parts = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string)
			parts += text[i] == ',' || text[i] == '{' || text[i] == '[';
	}
	return parts;
}

static int check_size(const char *text, size_t len, struct err *err)
{
	if (len == 0)
		return err_set_field(err, ERR_INVALID, "file", NULL, "the file is empty");
	if (len > FILE_MAX_BYTES)
		return err_set_field(err, ERR_TOO_LARGE, "file", "export servers one by one",
				     "the file is larger than %d MiB",
				     FILE_MAX_BYTES / (1024 * 1024));
	if (!text_is_utf8(text, len))
		return err_set_field(err, ERR_INVALID, "file", NULL, "the file is not UTF-8");
	if (count_parts(text, len) > FILE_MAX_PARTS)
		return err_set_field(err, ERR_TOO_LARGE, "file", "export servers one by one",
				     "the file has more than %d values", FILE_MAX_PARTS);
	return 0;
}

/* ---- reading by descriptor ------------------------------------------------------------------------ */

/* As json_to_msg, into the arena. */
static int read_message(struct arena *a, const ProtobufCMessageDescriptor *type, const char *text,
			size_t len, void *ret, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *packed = NULL;
	size_t packed_len;
	int r = json_to_msg(type, text, len, NULL, &m, err);

	if (r != 0)
		return r;
	packed = msg_pack(m, &packed_len);
	*(void **)ret = arena_unpack(a, type, packed, packed_len);
	if (!*(void **)ret)
		box_bug("a message that was just packed does not unpack");
	return 0;
}

/* ---- format 2.0 ----------------------------------------------------------------------------------- */

static bool own_is_signed(const struct file_keys *keys, const ROW(OwnFile) * f)
{
	uint8_t signature[CRYPTO_SIGN_SIZE];

	if (parse_hex(f->signature, signature, sizeof(signature)) < 0)
		return false;
	for (uint32_t id = 1; id <= keys_generation(keys->keys); id++) {
		const uint8_t *key = keys_verify(keys->keys, id);

		if (key && crypto_verify(key, FILE_SIGN_LABEL, f->content_json.data,
					 f->content_json.len, signature))
			return true;
	}
	return false;
}

static int read_own(struct arena *a, const char *text, size_t len, const struct file_keys *keys,
		    struct import_file *ret, struct err *err)
{
	ROW(OwnFile) * f;
	int r = read_message(a, &mcpbox__rows__own_file__descriptor, text, len, &f, err);

	if (r != 0)
		return r;
	if (f->content_json.len == 0 || f->content_json.data[0] != '{')
		return err_set_field(err, ERR_INVALID, "content", NULL, "the file has no content");
	ret->is_own = true;
	ret->is_verified = own_is_signed(keys, f);
	return read_message(a, &mcpbox__rows__file_content__descriptor,
			    (const char *)f->content_json.data, f->content_json.len, &ret->content,
			    err);
}

/* ---- format 1.2 ----------------------------------------------------------------------------------- */

void import_old_signature(const json_t *signed_members, bool ascii, const char *root_text,
			  uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(CANON_MAX);

	pyjson_add(&b, signed_members, ascii);
	if (b.is_over)
		box_bug("canonical form over %d bytes", CANON_MAX);
	crypto_hmac_sha256(root_text, strlen(root_text), b.data, b.len, ret);
}

static const char *const old_signed[] = { "version", "servers", "admin_module_requests" };

/* The members that the signature is over, as they are in the file. */
static int load_signed(const char *text, size_t len, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *members = json_object();
	struct json_span spans[ARRAY_LEN(old_signed)];
	int r = json_scan_members(text, len, old_signed, ARRAY_LEN(old_signed), spans, err);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(old_signed); i++) {
		json_t *value = NULL;

		if (!spans[i].at)
			continue;
		r = json_load(spans[i].at, spans[i].len, &value, err);
		if (r == 0)
			(void)json_object_set_new(members, old_signed[i], value);
	}
	if (r == 0)
		*ret = TAKE(members);
	return r;
}

/* Python may have written other characters than ASCII as they are. */
static bool old_matches(const json_t *members, const char *root_text, const uint8_t *signature)
{
	for (int ascii = 1; ascii >= 0; ascii--) {
		uint8_t right[CRYPTO_HASH_SIZE];

		import_old_signature(members, ascii == 1, root_text, right);
		if (crypto_equal(right, signature, sizeof(right)))
			return true;
	}
	return false;
}

static int judge_old(const char *text, size_t len, const char *root_text, bool *ret,
		     struct err *err)
{
	static const char *const names[] = { "signature" };
	BOX_CLEANUP(json_decrefp) json_t *members = NULL;
	BOX_CLEANUP(mem_freep) char *given = NULL;
	uint8_t signature[CRYPTO_HASH_SIZE];
	struct json_span span;
	size_t given_len;
	int r = json_scan_members(text, len, names, 1, &span, err);

	*ret = false;
	if (r == 0)
		r = load_signed(text, len, &members, err);
	if (r < 0 || !span.at || span.at[0] != '"')
		return r;
	if (json_span_string(span, &given, &given_len) == 0 &&
	    parse_hex(given, signature, sizeof(signature)) == 0)
		*ret = old_matches(members, root_text, signature);
	return 0;
}

static ROW(FileHost) * host_of(struct arena *a, const ROW(OldHost) * old)
{
	ROW(FileHost) *h = arena_msg(a, &mcpbox__rows__file_host__descriptor);

	h->host = old->host;
	h->port = old->port;
	h->port_opt_case = old->port_opt_case ? MCPBOX__ROWS__FILE_HOST__PORT_OPT_PORT : 0;
	h->justification = old->justification;
	h->status = old->status;
	h->requested_by = old->requested_by;
	h->requested_by_opt_case = old->requested_by_opt_case
					   ? MCPBOX__ROWS__FILE_HOST__REQUESTED_BY_OPT_REQUESTED_BY
					   : 0;
	h->reviewed_by = old->reviewed_by;
	h->reviewed_by_opt_case = old->reviewed_by_opt_case
					  ? MCPBOX__ROWS__FILE_HOST__REVIEWED_BY_OPT_REVIEWED_BY
					  : 0;
	h->rejection_reason = old->rejection_reason;
	h->rejection_reason_opt_case =
		old->rejection_reason_opt_case
			? MCPBOX__ROWS__FILE_HOST__REJECTION_REASON_OPT_REJECTION_REASON
			: 0;
	return h;
}

static ROW(FileHost) * *hosts_of(struct arena *a, ROW(OldHost) *const *old, size_t count)
{
	ROW(FileHost) **hosts = arena_pointers(a, count);

	for (size_t i = 0; i < count; i++)
		hosts[i] = host_of(a, old[i]);
	return hosts;
}

/* In format 1.0 a server's list of hosts is all there is: each becomes an administrator's entry. */
static ROW(FileHost) * *listed_hosts(struct arena *a, char *const *entries, size_t count)
{
	static char approved[] = "approved";
	ROW(FileHost) **hosts = arena_pointers(a, count);

	for (size_t i = 0; i < count; i++) {
		hosts[i] = arena_msg(a, &mcpbox__rows__file_host__descriptor);
		hosts[i]->host = entries[i];
		hosts[i]->status = approved;
	}
	return hosts;
}

static ROW(FileTool) * tool_of(struct arena *a, const ROW(OldTool) * old)
{
	static char pending[] = "pending_review", import[] = "import";
	ROW(FileTool) *t = arena_msg(a, &mcpbox__rows__file_tool__descriptor);
	ROW(FileVersion) *v = arena_msg(a, &mcpbox__rows__file_version__descriptor);

	v->version = 1;
	v->name = old->name;
	v->description = old->description;
	v->description_opt_case = old->description_opt_case
					  ? MCPBOX__ROWS__FILE_VERSION__DESCRIPTION_OPT_DESCRIPTION
					  : 0;
	v->enabled = !old->enabled_opt_case || old->enabled;
	v->timeout_ms = old->timeout_ms;
	v->timeout_ms_opt_case = old->timeout_ms_opt_case
					 ? MCPBOX__ROWS__FILE_VERSION__TIMEOUT_MS_OPT_TIMEOUT_MS
					 : 0;
	v->python_code = old->python_code;
	v->python_code_opt_case = old->python_code_opt_case
					  ? MCPBOX__ROWS__FILE_VERSION__PYTHON_CODE_OPT_PYTHON_CODE
					  : 0;
	v->input_schema_json = old->input_schema_json;
	v->change_source = import;
	t->name = old->name;
	t->enabled = v->enabled;
	t->approval_status = pending;
	t->current_version = 1;
	t->versions = arena_pointers(a, 1);
	t->versions[0] = v;
	t->n_versions = 1;
	t->module_requests = old->module_requests;
	t->n_module_requests = old->n_module_requests;
	t->network_access_requests =
		hosts_of(a, old->network_access_requests, old->n_network_access_requests);
	t->n_network_access_requests = old->n_network_access_requests;
	return t;
}

static ROW(FileServer) * server_of(struct arena *a, const ROW(OldServer) * old, bool is_first)
{
	ROW(FileServer) *s = arena_msg(a, &mcpbox__rows__file_server__descriptor);

	s->name = old->name;
	s->description = old->description;
	s->description_opt_case = old->description_opt_case
					  ? MCPBOX__ROWS__FILE_SERVER__DESCRIPTION_OPT_DESCRIPTION
					  : 0;
	s->default_timeout_ms = old->default_timeout_ms_opt_case ? old->default_timeout_ms : 30000;
	s->hosts =
		is_first ? listed_hosts(a, old->allowed_hosts, old->n_allowed_hosts)
			 : hosts_of(a, old->admin_network_requests, old->n_admin_network_requests);
	s->n_hosts = is_first ? old->n_allowed_hosts : old->n_admin_network_requests;
	s->tools = arena_pointers(a, old->n_tools);
	s->n_tools = old->n_tools;
	for (size_t i = 0; i < old->n_tools; i++)
		s->tools[i] = tool_of(a, old->tools[i]);
	return s;
}

static int read_old(struct arena *a, const char *text, size_t len, const struct file_keys *keys,
		    struct import_file *ret, struct err *err)
{
	ROW(FileContent) *c = arena_msg(a, &mcpbox__rows__file_content__descriptor);
	ROW(OldFile) * f;
	int r = judge_old(text, len, keys->root_text, &ret->is_verified, err);

	if (r == 0)
		r = read_message(a, &mcpbox__rows__old_file__descriptor, text, len, &f, err);
	if (r != 0)
		return r;
	c->modules = f->admin_module_requests;
	c->n_modules = f->n_admin_module_requests;
	c->servers = arena_pointers(a, f->n_servers);
	c->n_servers = f->n_servers;
	for (size_t i = 0; i < f->n_servers; i++)
		c->servers[i] = server_of(a, f->servers[i], strcmp(ret->version, "1.0") == 0);
	ret->content = c;
	return 0;
}

/* ---- any format ----------------------------------------------------------------------------------- */

static const struct {
	const char *version;
	int (*read)(struct arena *a, const char *text, size_t len, const struct file_keys *keys,
		    struct import_file *ret, struct err *err);
} formats[] = {
	{ "1.0", read_old },
	{ "1.1", read_old },
	{ "1.2", read_old },
	{ "2.0", read_own },
};

/* -1: none that is known. */
static int find_format(const char *text, size_t len, int *ret, struct err *err)
{
	static const char *const names[] = { "version", "accept_unverified" };
	BOX_CLEANUP(mem_freep) char *version = NULL;
	struct json_span spans[ARRAY_LEN(names)];
	size_t version_len;
	int r = json_scan_members(text, len, names, ARRAY_LEN(names), spans, err);

	if (r != 0)
		return r;
	if (spans[1].at) /* else a file could accept itself */
		return err_set_field(err, ERR_INVALID, "accept_unverified",
				     "as a parameter of the query: ?accept_unverified=true",
				     "accept_unverified is said beside the file, not in it");
	if (!spans[0].at || spans[0].at[0] != '"' ||
	    json_span_string(spans[0], &version, &version_len) < 0)
		return err_set_field(err, ERR_INVALID, "version", NULL,
				     "this is no export of MCPBox: it has no version");
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (strcmp(version, formats[i].version) == 0) {
			*ret = (int)i;
			return 0;
		}
	return err_set_field(err, ERR_INVALID, "version", "1.0, 1.1, 1.2 and 2.0 can be read",
			     "the file has format '%.20s', which this version does not know",
			     version);
}

int import_read(struct arena *a, const void *data, size_t len, const struct file_keys *keys,
		struct import_file *ret, struct err *err)
{
	struct import_file f = { .is_verified = false };
	int format = 0;
	int r = check_size(data, len, err);

	if (r == 0)
		r = find_format(data, len, &format, err);
	if (r != 0)
		return r;
	crypto_sha256(data, len, f.sha256);
	(void)snprintf(f.version, sizeof(f.version), "%s", formats[format].version);
	r = formats[format].read(a, data, len, keys, &f, err);
	if (r == 0)
		*ret = f;
	return r;
}

void import_digest(const ROW(FileServer) * server, uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(CANON_MAX);

	msg_to_json(&server->base, 0, &b);
	if (b.is_over)
		box_bug("a server of a file over %d bytes", CANON_MAX);
	crypto_hash(b.data, b.len, ret);
}
