#include "catalog.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "err.h"
#include "mem.h"

#define ENTRY_MAX   (1024u * 1024)
#define EMPTY_INPUT "{\"type\":\"object\",\"additionalProperties\":false}"

struct blob {
	atomic_uint refs;
	size_t len;
	uint8_t data[];
};
struct server {
	char *name;
	bool is_running;
	uint8_t view[CRYPTO_HASH_SIZE];
};
/* What a pause took away; a handful of names, looked at when nothing else was found. */
struct paused {
	char *server_name, *name, *published_name, *alias;
};
struct catalog {
	atomic_uint refs;
	uint8_t epoch[64];
	size_t epoch_len;
	uint64_t state_seq;
	uint32_t rate_limit_rpm;
	bool is_loaded;
	struct server *servers;
	size_t server_count;
	struct paused *paused;
	size_t paused_count;
	struct catalog_tool **tools;    /* sealed: by published name */
	struct catalog_tool **by_alias; /* sealed: by alias */
	size_t tool_count;
	uint8_t view[CRYPTO_HASH_SIZE];
};

enum list_form list_form_of(enum mcp_version v)
{
	if (v >= MCP_2026_07_28)
		return LIST_MODERN;
	return v >= MCP_2025_06_18 ? LIST_LEGACY : LIST_OLD;
}

/* ---- blobs ---- */

static struct blob *blob_new(const void *data, size_t len)
{
	struct blob *b = mem_alloc(sizeof(*b) + len);

	atomic_init(&b->refs, 0);
	b->len = len;
	memcpy(b->data, data, len);
	return b;
}

static struct blob *blob_ref(struct blob *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

static void blob_unref(struct blob *b)
{
	if (b && atomic_fetch_sub(&b->refs, 1) == 1)
		free(b);
}

const void *blob_data(const struct blob *b, size_t *ret_len)
{
	*ret_len = b->len;
	return b->data;
}

/* ---- one tool ---- */

void catalog_tool_free(struct catalog_tool *t)
{
	if (!t)
		return;
	free(t->tool_id);
	free(t->server_id);
	free(t->server_name);
	free(t->name);
	free(t->published_name);
	free(t->alias);
	free(t->permit_id);
	blob_unref(t->spec);
	blob_unref(t->grant);
	if (t->permit)
		msg_free(&t->permit->base);
	for (int i = 0; i < LIST_FORMS; i++)
		free(t->entry[i]);
	param_headers_free(t->headers);
	free(t);
}

/* The message again, owned by us. */
static PB(SignedPermit) * copy_permit(const PB(SignedPermit) * permit)
{
	BOX_CLEANUP(mem_freep) uint8_t *packed = NULL;
	ProtobufCMessage *copy = NULL;
	size_t len = 0;

	packed = msg_pack(&permit->base, &len);
	if (msg_unpack(permit->base.descriptor, packed, len, &copy) < 0)
		return NULL;
	return (PB(SignedPermit) *)copy;
}

static int read_permit(struct catalog_tool *t, const PB(SignedPermit) * permit)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	const PB(Permit) * p;

	if (!permit || msg_unpack(&mcpbox__v1__permit__descriptor, permit->permit.data,
				  permit->permit.len, &m) < 0)
		return -ERR_INVALID;
	p = (const PB(Permit) *)m;
	t->permit = copy_permit(permit);
	t->permit_id = mem_strdup(p->permit_id);
	t->permit_not_after_unix_ms = p->not_after_unix_ms;
	return t->permit ? 0 : -ERR_INVALID;
}

/*
 * Legacy schemas want an object for every property.  Only a schema that has boolean ones is
 * rewritten, all others are listed as they were written.
 */
