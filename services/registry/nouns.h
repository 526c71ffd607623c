/*
 * The nouns' functions, as the dispatch table names them.  Each: 0 after work_answer(), or a code with
 * err filled.  `in` is the message of its row.
 */
#pragma once

#include "work.h"

op_run server_create, server_list, server_get, server_update, server_delete, server_start,
	server_stop, server_restart, server_show_state, server_set_warm_reuse;
op_run pause_begin, pause_end, pause_show;
op_run tool_create, tool_update, tool_get, tool_delete, tool_list, tool_validate, tool_prepare_test;
op_run tool_inspect_create, tool_inspect_update, tool_inspect_validate; /* `before` */
op_run trial_run /* `before` */, trial_answer;
op_run version_list, version_get, version_compare, version_rollback;
op_run approval_request_publish, approval_status, approval_pending, approval_stats, approval_list,
	approval_decide, approval_revoke;
op_run network_request, network_list, network_decide, network_revoke, network_allow, network_remove,
	network_delete;
op_run module_request, module_show, module_list, module_decide, module_revoke, module_delete,
	module_settings, module_change_settings;
op_run secret_create, secret_brief_list, secret_add, secret_list, secret_set, secret_delete;
op_run execution_logs, execution_list, execution_get, execution_stats, dashboard_get,
	retention_delete;
op_run activity_list, activity_get, activity_recent, activity_of_request, activity_stats,
	activity_follow;
op_run auth_status, auth_setup, auth_login, auth_refresh, auth_logout, auth_who_am_i,
	auth_set_password;
op_run auth_hash_setup, auth_check_login, auth_hash_password; /* `before` */
op_run auth_check_change /* `before` */, auth_change_password;
op_run user_list, user_hash_password /* `before` */, user_create, user_update, user_delete;
op_run session_list, session_end, token_list, token_create, token_delete, token_check;
op_run policy_get, policy_update, policy_apply_profile, setting_list, setting_complete_onboarding;
op_run audit_list, audit_verify, audit_report;
op_run lease_handle_renew, lease_handle_status, lease_handle_leave;
op_run map_get, map_blobs, map_renew_permits /* `before` */;
op_run records_ship;
op_run export_servers;
op_run import_prepare /* `before` */, import_servers;
