/* The map of published tools, as gateways keep it in memory: pages of one state. */
#include <string.h>
#include "nouns.h"
#include "specs.h"
#include "status.h"

enum {
	MAP_PAGE = 200,
	RENEW_AT_ONCE = 50,
	RENEW_ROUNDS = 2000,
	PAUSED_MAX = 5000,
	MAP_BYTES = 4 * 1024 * 1024, /* half a frame: one tool more may be large */
	BLOBS_MAX = 64,
};

/* ---- before: permits ----------------------------------------------------------------------------- */

/* in: where to tell how many there were. */
static int renew_some(struct work *w, const void *in, struct err *err)
{
	size_t *ret_count = *(size_t *const *)in;
	char **ids;
	int r = store_permits_lock(w->tx);

	(void)err;
	if (r == 0)
		r = store_permits_due(w->tx, w->now_unix_ms, RENEW_AT_ONCE, &ids, ret_count);
	for (size_t i = 0; r == 0 && i < *ret_count; i++)
		r = specs_renew(w, ids[i]);
	return r;
}

/* A decision about a module outdates all of them.  Some at a time, so that nobody who changes one of these tools
 * waits for the rest, and what was made stays made if the gateway gives up. */
static int renew_due(struct registry *reg, struct err *err)
{
	size_t count = RENEW_AT_ONCE, *p = &count;
	int r = 0;

	for (int round = 0; r == 0 && count == RENEW_AT_ONCE && round < RENEW_ROUNDS; round++)
		r = work_system(reg, renew_some, &p, err);
	return r;
}

int map_renew_permits(struct work *w, const void *message, struct err *err)
{
	const PB(GetToolMapRequest) *in = message;

	/* Once per snapshot: later pages belong to the state of the first. */
	return in->cursor[0] ? 0 : renew_due(w->reg, err);
}

/* ---- pages --------------------------------------------------------------------------------------- */

static PB(MapTool) * map_tool(struct work *w, const ROW(MapRow) * row)
{
	PB(MapTool) *t = arena_msg(&w->arena, &mcpbox__v1__map_tool__descriptor);

	t->tool_id = row->tool_id;
	t->server_id = row->server_id;
	t->server_name = row->server_name;
	t->tool_name = row->tool_name;
	t->published_name = row->published_name;
	t->version = row->version;
	t->description = row->description;
	t->title = row->title;
	t->input_schema_json = row->input_schema_json;
	t->output_schema_json = row->output_schema_json;
	t->annotations_json = row->annotations_json;
	t->timeout_ms = row->timeout_ms;
	t->spec_hash = row->spec_hash;
	t->grant_hash = row->grant_hash;
	t->permit = arena_msg(&w->arena, &mcpbox__v1__signed_permit__descriptor);
	t->permit->key_id = row->permit_key_id;
	t->permit->permit = row->permit;
	t->permit->signature = row->permit_signature;
	t->owner = row->owner;
	t->groups = row->groups;
	t->n_groups = row->n_groups;
	return t;
}

static void fill_page(struct work *w, ROW(MapRow) *const *rows, size_t count, uint32_t limit,
		      PB(GetToolMapReply) * reply)
{
	size_t bytes = 0;

	reply->tools = arena_pointers(&w->arena, count);
	for (size_t i = 0; i < count && i < limit && bytes < MAP_BYTES; i++) {
		/* Published after its permit was looked at: the next attempt has it. */
		if (rows[i]->permit.len == 0)
			reply->restart = true;
		reply->tools[reply->n_tools++] = map_tool(w, rows[i]);
		bytes += protobuf_c_message_get_packed_size(&reply->tools[i]->base);
	}
	if (reply->n_tools < count)
		reply->next_cursor = rows[reply->n_tools - 1]->tool_id;
}

static int fill_first(struct work *w, PB(GetToolMapReply) * reply)
{
	PB(SecurityPolicy) **policy = arena_pointers(&w->arena, 1);
	int r = store_map_servers(w->tx, &reply->servers, &reply->n_servers);

	if (r == 0)
		r = store_map_paused(w->tx, PAUSED_MAX, &reply->paused, &reply->n_paused);
	if (r == 0)
		r = store_policy_get(w->tx, false, policy);
	reply->policy = policy;
	reply->n_policy = r == 0;
	if (r == 0 && policy[0]->mcp_rate_limit_is_set)
		reply->rate_limit_rpm = policy[0]->mcp_rate_limit_rpm;
	return r;
}

static bool is_same_snapshot(const struct work *w, const PB(GetToolMapRequest) * in,
			     uint64_t state_seq)
{
	return in->cursor[0] == '\0' ||
	       (in->state_seq == state_seq && in->epoch.len == 16 &&
		memcmp(in->epoch.data, status_epoch(w->reg->status), 16) == 0);
}

static void start_again(PB(GetToolMapReply) * reply)
{
	reply->restart = true;
	reply->n_tools = 0;
	reply->n_servers = 0;
	reply->n_paused = 0;
	reply->n_policy = 0;
	reply->rate_limit_rpm = 0;
	reply->next_cursor = (char *)protobuf_c_empty_string;
}

int map_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetToolMapRequest) *in = message;
	PB(GetToolMapReply) reply = MCPBOX__V1__GET_TOOL_MAP_REPLY__INIT;
	uint32_t limit = in->limit && in->limit < MAP_PAGE ? in->limit : MAP_PAGE;
	ROW(MapRow) * *rows;
	ROW(HeadRow) * head;
	size_t count;
	int r = store_head_get(w->tx, false, &head);

	(void)err;
	if (r == 0)
		r = store_map_page(w->tx, in->cursor, limit + 1, &rows, &count);
	if (r == 0 && in->cursor[0] == '\0')
		r = fill_first(w, &reply);
	if (r != 0)
		return r;
	reply.epoch = pb_bytes(status_epoch(w->reg->status), 16);
	reply.state_seq = head->state_seq;
	fill_page(w, rows, count, limit, &reply);
	if (reply.restart || !is_same_snapshot(w, in, head->state_seq))
		start_again(&reply);
	work_answer(w, &reply.base);
	return 0;
}

int map_blobs(struct work *w, const void *message, struct err *err)
{
	const PB(GetBlobsRequest) *in = message;
	PB(GetBlobsReply) reply = MCPBOX__V1__GET_BLOBS_REPLY__INIT;
	size_t bytes = 0;

	if (in->n_hashes > BLOBS_MAX)
		return err_set(err, ERR_TOO_LARGE, "at most %d hashes at once", BLOBS_MAX);
	reply.blobs = arena_pointers(&w->arena, in->n_hashes);
	/* What does not fit is asked for again; what is gone is left out. */
	for (size_t i = 0; i < in->n_hashes && bytes < MAP_BYTES; i++) {
		PB(Blob) * blob;
		int r = store_blob_get(w->tx, work_bytes(in->hashes[i]), &blob);

		if (r == -ERR_NOT_FOUND)
			continue;
		if (r < 0)
			return r;
		reply.blobs[reply.n_blobs++] = blob;
		bytes += blob->data.len;
	}
	work_answer(w, &reply.base);
	return 0;
}