static void add_legacy_input(struct buf *b, const char *schema, size_t len)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;
	bool has_boolean = false;
	const char *name;
	json_t *property;
	void *next;

	if (json_load(schema, len, &tree, NULL) < 0) {
		json_add_compact(b, schema, len);
		return;
	}
	json_object_foreach_safe(json_object_get(tree, "properties"), next, name, property)
	{
		if (!json_is_boolean(property))
			continue;
		has_boolean = true;
		(void)json_object_set_new(json_object_get(tree, "properties"), name,
					  json_is_true(property) ? json_object()
								 : json_pack("{s:{}}", "not"));
	}
	if (has_boolean) {
		text = json_dump(tree, &len);
		buf_add(b, text, len);
	} else {
		json_add_compact(b, schema, len);
	}
}

/* Is the schema's root {"type":"object"}? */
static bool is_object_schema(const char *schema, size_t len)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const char *type;

	if (json_load(schema, len, &tree, NULL) < 0)
		return false;
	type = json_string_value(json_object_get(tree, "type"));
	return type && strcmp(type, "object") == 0;
}

static void add_output(struct buf *b, const struct catalog_tool *t, enum list_form form,
		       ProtobufCBinaryData schema)
{
	const char *text = (const char *)schema.data;

	if (schema.len == 0 || form == LIST_OLD)
		return;
	if (form == LIST_MODERN || !t->wraps_structured) {
		buf_add_str(b, ",\"outputSchema\":");
		json_add_compact(b, text, schema.len);
		return;
	}
	/* A reference would point elsewhere from inside the wrapper; the schema is optional, so
	 * leave it out. */
	if (memmem(text, schema.len, "\"$ref\"", 6))
		return;
	buf_add_str(b, ",\"outputSchema\":{\"type\":\"object\",\"properties\":{\"result\":");
	json_add_compact(b, text, schema.len);
	buf_add_str(b, "},\"required\":[\"result\"]}");
}

static char *make_entry(const struct catalog_tool *t, enum list_form form, const PB(MapTool) * m)
{
	struct buf b = BUF_INIT(ENTRY_MAX);
	char *text;

	if (m->title.len > 0 && form != LIST_OLD) {
		buf_add_str(&b, ",\"title\":");
		json_add_string(&b, m->title.data, m->title.len);
	}
	buf_add_str(&b, ",\"description\":");
	if (m->description.len > 0)
		json_add_string(&b, m->description.data, m->description.len);
	else
		json_add_string(&b, t->name, strlen(t->name));
	buf_add_str(&b, ",\"inputSchema\":");
	if (m->input_schema_json.len == 0)
		buf_add_str(&b, EMPTY_INPUT);
	else if (form == LIST_MODERN)
		json_add_compact(&b, m->input_schema_json.data, m->input_schema_json.len);
	else
		add_legacy_input(&b, (const char *)m->input_schema_json.data,
				 m->input_schema_json.len);
	add_output(&b, t, form, m->output_schema_json);
	if (m->annotations_json.len > 0) {
		buf_add_str(&b, ",\"annotations\":");
		json_add_compact(&b, m->annotations_json.data, m->annotations_json.len);
	}
	buf_add_char(&b, '}');
	text = b.is_over ? NULL : mem_strndup((const char *)b.data, b.len);
	buf_done(&b);
	return text;
}

static bool is_marked(ProtobufCBinaryData annotations, const char *hint)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;

	if (annotations.len == 0 || json_load(annotations.data, annotations.len, &tree, NULL) < 0)
		return false;
	return json_is_true(json_object_get(tree, hint));
}

static bool is_json_object(ProtobufCBinaryData d)
{
	static const char *const nothing[] = { "" };
	struct json_span none[1];

	return d.len == 0 || json_scan_members(d.data, d.len, nothing, 0, none, NULL) == 0;
}

static bool read_hash(uint8_t into[CRYPTO_HASH_SIZE], ProtobufCBinaryData d)
{
	if (d.len != CRYPTO_HASH_SIZE)
		return false;
	memcpy(into, d.data, CRYPTO_HASH_SIZE);
	return true;
}

struct catalog_tool *catalog_tool_new(const PB(MapTool) * m)
{
	BOX_CLEANUP(catalog_tool_freep) struct catalog_tool *t = mem_alloc(sizeof(*t));

