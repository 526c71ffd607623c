/*
 * What the nouns need from storage.  Implemented by store_pg*.c, the only users of libpq and the only
 * holders of SQL; tests may implement it otherwise.
 *
 * A transaction is one struct store_tx, used by one thread, with an arena that owns every row returned.
 * Messages come back filled by column name; strings are never NULL, absent bytes are empty.
 *
 * Codes: -ERR_NOT_FOUND (no such row), -ERR_EXISTS (a unique rule refused), -ERR_BUSY (lost a race with
 * another transaction or no connection was free: begin again), -ERR_UNAVAILABLE (storage does not answer),
 * -ERR_UNKNOWN_OUTCOME (commit only), -ERR_INTERNAL (a bug of ours; logged).  After a failure other than
 * NOT_FOUND the transaction is broken: every further call returns the same code.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "activity.h"
#include "arena.h"
#include "attrs.h"
#include "crypto.h"
#include "dashboard.h"
#include "err.h"
#include "files.pb-c.h"
#include "msg.h"
#include "rows.pb-c.h"

#define ROW(name) Mcpbox__Rows__##name

struct store;
struct store_tx;

enum store_mode {
	STORE_WRITE,
	STORE_READ,     /* each statement sees what is committed when it begins */
	STORE_SNAPSHOT, /* all statements see one state */
};

/* connections: the most at once; callers beyond wait 5 s.  Opens none yet. */
int store_new(const char *url, size_t connections, uint32_t statement_ms, struct store **ret,
	      struct err *err) BOX_MUST_CHECK;
void store_free(struct store *s);
/* Bring the schema up to this program's; refuses one from the future and one whose files were edited. */
int store_migrate(struct store *s, struct err *err) BOX_MUST_CHECK;

int store_begin(struct store *s, enum store_mode mode, struct arena *arena,
		struct store_tx **ret) BOX_MUST_CHECK;
int store_commit(struct store_tx *tx) BOX_MUST_CHECK;
void store_end(struct store_tx *tx); /* always last; rolls back what was not committed */
struct arena *store_arena(struct store_tx *tx);

struct page {
	uint32_t number, size; /* from 1 */
};
/* Bytes that are borrowed. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

/* ---- the instance and repeated requests ---------------------------------------------------------- */

/* Stores the check at the first start; *ret_same says whether the stored one equals it. */
int store_key_check(struct store_tx *tx, struct bytes check, bool *ret_same) BOX_MUST_CHECK;

/* The stored request or -ERR_NOT_FOUND. */
int store_request_get(struct store_tx *tx, uint32_t role, struct bytes id,
		      ROW(RequestRow) * *ret) BOX_MUST_CHECK;
/* Makes the row; waits for a transaction that holds the same id; *ret_fresh false: it was there before. */
int store_request_claim(struct store_tx *tx, uint32_t role, struct bytes id, uint32_t msg,
			struct bytes body_hash, bool *ret_fresh) BOX_MUST_CHECK;
int store_request_answer(struct store_tx *tx, uint32_t role, struct bytes id,
			 struct bytes reply) BOX_MUST_CHECK;
/* Drop what no one can ask for any more: requests after 24 h, login failures, sessions, permits. */
int store_expire(struct store_tx *tx) BOX_MUST_CHECK;

/* ---- servers -------------------------------------------------------------------------------------- */

int store_server_create(struct store_tx *tx, const PB(Server) * server) BOX_MUST_CHECK;
/* Without tools, hosts and counts.  lock: hold the row until the end of the transaction. */
int store_server_get(struct store_tx *tx, const char *id, bool lock,
		     PB(Server) * *ret) BOX_MUST_CHECK;
int store_server_list(struct store_tx *tx, struct page page, PB(ServerBrief) * **ret,
		      size_t *ret_count, int64_t *ret_total) BOX_MUST_CHECK;
