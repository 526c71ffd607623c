/*
 * One snapshot of what is published: immutable once sealed, shared by counting.  Pure but for the
 * counter.
 *
 * Order: catalog_new -> catalog_add_server/_add_tool (registry's pages) ->
 * catalog_find_blob/_give_blob -> catalog_seal -> lookups and lists from any thread ->
 * catalog_unref. A tool belongs to its catalog; who uses one holds a reference to the catalog.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "crypto.h"
#include "era.h"
#include "msg.h"
#include "param_headers.h"

/* How an entry of tools/list is written: what each revision's schema knows. */
enum list_form {
	LIST_OLD,    /* up to 2025-03-26: no title, no outputSchema */
	LIST_LEGACY, /* 2025-06-18, 2025-11-25: output schemas are objects */
	LIST_MODERN,
	LIST_FORMS
};
enum list_form list_form_of(enum mcp_version v);

/* Immutable bytes named by hash: a spec or a grant; shared by counting, also between catalogs. */
struct blob;

struct catalog_tool {
	char *tool_id, *server_id, *server_name;
	char *name;           /* bare, as on /mcp/<server> */
	char *published_name; /* as on /mcp */
	char *alias;          /* <server>__<tool>, always accepted on /mcp */
	uint32_t version;
	uint32_t timeout_ms;
	uint8_t spec_hash[CRYPTO_HASH_SIZE], grant_hash[CRYPTO_HASH_SIZE];
	struct blob *spec, *grant; /* NULL when not at hand */
	PB(SignedPermit) * permit;
	char *permit_id;
	int64_t permit_not_after_unix_ms;
	char *entry[LIST_FORMS]; /* list entry behind the name: ,"description":...} */
	bool has_output_schema;
	bool wraps_structured;         /* with an output schema: legacy wraps value and schema in
					  {"result":} */
	bool may_repeat;               /* marked read-only or idempotent */
	struct param_headers *headers; /* NULL: none */
};

struct catalog;

struct catalog *catalog_new(const void *epoch, size_t epoch_len, uint64_t state_seq);
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c);
BOX_DEFINE_CLEANUP(struct catalog *, catalog_unref)

void catalog_add_paused(struct catalog *c, const PB(PausedTool) * tool);
void catalog_add_server(struct catalog *c, const PB(MapServer) * server);
/* -ERR_INVALID: the entry is unusable (its permit does not unpack, a schema is no JSON). */
int catalog_add_tool(struct catalog *c, const PB(MapTool) * tool) BOX_MUST_CHECK;
/* A single tool outside the map (test runs); free with catalog_tool_free(). */
struct catalog_tool *catalog_tool_new(const PB(MapTool) * m);
void catalog_tool_free(struct catalog_tool *t);
BOX_DEFINE_CLEANUP(struct catalog_tool *, catalog_tool_free)

/* Take over from an older snapshot (may be NULL) what it has, before sealing; then the hashes still
 * missing. */
void catalog_share_blobs(struct catalog *c, const struct catalog *older);
size_t catalog_missing(const struct catalog *c, const uint8_t **ret_hashes, size_t max);
/* Bytes whose hash some tool needs; others are ignored. */
void catalog_give_blob(struct catalog *c, const void *data, size_t len);
void catalog_tool_give_blob(struct catalog_tool *t, const void *data, size_t len);
const void *blob_data(const struct blob *b, size_t *ret_len);

void catalog_seal(struct catalog *c); /* drops tools of stopped servers, sorts, hashes the lists */

uint64_t catalog_state_seq(const struct catalog *c);
const void *catalog_epoch(const struct catalog *c, size_t *ret_len);
bool catalog_has_epoch(const struct catalog *c, const void *epoch, size_t len);
/* Requests per caller and minute that an administrator has set; 0: none were. */
void catalog_set_rate_limit(struct catalog *c, uint32_t rpm);
uint32_t catalog_rate_limit(const struct catalog *c);
bool catalog_is_loaded(
	const struct catalog *c); /* false: the empty one before the first snapshot */
size_t catalog_tool_count(const struct catalog *c);
int64_t catalog_first_expiry(
	const struct catalog *c); /* earliest not_after of a permit; INT64_MAX: none */

/* Is it known and running? */
bool catalog_has_server(const struct catalog *c, const char *server);
/* server NULL: published name or alias; else that server's bare name. */
const struct catalog_tool *catalog_find(const struct catalog *c, const char *server,
					const char *name);

/* The server whose pause keeps this name (NULL: any of its tools) from being found, borrowed; NULL: that is not why. */
const char *catalog_paused_server(const struct catalog *c, const char *server, const char *name);

/*
 * Append entries "{...},{...}", at most limit, of those behind `after` in order (NULL: from the
 * start). Returns the name to continue behind, borrowed, or NULL when that was all.
 */
const char *catalog_list(const struct catalog *c, const char *server, enum list_form form,
			 const char *after, size_t limit, struct buf *ret);
/* Digest of what a client of this view is shown: it changes exactly when tools/list does. */
void catalog_view_hash(const struct catalog *c, const char *server, uint8_t ret[CRYPTO_HASH_SIZE]);