	t->tool_id = mem_strdup(m->tool_id);
	t->server_id = mem_strdup(m->server_id);
	t->server_name = mem_strdup(m->server_name);
	t->name = mem_strdup(m->tool_name);
	t->published_name = mem_strdup(m->published_name);
	t->alias = mem_printf("%s__%s", m->server_name, m->tool_name);
	t->version = m->version;
	t->timeout_ms = m->timeout_ms;
	if (!read_hash(t->spec_hash, m->spec_hash) || !read_hash(t->grant_hash, m->grant_hash) ||
	    read_permit(t, m->permit) < 0 || !is_json_object(m->input_schema_json) ||
	    !is_json_object(m->output_schema_json) || !is_json_object(m->annotations_json))
		return NULL;
	t->has_output_schema = m->output_schema_json.len > 0;
	t->wraps_structured =
		t->has_output_schema && !is_object_schema((const char *)m->output_schema_json.data,
							  m->output_schema_json.len);
	t->may_repeat = is_marked(m->annotations_json, "readOnlyHint") ||
			is_marked(m->annotations_json, "idempotentHint");
	t->headers = param_headers_new((const char *)m->input_schema_json.data,
				       m->input_schema_json.len);
	for (int form = 0; form < LIST_FORMS; form++) {
		t->entry[form] = make_entry(t, (enum list_form)form, m);
		if (!t->entry[form])
			return NULL;
	}
	return TAKE(t);
}

/* ---- the snapshot ---- */

struct catalog *catalog_new(const void *epoch, size_t epoch_len, uint64_t state_seq)
{
	struct catalog *c = mem_alloc(sizeof(*c));

	atomic_init(&c->refs, 1);
	c->state_seq = state_seq;
	c->is_loaded = epoch_len > 0;
	c->epoch_len = epoch_len < sizeof(c->epoch) ? epoch_len : sizeof(c->epoch);
	if (c->epoch_len > 0)
		memcpy(c->epoch, epoch, c->epoch_len);
	return c;
}

struct catalog *catalog_ref(struct catalog *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void catalog_unref(struct catalog *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	for (size_t i = 0; i < c->tool_count; i++)
		catalog_tool_free(c->tools[i]);
	for (size_t i = 0; i < c->server_count; i++)
		free(c->servers[i].name);
	for (size_t i = 0; i < c->paused_count; i++) {
		free(c->paused[i].server_name);
		free(c->paused[i].name);
		free(c->paused[i].published_name);
		free(c->paused[i].alias);
	}
	free(c->paused);
	free(c->tools);
	free(c->by_alias);
	free(c->servers);
	free(c);
}

void catalog_add_server(struct catalog *c, const PB(MapServer) * server)
{
	c->servers = mem_realloc_array(c->servers, c->server_count + 1, sizeof(*c->servers));
	c->servers[c->server_count++] =
		(struct server){ .name = mem_strdup(server->name), .is_running = server->running };
}

void catalog_add_paused(struct catalog *c, const PB(PausedTool) * tool)
{
	c->paused = mem_realloc_array(c->paused, c->paused_count + 1, sizeof(*c->paused));
	c->paused[c->paused_count++] = (struct paused){
		.server_name = mem_strdup(tool->server_name),
		.name = mem_strdup(tool->tool_name),
		.published_name = mem_strdup(tool->published_name),
		.alias = mem_printf("%s__%s", tool->server_name, tool->tool_name),
	};
}

int catalog_add_tool(struct catalog *c, const PB(MapTool) * tool)
{
	struct catalog_tool *t = catalog_tool_new(tool);

	if (!t)
		return -ERR_INVALID;
	c->tools = mem_realloc_array(c->tools, c->tool_count + 1, sizeof(void *));
	c->tools[c->tool_count++] = t;
	return 0;
}

static bool hash_is(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, CRYPTO_HASH_SIZE) == 0;
}