int store_server_tools(struct store_tx *tx, const char *id, PB(ToolBrief) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;
int store_server_pending(struct store_tx *tx, const char *id,
			 PB(PendingCounts) * *ret) BOX_MUST_CHECK;
int store_server_allowed_hosts(struct store_tx *tx, const char *id, char ***ret,
			       size_t *ret_count) BOX_MUST_CHECK;
/* Name, description, default timeout, status, warm reuse. */
int store_server_save(struct store_tx *tx, const PB(Server) * server) BOX_MUST_CHECK;
int store_server_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
/* Tools that are enabled and have a live version. */
int store_server_published(struct store_tx *tx, const char *id, int64_t *ret) BOX_MUST_CHECK;
/* Has it a secret whose value its tools see? */
int store_server_reveals(struct store_tx *tx, const char *id, bool *ret) BOX_MUST_CHECK;
/* Its grant (and then its specs) will be built anew before the next permit. */
int store_server_forget_grant(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
int store_grants_forget(struct store_tx *tx) BOX_MUST_CHECK; /* of all servers */
int store_server_forget_specs(struct store_tx *tx, const char *id) BOX_MUST_CHECK;

/* Until the end of the transaction nobody pauses or resumes (exclusive) or relies on its not being so. */
int store_pause_lock(struct store_tx *tx, bool exclusive) BOX_MUST_CHECK;
/* server_id NULL: everything. */
int store_pause_set(struct store_tx *tx, const char *server_id, bool paused) BOX_MUST_CHECK;
int store_pause_get(struct store_tx *tx, bool *ret_all, char ***ret_servers,
		    size_t *ret_count) BOX_MUST_CHECK;

/* ---- tools and versions ---------------------------------------------------------------------------- */

/* Serialises the choice of names until the end of the transaction. */
int store_names_lock(struct store_tx *tx) BOX_MUST_CHECK;
int store_published_taken(struct store_tx *tx, const char *published_name,
			  bool *ret) BOX_MUST_CHECK;
int store_tool_create(struct store_tx *tx, const PB(Tool) * tool) BOX_MUST_CHECK;
/* Joined with the content of its head. */
int store_tool_get(struct store_tx *tx, const char *id, bool lock, PB(Tool) * *ret) BOX_MUST_CHECK;
/* Without the requests that belong to it. */
int store_tool_status(struct store_tx *tx, const char *id,
		      PB(GetToolStatusReply) * *ret) BOX_MUST_CHECK;
int store_tool_id(struct store_tx *tx, const char *server_name, const char *tool_name,
		  char **ret) BOX_MUST_CHECK;
int store_tool_list(struct store_tx *tx, const char *server_id, struct page page,
		    PB(ToolItem) * **ret, size_t *ret_count, int64_t *ret_total) BOX_MUST_CHECK;
/* The columns of `tools` that move: name, enabled, versions, approval.  The live spec is forgotten when
 * live_version moved. */
int store_tool_save(struct store_tx *tx, const PB(Tool) * tool) BOX_MUST_CHECK;
int store_tool_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;

int store_version_create(struct store_tx *tx, const ROW(VersionRow) * version) BOX_MUST_CHECK;
int store_version_get(struct store_tx *tx, const char *tool_id, uint32_t version,
		      ROW(VersionRow) * *ret) BOX_MUST_CHECK;
int store_version_show(struct store_tx *tx, const char *tool_id, uint32_t version,
		       PB(ToolVersion) * *ret) BOX_MUST_CHECK;
int store_version_list(struct store_tx *tx, const char *tool_id, struct page page,
		       PB(VersionBrief) * **ret, size_t *ret_count,
		       int64_t *ret_total) BOX_MUST_CHECK;

/* ---- approvals -------------------------------------------------------------------------------------- */

struct decision {
	const char *tool_id;
	uint32_t version;
	struct bytes content_hash;
	const char *decision; /* approve reject revoke */
	const char *reviewer;
	struct bytes reason;
};
int store_decision_add(struct store_tx *tx, const struct decision *d) BOX_MUST_CHECK;
/* Different people whose approval of that content is in force. */
int store_decision_approvers(struct store_tx *tx, const char *tool_id, uint32_t version,
			     int64_t *ret) BOX_MUST_CHECK;
int store_decisions_undo(struct store_tx *tx, const char *tool_id) BOX_MUST_CHECK;

struct filter {
	struct page page;
	struct bytes search;   /* empty: all */
	const char *status;    /* "all" or a status */
	const char *server_id; /* of hosts and modules; NULL: of all servers */
};
int store_approval_stats(struct store_tx *tx, PB(GetApprovalStatsReply) * *ret) BOX_MUST_CHECK;
int store_approval_list(struct store_tx *tx, const struct filter *f, PB(ToolApproval) * **ret,
			size_t *ret_count, int64_t *ret_total) BOX_MUST_CHECK;
/* At most 50 of each; totals are complete. */
int store_pending_list(struct store_tx *tx, PB(ListPendingRequestsReply) * ret) BOX_MUST_CHECK;

int store_network_create(struct store_tx *tx, const PB(NetworkRequest) * n) BOX_MUST_CHECK;
int store_network_get(struct store_tx *tx, const char *id, bool lock,
		      PB(NetworkRequest) * *ret) BOX_MUST_CHECK;
/* All rows of that server for that host and port (0: none), whatever their status. */
int store_network_same(struct store_tx *tx, const char *server_id, const char *host, uint32_t port,
		       PB(NetworkRequest) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_network_list(struct store_tx *tx, const struct filter *f, PB(NetworkRequest) * **ret,
		       size_t *ret_count, int64_t *ret_total) BOX_MUST_CHECK;
/* Status, review and private columns. */
int store_network_save(struct store_tx *tx, const PB(NetworkRequest) * n) BOX_MUST_CHECK;
int store_network_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
int store_module_create(struct store_tx *tx, const PB(ModuleRequest) * m) BOX_MUST_CHECK;
int store_module_get(struct store_tx *tx, const char *id, bool lock,
		     PB(ModuleRequest) * *ret) BOX_MUST_CHECK;
/* What a tool's new request is judged by: all approved rows, and all of its own. */
int store_module_judged(struct store_tx *tx, const char *tool_id, PB(ModuleRequest) * **ret,
			size_t *ret_count) BOX_MUST_CHECK;
/* Those that administrators added; locked. */
int store_module_own(struct store_tx *tx, PB(ModuleRequest) * **ret,
		     size_t *ret_count) BOX_MUST_CHECK;
int store_module_list(struct store_tx *tx, const struct filter *f, PB(ModuleRequest) * **ret,
		      size_t *ret_count, int64_t *ret_total) BOX_MUST_CHECK;
/* Status and review. */
int store_module_save(struct store_tx *tx, const PB(ModuleRequest) * m) BOX_MUST_CHECK;
int store_module_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
/* Every tool's spec will be built anew before its next permit; and: no permit is good any more. */
int store_specs_forget(struct store_tx *tx) BOX_MUST_CHECK;
int store_permits_revoke_all(struct store_tx *tx) BOX_MUST_CHECK;
int store_tool_modules(struct store_tx *tx, const char *tool_id, PB(ModuleRequestBrief) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;
int store_tool_network(struct store_tx *tx, const char *tool_id, PB(NetworkRequestBrief) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;

/* ---- secrets and logs of calls ------------------------------------------------------------------------ */

int store_secret_create(struct store_tx *tx, const PB(Secret) * s) BOX_MUST_CHECK;
int store_secret_get(struct store_tx *tx, const char *server_id, const char *key, bool lock,
		     PB(Secret) * *ret) BOX_MUST_CHECK;
int store_secret_list(struct store_tx *tx, const char *server_id, PB(Secret) * **ret,
		      size_t *ret_count) BOX_MUST_CHECK;
/* Those that have a value, sealed. */
int store_secret_values(struct store_tx *tx, const char *server_id, ROW(SecretRow) * **ret,
			size_t *ret_count) BOX_MUST_CHECK;
/* What those of a server but one come to in its grant, in bytes. */
int store_secret_sizes(struct store_tx *tx, const char *server_id, const char *but_id,
		       int64_t *ret) BOX_MUST_CHECK;
/* Mode, hosts, places and the value, sealed with the key of that generation. */
int store_secret_set(struct store_tx *tx, const PB(Secret) * s, uint32_t generation,
		     struct bytes sealed) BOX_MUST_CHECK;
/* Those of all servers, locked. */
int store_secret_all_values(struct store_tx *tx, ROW(SecretRow) * **ret,
			    size_t *ret_count) BOX_MUST_CHECK;
int store_secret_reseal(struct store_tx *tx, const char *id, uint32_t generation,
			struct bytes sealed) BOX_MUST_CHECK;
/* Sealing is shared, a rotation exclusive; until the end of the transaction. */
int store_data_keys_lock(struct store_tx *tx, bool exclusive) BOX_MUST_CHECK;
int store_data_key_newest(struct store_tx *tx, ROW(DataKeyRow) * *ret) BOX_MUST_CHECK;
int store_data_key_add(struct store_tx *tx, uint32_t generation,
		       struct bytes wrapped) BOX_MUST_CHECK;
int store_data_keys_drop(struct store_tx *tx, uint32_t below) BOX_MUST_CHECK;
int store_secret_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;

/* Ended calls of a tool, newest first, and how many there are. */
int store_tool_logs(struct store_tx *tx, const char *tool_id, uint32_t limit, PB(ToolLog) * **ret,
		    size_t *ret_count, int64_t *ret_total) BOX_MUST_CHECK;
int store_execution_list(struct store_tx *tx, const PB(ListExecutionsRequest) * in,
			 struct page page, PB(Execution) * **ret, size_t *ret_count,
			 int64_t *ret_total) BOX_MUST_CHECK;
int store_execution_get(struct store_tx *tx, const char *id, PB(Execution) * *ret) BOX_MUST_CHECK;
/* Of all calls that ever were; without the period. */
int store_execution_stats(struct store_tx *tx, PB(GetExecutionStatsReply) * *ret) BOX_MUST_CHECK;
/* Failed ones that ended since, newest first. */
int store_execution_failed(struct store_tx *tx, int64_t from_unix_ms, uint32_t limit,
			   PB(RecentError) * **ret, size_t *ret_count) BOX_MUST_CHECK;

/* Sums over buckets of ended calls: of all, of each server, of the tools that were called most; a curve. */
int store_rollup_sum(struct store_tx *tx, const struct window *w,
		     ROW(RollupRow) * *ret) BOX_MUST_CHECK;
int store_rollup_servers(struct store_tx *tx, const struct window *w, ROW(RollupRow) * **ret,
			 size_t *ret_count) BOX_MUST_CHECK;
int store_rollup_top_tools(struct store_tx *tx, const struct window *w, uint32_t limit,
			   ROW(RollupRow) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_rollup_points(struct store_tx *tx, uint32_t grain_min, int64_t from_unix_ms,
			int64_t to_unix_ms, ROW(RollupRow) * **ret,
			size_t *ret_count) BOX_MUST_CHECK;
int store_dashboard_counts(struct store_tx *tx, PB(DashboardStats) * *ret) BOX_MUST_CHECK;
/* The newest ones, without their calls. */
int store_dashboard_servers(struct store_tx *tx, uint32_t limit, PB(DashboardServer) * **ret,
			    size_t *ret_count) BOX_MUST_CHECK;

/* ---- files of servers ---------------------------------------------------------------------------------- */

/* Bytes that the code and schemas of an export take at least.  server_id "": of all servers. */
int store_file_size(struct store_tx *tx, const char *server_id, bool heads_only,
		    int64_t *ret) BOX_MUST_CHECK;
/* Parts of an export, each without the parts within it. */
int store_file_servers(struct store_tx *tx, const char *server_id, ROW(FileServer) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;
int store_file_tools(struct store_tx *tx, const char *server_id, ROW(FileTool) * **ret,
		     size_t *ret_count) BOX_MUST_CHECK;
int store_file_versions(struct store_tx *tx, const char *tool_id, bool heads_only,
			ROW(FileVersion) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_file_decisions(struct store_tx *tx, const char *tool_id, ROW(FileDecision) * **ret,
			 size_t *ret_count) BOX_MUST_CHECK;
/* tool_id NULL: those that administrators added. */
int store_file_modules(struct store_tx *tx, const char *tool_id, ROW(FileModule) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;
int store_file_hosts(struct store_tx *tx, const char *server_id, const char *tool_id,
		     ROW(FileHost) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_file_secrets(struct store_tx *tx, const char *server_id, ROW(FileSecret) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;

int store_server_named(struct store_tx *tx, const char *name, bool *ret) BOX_MUST_CHECK;
/* Name of the server that this content became; -ERR_NOT_FOUND when it is not here (any more). */
int store_import_find(struct store_tx *tx, struct bytes digest, char **ret_server) BOX_MUST_CHECK;
int store_import_add(struct store_tx *tx, const char *server_id,
		     struct bytes digest) BOX_MUST_CHECK;
/* A decision of the past: history, never in force. */
int store_decision_recall(struct store_tx *tx, const char *tool_id,
			  const ROW(FileDecision) * d) BOX_MUST_CHECK;
/* Is the module among those that administrators added? */
int store_module_listed(struct store_tx *tx, const char *name, bool *ret) BOX_MUST_CHECK;
/* What follows can be undone without losing the transaction. */
int store_savepoint(struct store_tx *tx) BOX_MUST_CHECK;
int store_savepoint_undo(struct store_tx *tx) BOX_MUST_CHECK;

/* ---- people and settings ---------------------------------------------------------------------------- */

int store_people_lock(struct store_tx *tx) BOX_MUST_CHECK; /* one set-up at a time */
int store_user_count(struct store_tx *tx, int64_t *ret) BOX_MUST_CHECK;
int store_user_create(struct store_tx *tx, const ROW(UserRow) * user) BOX_MUST_CHECK;
int store_user_by_name(struct store_tx *tx, const char *username,
		       ROW(UserRow) * *ret) BOX_MUST_CHECK;
int store_user_show(struct store_tx *tx, const char *id, PB(WhoAmIReply) * *ret) BOX_MUST_CHECK;
int store_user_logged_in(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
/* Also ends the user's sessions. */
int store_user_set_password(struct store_tx *tx, const char *id,
			    const char *password_hash) BOX_MUST_CHECK;

/* Also ends the user's sessions but for the one that is kept. */
int store_user_change_password(struct store_tx *tx, const char *id, const char *password_hash,
			       const char *keep_session) BOX_MUST_CHECK;
int store_user_list(struct store_tx *tx, struct page page, PB(User) * **ret, size_t *ret_count,
		    int64_t *ret_total) BOX_MUST_CHECK;
int store_user_get(struct store_tx *tx, const char *id, bool lock, PB(User) * *ret) BOX_MUST_CHECK;
/* Role and whether active; an inactive user's sessions end. */
int store_user_save(struct store_tx *tx, const PB(User) * user) BOX_MUST_CHECK;
int store_user_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
int store_active_admins(struct store_tx *tx, int64_t *ret) BOX_MUST_CHECK;
/* user_id NULL: everybody's.  current: the session that asks. */
int store_session_list(struct store_tx *tx, const char *user_id, const char *current,
		       PB(Session) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_session_end(struct store_tx *tx, const char *id, const char *user_id) BOX_MUST_CHECK;
int store_token_list(struct store_tx *tx, const char *user_id, PB(ApiToken) * **ret,
		     size_t *ret_count) BOX_MUST_CHECK;
int store_token_create(struct store_tx *tx, const char *user_id, const char *id, struct bytes hash,
		       const PB(CreateTokenRequest) * in) BOX_MUST_CHECK;
int store_token_delete(struct store_tx *tx, const char *id, const char *user_id) BOX_MUST_CHECK;

struct session {
	const char *id, *user_id, *remote;
	struct bytes access_hash, refresh_hash;
	uint32_t access_seconds, refresh_seconds;
};
int store_session_create(struct store_tx *tx, const struct session *s) BOX_MUST_CHECK;
/* The session of a refresh token that is still good; locks it. */
int store_session_by_refresh(struct store_tx *tx, struct bytes refresh_hash,
			     ROW(SessionRow) * *ret) BOX_MUST_CHECK;
/* The session that has used up this refresh token. */
int store_session_by_used(struct store_tx *tx, struct bytes refresh_hash,
			  ROW(SessionRow) * *ret) BOX_MUST_CHECK;
/* New tokens; the old refresh token is remembered as used. */
int store_session_rotate(struct store_tx *tx, const struct session *s) BOX_MUST_CHECK;
int store_session_delete(struct store_tx *tx, const char *id) BOX_MUST_CHECK;
/* Who a presented secret speaks for, by the hash of it; -ERR_NOT_FOUND when unknown, expired, inactive. */
int store_identity_of_session(struct store_tx *tx, struct bytes access_hash,
			      ROW(IdentityRow) * *ret) BOX_MUST_CHECK;
int store_identity_of_token(struct store_tx *tx, struct bytes token_hash,
			    ROW(IdentityRow) * *ret) BOX_MUST_CHECK;

int store_login_failed(struct store_tx *tx, const char *subject) BOX_MUST_CHECK;
int store_login_forget(struct store_tx *tx, const char *subject) BOX_MUST_CHECK;
/* Seconds until the subject may try again: 0 unless `limit` failures lie within `window_s`. */
int store_login_wait(struct store_tx *tx, const char *subject, uint32_t limit, uint32_t window_s,
		     int64_t *ret) BOX_MUST_CHECK;

int store_setting_get(struct store_tx *tx, const char *key, char **ret) BOX_MUST_CHECK;
int store_setting_put(struct store_tx *tx, const char *key, const char *value) BOX_MUST_CHECK;
/* Those of the table `settings` and the policy, by key; no encrypted value. */
int store_setting_list(struct store_tx *tx, PB(Setting) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_policy_get(struct store_tx *tx, bool lock, PB(SecurityPolicy) * *ret) BOX_MUST_CHECK;
int store_policy_save(struct store_tx *tx, const PB(SecurityPolicy) * policy) BOX_MUST_CHECK;

/* ---- audit ------------------------------------------------------------------------------------------- */

/* A JSON object as the database will show it: what the hash is over. */
int store_json_normal(struct store_tx *tx, const char *json, char **ret) BOX_MUST_CHECK;
int store_head_get(struct store_tx *tx, bool lock, ROW(HeadRow) * *ret) BOX_MUST_CHECK;
int store_head_save(struct store_tx *tx, uint64_t seq, struct bytes hash,
		    uint64_t state_seq) BOX_MUST_CHECK;
int store_head_sign(struct store_tx *tx, uint64_t seq, struct bytes hash, struct bytes signature,
		    uint32_t key_id) BOX_MUST_CHECK;
int store_checkpoint_add(struct store_tx *tx, uint64_t seq, struct bytes hash,
			 struct bytes signature, uint32_t key_id) BOX_MUST_CHECK;
/* All, ascending: their signed_seq, signed_hash, signature, key_id. */
int store_checkpoint_list(struct store_tx *tx, ROW(HeadRow) * **ret,
			  size_t *ret_count) BOX_MUST_CHECK;
int store_audit_insert(struct store_tx *tx, const PB(AuditEvent) * event) BOX_MUST_CHECK;
/* Rows after since_seq, ascending.  topics: empty for all; rows of batches always come along when a topic of
 * their parts is asked for (call.finished, egress.*). */
int store_audit_list(struct store_tx *tx, uint64_t since_seq, uint32_t limit, char *const *topics,
		     size_t topic_count, PB(AuditEvent) * **ret, size_t *ret_count) BOX_MUST_CHECK;
/* The seq before the last `limit` rows. */
/* What was last done to an object, for people: "tool.updated (code) by anna at 2026-…"; NULL: nothing of late. */
int store_audit_last(struct store_tx *tx, const char *object_id, char **ret) BOX_MUST_CHECK;
int store_audit_newest(struct store_tx *tx, uint32_t limit, char *const *topics, size_t topic_count,
		       uint64_t *ret_since) BOX_MUST_CHECK;

/* ---- records ----------------------------------------------------------------------------------------- */

int store_origin_lock(struct store_tx *tx, const char *origin,
		      uint64_t *ret_last_no) BOX_MUST_CHECK;
int store_origin_save(struct store_tx *tx, const char *origin, uint64_t last_no) BOX_MUST_CHECK;
/* Test runs that have begun: what is still here at a start was cut off. */
int store_trial_begin(struct store_tx *tx, const char *call_id) BOX_MUST_CHECK;
int store_trial_end(struct store_tx *tx, const char *call_id) BOX_MUST_CHECK;
int store_trials_open(struct store_tx *tx, char ***ret, size_t *ret_count) BOX_MUST_CHECK;
/* The hosts that a call asked for.  *ret_open: requests whose end is not known yet. */
int store_call_hosts(struct store_tx *tx, const char *call_id, PB(TestedHost) * **ret,
		     size_t *ret_count, int64_t *ret_open) BOX_MUST_CHECK;
int store_batch_new(struct store_tx *tx, uint64_t *ret) BOX_MUST_CHECK;
/*
 * In one statement each, at most one row of a call.  whole: start and end in one row.  Returns how many rows were really
 * written: fewer than `count` when some were there already (an end that is written down is never changed).
 */
int64_t store_calls_started(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) *const *rows,
			    size_t count) BOX_MUST_CHECK;
int64_t store_calls_ended(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) *const *rows,
			  size_t count) BOX_MUST_CHECK;
int64_t store_calls_whole(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) *const *rows,
			  size_t count) BOX_MUST_CHECK;
/* One at a time counts incidents, until the end of the transaction. */
int store_incidents_lock(struct store_tx *tx) BOX_MUST_CHECK;
/* A fresh one when there is none. */
int store_incident_get(struct store_tx *tx, const char *tool_id, const char *topic,
		       ROW(IncidentRow) * *ret) BOX_MUST_CHECK;
int store_incident_save(struct store_tx *tx, const ROW(IncidentRow) * i) BOX_MUST_CHECK;
/* Those with something pending that began before. */
int store_incidents_over(struct store_tx *tx, int64_t before_unix_ms, ROW(IncidentRow) * **ret,
			 size_t *ret_count) BOX_MUST_CHECK;
int store_egress_add(struct store_tx *tx, uint64_t batch, const ROW(EgressRow) * e) BOX_MUST_CHECK;
/* What of a batch is still there, by record number. */
int store_batch_starts(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;
int store_batch_ends(struct store_tx *tx, uint64_t batch, ROW(ExecutionRow) * **ret,
		     size_t *ret_count) BOX_MUST_CHECK;
int store_batch_egress(struct store_tx *tx, uint64_t batch, ROW(EgressRow) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;

/* The audit row of a batch; the newest row of retention that names it. */
int store_batch_row(struct store_tx *tx, const char *batch, PB(AuditEvent) * *ret) BOX_MUST_CHECK;
int store_batch_expired(struct store_tx *tx, const char *batch,
			PB(AuditEvent) * *ret) BOX_MUST_CHECK;

/* ---- activity ---------------------------------------------------------------------------------------- */

/* Ids of a server's tools: what the audit calls objects. */
int store_server_objects(struct store_tx *tx, const char *server_id, char ***ret,
			 size_t *ret_count) BOX_MUST_CHECK;
/* At most `limit`; with a search those found among `limit` of each kind. */
int store_activity_count(struct store_tx *tx, const struct activity_choice *c, uint32_t limit,
			 int64_t *ret) BOX_MUST_CHECK;
int store_activity_list(struct store_tx *tx, const struct activity_choice *c, uint32_t searched,
			struct page page, PB(Activity) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_activity_get(struct store_tx *tx, const struct activity_id *id, bool sees_audit,
		       PB(Activity) * *ret) BOX_MUST_CHECK;
/* Rows of the audit and of batches in the order given; each has -1 in one of the two arrays. */
int store_activity_of(struct store_tx *tx, const struct activity_choice *c, const int64_t *seqs,
		      const int64_t *batches, size_t count, PB(Activity) * **ret,
		      size_t *ret_count) BOX_MUST_CHECK;
/* Rows of the audit since, by type and by level. */
int store_activity_sums(struct store_tx *tx, const char *server_id, int64_t from_unix_ms,
			bool sees_audit, PB(ActivityTypes) * *ret_types,
			PB(ActivityLevels) * *ret_levels) BOX_MUST_CHECK;
/* Outbound requests, those of them that were denied, and calls that ended, in buckets from there on. */
int store_activity_requests(struct store_tx *tx, const char *server_id, int64_t from_unix_ms,
			    uint32_t grain_min, ROW(RollupRow) * *ret_all,
			    ROW(RollupRow) * *ret_denied,
			    ROW(RollupRow) * *ret_calls) BOX_MUST_CHECK;

/* ---- retention --------------------------------------------------------------------------------------- */

/* The oldest rows that are past their time, none of them in an altered batch: by age, and beyond the newest
 * `keep` calls of their tool.  Requests come as one row for each batch. */
int store_calls_before(struct store_tx *tx, int64_t unix_ms, uint32_t limit, ROW(VictimRow) * **ret,
		       size_t *ret_count) BOX_MUST_CHECK;
int store_egress_before(struct store_tx *tx, int64_t unix_ms, uint32_t limit,
			ROW(VictimRow) * **ret, size_t *ret_count) BOX_MUST_CHECK;
int store_calls_over(struct store_tx *tx, uint32_t keep, uint32_t limit, ROW(VictimRow) * **ret,
		     size_t *ret_count) BOX_MUST_CHECK;
int store_calls_delete(struct store_tx *tx, char *const *call_ids, size_t count) BOX_MUST_CHECK;
/* Of a batch those before; how many, or a code. */
int64_t store_egress_delete(struct store_tx *tx, uint64_t batch, int64_t before_unix_ms);
int store_batch_altered(struct store_tx *tx, uint64_t batch) BOX_MUST_CHECK;
/* Buckets that nothing is made of any more. */
int store_rollup_expire(struct store_tx *tx) BOX_MUST_CHECK;

/* ---- what runs --------------------------------------------------------------------------------------- */

int store_spec_row(struct store_tx *tx, const char *tool_id, uint32_t version,
		   ROW(SpecRow) * *ret) BOX_MUST_CHECK;
int store_hosts(struct store_tx *tx, const char *server_id, ROW(HostRow) * **ret,
		size_t *ret_count) BOX_MUST_CHECK;
int store_modules_approved(struct store_tx *tx, char ***ret, size_t *ret_count) BOX_MUST_CHECK;
int store_blob_put(struct store_tx *tx, const char *kind, struct bytes hash,
		   struct bytes data) BOX_MUST_CHECK;
int store_blob_get(struct store_tx *tx, struct bytes hash, PB(Blob) * *ret) BOX_MUST_CHECK;
/* The grant of a server as a row with its hash; empty when it has to be built. */
int store_grant_hash(struct store_tx *tx, const char *server_id,
		     ProtobufCBinaryData *ret) BOX_MUST_CHECK;
int store_spec_hash(struct store_tx *tx, const char *tool_id,
		    ProtobufCBinaryData *ret) BOX_MUST_CHECK;
int store_grant_set(struct store_tx *tx, const char *server_id, struct bytes hash) BOX_MUST_CHECK;
int store_spec_set(struct store_tx *tx, const char *tool_id, struct bytes hash) BOX_MUST_CHECK;

/* One renewal at a time; then the ids of published tools whose permit is missing, has less than five
 * minutes left or speaks of other bytes, at most `limit`. */
int store_permits_lock(struct store_tx *tx) BOX_MUST_CHECK;
int store_permits_due(struct store_tx *tx, int64_t now_unix_ms, uint32_t limit, char ***ret,
		      size_t *ret_count) BOX_MUST_CHECK;
int store_permit_put(struct store_tx *tx, const ROW(PermitRow) * permit) BOX_MUST_CHECK;
/* Revoke what is still good of a tool, or (tool_id NULL) of a server; and the ids to publish. */
int store_permits_revoke(struct store_tx *tx, const char *server_id,
			 const char *tool_id) BOX_MUST_CHECK;
int store_permits_revoked(struct store_tx *tx, char ***ret, size_t *ret_count) BOX_MUST_CHECK;

/* Published tools with their newest live permit, by tool id after `cursor`. */
int store_map_page(struct store_tx *tx, const char *cursor, uint32_t limit, ROW(MapRow) * **ret,
		   size_t *ret_count) BOX_MUST_CHECK;
int store_map_servers(struct store_tx *tx, PB(MapServer) * **ret, size_t *ret_count) BOX_MUST_CHECK;

/* What a pause keeps from being published, at most `limit`. */
int store_map_paused(struct store_tx *tx, uint32_t limit, PB(PausedTool) * **ret,
		     size_t *ret_count) BOX_MUST_CHECK;

int store_instance_joined(struct store_tx *tx, const PB(Instance) * instance) BOX_MUST_CHECK;
int store_instance_left(struct store_tx *tx, struct bytes boot_id) BOX_MUST_CHECK;
