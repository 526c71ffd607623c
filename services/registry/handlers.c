/*
 * Everything that can be asked of the registry: which services may carry the question, which right its
 * principal needs, how it touches the database, what it is called in the audit when refused.
 */
#include "handlers.h"
#include "data_keys.h"

#include "mem.h"
#include "nouns.h"

#define DOORS    (FROM(ROLE_GATEWAY) | FROM(ROLE_ADMIN))
#define SERVICES (FROM(ROLE_GATEWAY) | FROM(ROLE_EXECUTOR) | FROM(ROLE_EGRESS) | FROM(ROLE_ADMIN))
#define EVERYONE (SERVICES | FROM(ROLE_OPS))
#define ADMIN    FROM(ROLE_ADMIN)
#define RUNNERS  (FROM(ROLE_GATEWAY) | FROM(ROLE_EXECUTOR) | FROM(ROLE_EGRESS))

#define MOVES true
#define STAYS false

/* clang-format off */
const struct op registry_ops[] = {
	/* message                  callers   right           kind         map    topic              before                   run */
	{ MSG_CREATE_SERVER,          DOORS,    RIGHT_EDIT,     OP_CHANGE,   MOVES, "server.created",  NULL,                    server_create },
	{ MSG_LIST_SERVERS,           DOORS,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    server_list },
	{ MSG_GET_SERVER,             DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    server_get },
	{ MSG_UPDATE_SERVER,          DOORS,    RIGHT_EDIT,     OP_CHANGE,   MOVES, "server.updated",  NULL,                    server_update },
	{ MSG_DELETE_SERVER,          DOORS,    RIGHT_EDIT,     OP_CHANGE,   MOVES, "server.deleted",  NULL,                    server_delete },
	{ MSG_SET_WARM_REUSE,         ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "server.updated",  NULL,                    server_set_warm_reuse },
	{ MSG_START_SERVER,           DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   MOVES, "server.started",  NULL,                    server_start },
	{ MSG_STOP_SERVER,            DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   MOVES, "server.stopped",  NULL,                    server_stop },
	{ MSG_RESTART_SERVER,         ADMIN,    RIGHT_AUTHOR,   OP_CHANGE,   MOVES, "server.started",  NULL,                    server_restart },
	{ MSG_GET_SERVER_STATE,       ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    server_show_state },
	{ MSG_PAUSE,                  ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "server.paused",   NULL,                    pause_begin },
	{ MSG_RESUME,                 ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "server.resumed",  NULL,                    pause_end },
	{ MSG_GET_PAUSE,              ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    pause_show },

	{ MSG_CREATE_TOOL,            DOORS,    RIGHT_EDIT,     OP_CHANGE,   STAYS, "tool.created",    tool_inspect_create,     tool_create },
	{ MSG_UPDATE_TOOL,            DOORS,    RIGHT_EDIT,     OP_CHANGE,   MOVES, "tool.updated",    tool_inspect_update,     tool_update },
	{ MSG_GET_TOOL,               DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    tool_get },
	{ MSG_DELETE_TOOL,            DOORS,    RIGHT_EDIT,     OP_CHANGE,   MOVES, "tool.deleted",    NULL,                    tool_delete },
	{ MSG_LIST_TOOLS,             DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    tool_list },
	{ MSG_VALIDATE_CODE,          DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   STAYS, "tool.validated",  tool_inspect_validate,   tool_validate },
	{ MSG_PREPARE_TEST,           DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   STAYS, "tool.tested",     NULL,                    tool_prepare_test },
	{ MSG_TEST_CODE,              ADMIN,    RIGHT_DECIDE,   OP_SECRET,   STAYS, "tool.tested",     trial_run,               trial_answer },
	{ MSG_REQUEST_PUBLISH,        DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   MOVES, "tool.submitted",  NULL,                    approval_request_publish },
	{ MSG_GET_TOOL_STATUS,        DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    approval_status },
	{ MSG_LIST_TOOL_VERSIONS,     DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    version_list },
	{ MSG_GET_TOOL_VERSION,       DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    version_get },
	{ MSG_COMPARE_TOOL_VERSIONS,  DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    version_compare },
	{ MSG_ROLLBACK_TOOL,          DOORS,    RIGHT_EDIT,     OP_CHANGE,   MOVES, "tool.updated",    NULL,                    version_rollback },

	{ MSG_REQUEST_NETWORK_ACCESS, DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   STAYS, "host.requested",  NULL,                    network_request },
	{ MSG_REQUEST_MODULE,         DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   STAYS, "module.requested", NULL,                   module_request },
	{ MSG_GET_SERVER_MODULES,     DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    module_show },
	{ MSG_CREATE_SERVER_SECRET,   DOORS,    RIGHT_AUTHOR,   OP_CHANGE,   STAYS, "secret.created",  NULL,                    secret_create },
	{ MSG_LIST_SERVER_SECRETS,    DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    secret_brief_list },
	{ MSG_GET_TOOL_LOGS,          DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    execution_logs },
	{ MSG_LIST_PENDING_REQUESTS,  DOORS,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    approval_pending },
	/* Decisions: no gateway carries them, so no LLM can make them. */
	{ MSG_GET_APPROVAL_STATS,     ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    approval_stats },
	{ MSG_LIST_TOOL_APPROVALS,    ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    approval_list },
	{ MSG_DECIDE_TOOL,            ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "tool.approved",   NULL,                    approval_decide },
	{ MSG_REVOKE_TOOL,            ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "tool.revoked",    NULL,                    approval_revoke },
	{ MSG_LIST_NETWORK_REQUESTS,  ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    network_list },
	{ MSG_DECIDE_NETWORK,         ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "host.approved",   NULL,                    network_decide },
	{ MSG_REVOKE_NETWORK,         ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "host.revoked",    NULL,                    network_revoke },
	{ MSG_DELETE_NETWORK_REQUEST, ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   STAYS, "host.deleted",    NULL,                    network_delete },
	{ MSG_ALLOW_HOST,             ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "host.approved",   NULL,                    network_allow },
	{ MSG_REMOVE_HOST,            ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "host.revoked",    NULL,                    network_remove },
	{ MSG_LIST_MODULE_REQUESTS,   ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    module_list },
	{ MSG_DECIDE_MODULE,          ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "module.approved", NULL,                    module_decide },
	{ MSG_REVOKE_MODULE,          ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "module.revoked",  NULL,                    module_revoke },
	{ MSG_DELETE_MODULE_REQUEST,  ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   STAYS, "module.deleted",  NULL,                    module_delete },
	{ MSG_GET_MODULES,            ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    module_settings },
	{ MSG_UPDATE_MODULES,         ADMIN,    RIGHT_DECIDE,   OP_CHANGE,   MOVES, "module.approved", NULL,                    module_change_settings },

	{ MSG_ADD_SECRET,             ADMIN,    RIGHT_EDIT,     OP_CHANGE,   STAYS, "secret.created",  NULL,                    secret_add },
	{ MSG_LIST_SECRETS,           ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    secret_list },
	{ MSG_SET_SECRET,             ADMIN,    RIGHT_SETTINGS, OP_SECRET,   MOVES, "secret.set",      NULL,                    secret_set },
	{ MSG_ROTATE_KEYS,            ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   MOVES, "keys.rotated",    NULL,                    keys_rotate },
	{ MSG_DELETE_SECRET,          ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   MOVES, "secret.deleted",  NULL,                    secret_delete },
	{ MSG_LIST_EXECUTIONS,        ADMIN,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    execution_list },
	{ MSG_GET_EXECUTION,          ADMIN,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    execution_get },
	{ MSG_GET_EXECUTION_STATS,    ADMIN,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    execution_stats },
	{ MSG_GET_DASHBOARD,          ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    dashboard_get },
	{ MSG_LIST_ACTIVITY,          ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    activity_list },
	{ MSG_GET_ACTIVITY,           ADMIN,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    activity_get },
	{ MSG_GET_RECENT_ACTIVITY,        ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    activity_recent },
	{ MSG_GET_REQUEST_ACTIVITY,       ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    activity_of_request },
	{ MSG_GET_ACTIVITY_STATS,         ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    activity_stats },
	{ MSG_GET_ACTIVITY_AFTER,        ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    activity_follow },
	{ MSG_DELETE_ACTIVITY,        ADMIN,    RIGHT_SETTINGS, OP_MEMORY,   STAYS, "logs.expired",    NULL,                    retention_delete },

	{ MSG_AUTH_STATUS,            ADMIN,    RIGHT_ANYONE,   OP_READ,     STAYS, NULL,              NULL,                    auth_status },
	{ MSG_SETUP,                  ADMIN,    RIGHT_ANYONE,   OP_SECRET,   STAYS, "auth.setup",      auth_hash_setup,         auth_setup },
	{ MSG_LOGIN,                  ADMIN,    RIGHT_ANYONE,   OP_SECRET,   STAYS, NULL,              auth_check_login,        auth_login },
	{ MSG_REFRESH,                ADMIN,    RIGHT_ANYONE,   OP_SECRET,   STAYS, NULL,              NULL,                    auth_refresh },
	{ MSG_LOGOUT,                 ADMIN,    RIGHT_ANYONE,   OP_CHANGE,   STAYS, NULL,              NULL,                    auth_logout },
	{ MSG_WHO_AM_I,               ADMIN,    RIGHT_SELF,     OP_READ,     STAYS, NULL,              NULL,                    auth_who_am_i },
	{ MSG_SET_PASSWORD,           FROM(ROLE_OPS), RIGHT_OWNER, OP_SECRET, STAYS, "auth.password",  auth_hash_password,      auth_set_password },
	{ MSG_CHANGE_PASSWORD,        ADMIN,    RIGHT_SELF,     OP_SECRET,   STAYS, "auth.password",   auth_check_change,       auth_change_password },
	{ MSG_LIST_USERS,             ADMIN,    RIGHT_SETTINGS, OP_SNAPSHOT, STAYS, NULL,              NULL,                    user_list },
	{ MSG_CREATE_USER,            ADMIN,    RIGHT_SETTINGS, OP_SECRET,   STAYS, "user.created",    user_hash_password,      user_create },
	{ MSG_UPDATE_USER,            ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   STAYS, "user.updated",    NULL,                    user_update },
	{ MSG_DELETE_USER,            ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   STAYS, "user.deleted",    NULL,                    user_delete },
	{ MSG_LIST_SESSIONS,          ADMIN,    RIGHT_SELF,     OP_READ,     STAYS, NULL,              NULL,                    session_list },
	{ MSG_END_SESSION,            ADMIN,    RIGHT_SELF,     OP_CHANGE,   STAYS, "auth.logout",     NULL,                    session_end },
	{ MSG_LIST_TOKENS,            ADMIN,    RIGHT_SELF,     OP_READ,     STAYS, NULL,              NULL,                    token_list },
	{ MSG_CREATE_TOKEN,           ADMIN,    RIGHT_SELF,     OP_SECRET,   STAYS, "token.created",   NULL,                    token_create },
	{ MSG_DELETE_TOKEN,           ADMIN,    RIGHT_SELF,     OP_CHANGE,   STAYS, "token.deleted",   NULL,                    token_delete },
	{ MSG_CHECK_TOKEN,            FROM(ROLE_GATEWAY), RIGHT_READ, OP_READ,   STAYS, NULL,          NULL,                    token_check },
	{ MSG_GET_SECURITY_POLICY,    ADMIN,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    policy_get },
	{ MSG_UPDATE_SECURITY_POLICY, ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   MOVES, "settings.changed", NULL,                   policy_update },
	{ MSG_APPLY_SECURITY_PROFILE, ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   MOVES, "settings.changed", NULL,                   policy_apply_profile },
	{ MSG_LIST_SETTINGS,          ADMIN,    RIGHT_READ,     OP_READ,     STAYS, NULL,              NULL,                    setting_list },
	{ MSG_COMPLETE_ONBOARDING,    ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   STAYS, "settings.changed", NULL,                   setting_complete_onboarding },

	{ MSG_GET_EXPORT,             ADMIN,    RIGHT_READ,     OP_SNAPSHOT, STAYS, NULL,              NULL,                    export_servers },
	{ MSG_IMPORT,                 ADMIN,    RIGHT_SETTINGS, OP_CHANGE,   MOVES, "server.imported", import_prepare,          import_servers },

	{ MSG_LIST_AUDIT,             ADMIN | FROM(ROLE_OPS), RIGHT_AUDIT, OP_SNAPSHOT, STAYS, NULL,   NULL,                    audit_list },
	{ MSG_VERIFY_AUDIT,           ADMIN | FROM(ROLE_OPS), RIGHT_AUDIT, OP_MEMORY, STAYS, NULL,     NULL,                    audit_verify },
	{ MSG_REPORT_EVENT,           SERVICES, RIGHT_SERVICE,  OP_CHANGE,   STAYS, NULL,              NULL,                    audit_report },

	{ MSG_GET_TOOL_MAP,           FROM(ROLE_GATEWAY), RIGHT_SERVICE, OP_SNAPSHOT, STAYS, NULL,     map_renew_permits,       map_get },
	{ MSG_GET_BLOBS,              RUNNERS,  RIGHT_SERVICE,  OP_READ,     STAYS, NULL,              NULL,                    map_blobs },
	{ MSG_SHIP_RECORDS,           FROM(ROLE_GATEWAY) | FROM(ROLE_EGRESS), RIGHT_SERVICE, OP_SECRET, STAYS, NULL, NULL,       records_ship },

	/* control socket */
	{ MSG_RENEW_LEASE,            SERVICES, RIGHT_SERVICE,  OP_MEMORY,   STAYS, NULL,              NULL,                    lease_handle_renew },
	{ MSG_GET_STATUS,             EVERYONE, RIGHT_ANYONE,   OP_MEMORY,   STAYS, NULL,              NULL,                    lease_handle_status },
	{ MSG_LEAVE,                  SERVICES, RIGHT_SERVICE,  OP_MEMORY,   STAYS, NULL,              NULL,                    lease_handle_leave },
};
/* clang-format on */
const size_t registry_op_count = ARRAY_LEN(registry_ops);

static bool is_control(uint16_t msg)
{
	return msg == MSG_RENEW_LEASE || msg == MSG_GET_STATUS || msg == MSG_LEAVE;
}

size_t handlers_routes(bool control, struct bus_route ret[HANDLERS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < registry_op_count; i++) {
		const struct op *op = &registry_ops[i];

		if (is_control(op->msg) != control)
			continue;
		if (count == HANDLERS_MAX)
			box_bug("more than %d messages", HANDLERS_MAX);
		ret[count++] = (struct bus_route){ op->msg, op->callers, op->right, work_handle };
	}
	return count;
}