/* Give b to each of the tool's two places that wants this hash. */
static void place_blob(struct catalog_tool *t, const uint8_t *hash, struct blob *b)
{
	if (!t->spec && hash_is(t->spec_hash, hash))
		t->spec = blob_ref(b);
	if (!t->grant && hash_is(t->grant_hash, hash))
		t->grant = blob_ref(b);
}

void catalog_tool_give_blob(struct catalog_tool *t, const void *data, size_t len)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	struct blob *b = blob_ref(blob_new(data, len));

	crypto_hash(data, len, hash);
	place_blob(t, hash, b);
	blob_unref(b);
}

void catalog_give_blob(struct catalog *c, const void *data, size_t len)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	struct blob *b = blob_ref(blob_new(data, len));

	crypto_hash(data, len, hash);
	for (size_t i = 0; i < c->tool_count; i++)
		place_blob(c->tools[i], hash, b);
	blob_unref(b);
}

void catalog_share_blobs(struct catalog *c, const struct catalog *older)
{
	for (size_t i = 0; older && i < older->tool_count; i++) {
		const struct catalog_tool *old = older->tools[i];

		for (size_t k = 0; k < c->tool_count; k++) {
			if (old->spec)
				place_blob(c->tools[k], old->spec_hash, old->spec);
			if (old->grant)
				place_blob(c->tools[k], old->grant_hash, old->grant);
		}
	}
}

static bool is_listed(const uint8_t **hashes, size_t count, const uint8_t *hash)
{
	for (size_t i = 0; i < count; i++) {
		if (hash_is(hashes[i], hash))
			return true;
	}
	return false;
}

size_t catalog_missing(const struct catalog *c, const uint8_t **ret_hashes, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < c->tool_count; i++) {
		const struct catalog_tool *t = c->tools[i];

		if (!t->spec && n < max && !is_listed(ret_hashes, n, t->spec_hash))
			ret_hashes[n++] = t->spec_hash;
		if (!t->grant && n < max && !is_listed(ret_hashes, n, t->grant_hash))
			ret_hashes[n++] = t->grant_hash;
	}
	return n;
}

static int by_published(const void *a, const void *b)
{
	return strcmp((*(struct catalog_tool *const *)a)->published_name,
		      (*(struct catalog_tool *const *)b)->published_name);
}

static int by_alias(const void *a, const void *b)
{
	return strcmp((*(struct catalog_tool *const *)a)->alias,
		      (*(struct catalog_tool *const *)b)->alias);
}

static const char *shown_name(const struct catalog_tool *t, const char *server)
{
	return server ? t->name : t->published_name;
}

static void hash_view(const struct catalog *c, const char *server, uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct buf b = BUF_INIT(SIZE_MAX / 2);

	(void)catalog_list(c, server, LIST_MODERN, NULL, SIZE_MAX, &b);
	crypto_hash(buf_str(&b), b.len, ret);
	buf_done(&b);
}

static const struct server *find_server(const struct catalog *c, const char *server)
{
	for (size_t i = 0; i < c->server_count; i++) {
		if (strcmp(c->servers[i].name, server) == 0)
			return &c->servers[i];
	}
	return NULL;
}

bool catalog_has_server(const struct catalog *c, const char *server)
{
	const struct server *s = find_server(c, server);

	return s && s->is_running;
}

/* Visible and callable needs a running server, whatever the pages held. */
static void drop_stopped(struct catalog *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->tool_count; i++) {
		if (catalog_has_server(c, c->tools[i]->server_name))
			c->tools[kept++] = c->tools[i];
		else
			catalog_tool_free(c->tools[i]);
	}
	c->tool_count = kept;
}

void catalog_seal(struct catalog *c)
{
	drop_stopped(c);
	if (c->tool_count > 0) {
		qsort(c->tools, c->tool_count, sizeof(void *), by_published);
		c->by_alias = mem_dup(c->tools, c->tool_count * sizeof(void *));
		qsort(c->by_alias, c->tool_count, sizeof(*c->by_alias), by_alias);
	}
	hash_view(c, NULL, c->view);
	for (size_t i = 0; i < c->server_count; i++)
		hash_view(c, c->servers[i].name, c->servers[i].view);
}

uint64_t catalog_state_seq(const struct catalog *c)
{
	return c->state_seq;
}

const void *catalog_epoch(const struct catalog *c, size_t *ret_len)
{
	*ret_len = c->epoch_len;
	return c->epoch;
}

bool catalog_has_epoch(const struct catalog *c, const void *epoch, size_t len)
{
	return c->epoch_len == len && memcmp(c->epoch, epoch, len) == 0;
}

void catalog_set_rate_limit(struct catalog *c, uint32_t rpm)
{
	c->rate_limit_rpm = rpm;
}

uint32_t catalog_rate_limit(const struct catalog *c)
{
	return c->rate_limit_rpm;
}

bool catalog_is_loaded(const struct catalog *c)
{
	return c->is_loaded;
}

size_t catalog_tool_count(const struct catalog *c)
{
	return c->tool_count;
}

int64_t catalog_first_expiry(const struct catalog *c)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < c->tool_count; i++) {
		if (c->tools[i]->permit_not_after_unix_ms < first)
			first = c->tools[i]->permit_not_after_unix_ms;
	}
	return first;
}

static const struct catalog_tool *search(struct catalog_tool **sorted, size_t count,
					 struct catalog_tool *key,
					 int (*compare)(const void *, const void *))
{
	struct catalog_tool **found =
		count == 0 ? NULL : bsearch(&key, sorted, count, sizeof(void *), compare);

	return found ? *found : NULL;
}

const struct catalog_tool *catalog_find(const struct catalog *c, const char *server,
					const char *name)
{
	BOX_CLEANUP(mem_freep)
	char *alias = server ? mem_printf("%s__%s", server, name) : mem_strdup(name);
	struct catalog_tool key = { .published_name = alias, .alias = alias };
	const struct catalog_tool *t = NULL;

	if (!server)
		t = search(c->tools, c->tool_count, &key, by_published);
	return t ? t : search(c->by_alias, c->tool_count, &key, by_alias);
}

const char *catalog_paused_server(const struct catalog *c, const char *server, const char *name)
{
	for (size_t i = 0; i < c->paused_count; i++) {
		const struct paused *p = &c->paused[i];

		if (server && strcmp(p->server_name, server) == 0 &&
		    (!name || strcmp(p->name, name) == 0))
			return p->server_name;
		if (!server && name &&
		    (strcmp(p->published_name, name) == 0 || strcmp(p->alias, name) == 0))
			return p->server_name;
	}
	return NULL;
}

const char *catalog_list(const struct catalog *c, const char *server, enum list_form form,
			 const char *after, size_t limit, struct buf *ret)
{
	const char *last = NULL;
	size_t n = 0;

	for (size_t i = 0; i < c->tool_count; i++) {
		const struct catalog_tool *t = c->tools[i];

		if (server && strcmp(t->server_name, server) != 0)
			continue;
		if (after && strcmp(t->published_name, after) <= 0)
			continue;
		if (n == limit)
			return last;
		if (n++ > 0)
			buf_add_char(ret, ',');
		buf_printf(ret, "{\"name\":\"%s\"", shown_name(t, server));
		buf_add_str(ret, t->entry[form]);
		last = t->published_name;
	}
	return NULL;
}

void catalog_view_hash(const struct catalog *c, const char *server, uint8_t ret[CRYPTO_HASH_SIZE])
{
	const struct server *s = server ? find_server(c, server) : NULL;

	if (!server)
		memcpy(ret, c->view, CRYPTO_HASH_SIZE);
	else if (s && s->is_running)
		memcpy(ret, s->view, CRYPTO_HASH_SIZE);
	else
		memset(ret, 0, CRYPTO_HASH_SIZE);
}
