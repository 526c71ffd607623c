/*
 * The table of messages: number, request and reply type, ceiling.  Numbers are wire format and never
 * reused.  The one owner of "which message is that".
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "admin.pb-c.h"
#include "common.pb-c.h"
#include "egress.pb-c.h"
#include "executor.pb-c.h"
#include "registry.pb-c.h"

/* X(number, NAME, request type, reply type) ; types without the Mcpbox__V1__ prefix, in descriptor spelling */
#define MSG_TABLE(X)                                                                             \
	/* servers */                                                                            \
	X(1, CREATE_SERVER, create_server_request, create_server_reply)                          \
	X(2, LIST_SERVERS, list_servers_request, list_servers_reply)                             \
	X(3, GET_SERVER, get_server_request, get_server_reply)                                   \
	X(4, UPDATE_SERVER, update_server_request, get_server_reply)                             \
	X(5, DELETE_SERVER, delete_server_request, success_reply)                                \
	X(6, START_SERVER, start_server_request, server_state_reply)                             \
	X(7, STOP_SERVER, stop_server_request, server_state_reply)                               \
	X(8, SET_WARM_REUSE, set_warm_reuse_request, get_server_reply)                           \
	X(9, PAUSE, pause_request, pause_reply)                                                  \
	X(10, RESUME, resume_request, pause_reply)                                               \
	X(11, GET_PAUSE, get_pause_request, pause_reply)                                         \
	X(12, RESTART_SERVER, restart_server_request, server_state_reply)                        \
	X(13, GET_SERVER_STATE, get_server_state_request, server_state_reply)                    \
	/* tools */                                                                              \
	X(20, CREATE_TOOL, create_tool_request, create_tool_reply)                               \
	X(21, UPDATE_TOOL, update_tool_request, update_tool_reply)                               \
	X(22, GET_TOOL, get_tool_request, get_tool_reply)                                        \
	X(23, DELETE_TOOL, delete_tool_request, success_reply)                                   \
	X(24, LIST_TOOLS, list_tools_request, list_tools_reply)                                  \
	X(25, VALIDATE_CODE, validate_code_request, validate_code_reply)                         \
	X(26, PREPARE_TEST, prepare_test_request, prepare_test_reply)                            \
	X(27, REQUEST_PUBLISH, request_publish_request, request_publish_reply)                   \
	X(28, GET_TOOL_STATUS, get_tool_status_request, get_tool_status_reply)                   \
	X(29, LIST_TOOL_VERSIONS, list_tool_versions_request, list_tool_versions_reply)          \
	X(30, GET_TOOL_VERSION, get_tool_version_request, get_tool_version_reply)                \
	X(31, COMPARE_TOOL_VERSIONS, compare_tool_versions_request, compare_tool_versions_reply) \
	X(32, ROLLBACK_TOOL, rollback_tool_request, rollback_tool_reply)                         \
	X(33, TEST_CODE, test_code_request, test_code_reply)                                     \
	/* approvals */                                                                          \
	X(40, REQUEST_NETWORK_ACCESS, request_network_access_request,                            \
	  request_network_access_reply)                                                          \
	X(41, LIST_PENDING_REQUESTS, list_pending_requests_request, list_pending_requests_reply) \
	X(42, LIST_TOOL_APPROVALS, list_tool_approvals_request, list_tool_approvals_reply)       \
	X(43, DECIDE_TOOL, decide_tool_request, decide_tool_reply)                               \
	X(44, REVOKE_TOOL, revoke_tool_request, decide_tool_reply)                               \
	X(45, LIST_NETWORK_REQUESTS, list_network_requests_request, list_network_requests_reply) \
	X(46, DECIDE_NETWORK, decide_network_request, network_decision_reply)                    \
	X(47, REVOKE_NETWORK, revoke_network_request, network_decision_reply)                    \
	X(48, ALLOW_HOST, allow_host_request, allowed_hosts_reply)                               \
	X(49, REMOVE_HOST, remove_host_request, allowed_hosts_reply)                             \
	X(50, DELETE_NETWORK_REQUEST, delete_network_request_request,                            \
	  delete_network_request_reply)                                                          \
	X(51, REQUEST_MODULE, request_module_request, request_module_reply)                      \
	X(52, LIST_MODULE_REQUESTS, list_module_requests_request, list_module_requests_reply)    \
	X(53, DECIDE_MODULE, decide_module_request, module_decision_reply)                       \
	X(54, REVOKE_MODULE, revoke_module_request, module_decision_reply)                       \
	X(55, DELETE_MODULE_REQUEST, delete_module_request_request, delete_module_request_reply) \
	X(56, GET_SERVER_MODULES, get_server_modules_request, get_server_modules_reply)          \
	X(57, GET_MODULES, get_modules_request, modules_reply)                                   \
	X(58, UPDATE_MODULES, update_modules_request, modules_reply)                             \
	X(59, GET_APPROVAL_STATS, get_approval_stats_request, get_approval_stats_reply)          \
	/* secrets, logs */                                                                      \
	X(100, CREATE_SERVER_SECRET, create_server_secret_request, create_server_secret_reply)   \
	X(101, LIST_SERVER_SECRETS, list_server_secrets_request, list_server_secrets_reply)      \
	X(102, ADD_SECRET, add_secret_request, secret_reply)                                     \
	X(103, LIST_SECRETS, list_secrets_request, list_secrets_reply)                           \
	X(104, SET_SECRET, set_secret_request, secret_reply)                                     \
	X(105, DELETE_SECRET, delete_secret_request, success_reply)                              \
	X(106, ROTATE_KEYS, rotate_keys_request, rotate_keys_reply)                              \
	X(110, GET_TOOL_LOGS, get_tool_logs_request, get_tool_logs_reply)                        \
	X(111, LIST_EXECUTIONS, list_executions_request, list_executions_reply)                  \
	X(112, GET_EXECUTION, get_execution_request, execution)                                  \
	X(113, GET_EXECUTION_STATS, get_execution_stats_request, get_execution_stats_reply)      \
	X(114, GET_DASHBOARD, get_dashboard_request, get_dashboard_reply)                        \
	X(115, DELETE_ACTIVITY, delete_activity_request, delete_activity_reply)                  \
	X(116, LIST_ACTIVITY, list_activity_request, list_activity_reply)                        \
	X(117, GET_ACTIVITY, get_activity_request, activity)                                     \
	X(118, GET_RECENT_ACTIVITY, recent_activity_request, recent_activity_reply)              \
	X(119, GET_REQUEST_ACTIVITY, request_activity_request, request_activity_reply)           \
	X(96, GET_ACTIVITY_STATS, activity_stats_request, activity_stats_reply)                  \
	X(97, GET_ACTIVITY_AFTER, follow_activity_request, follow_activity_reply)                \
	/* people, settings */                                                                   \
	X(60, AUTH_STATUS, auth_status_request, auth_status_reply)                               \
	X(61, SETUP, setup_request, setup_reply)                                                 \
	X(62, LOGIN, login_request, login_reply)                                                 \
	X(63, REFRESH, refresh_request, login_reply)                                             \
	X(64, LOGOUT, logout_request, logout_reply)                                              \
	X(65, WHO_AM_I, who_am_irequest, who_am_ireply)                                          \
	X(66, SET_PASSWORD, set_password_request, success_reply)                                 \
	X(67, GET_SECURITY_POLICY, get_security_policy_request, security_policy)                 \
	X(68, UPDATE_SECURITY_POLICY, update_security_policy_request, security_policy)           \
	X(69, LIST_USERS, list_users_request, list_users_reply)                                  \
	X(70, CREATE_USER, create_user_request, user_reply)                                      \
	X(71, UPDATE_USER, update_user_request, user_reply)                                      \
	X(72, DELETE_USER, delete_user_request, success_reply)                                   \
	X(73, CHANGE_PASSWORD, change_password_request, change_password_reply)                   \
	X(74, LIST_SESSIONS, list_sessions_request, list_sessions_reply)                         \
	X(75, END_SESSION, end_session_request, success_reply)                                   \
	X(76, LIST_TOKENS, list_tokens_request, list_tokens_reply)                               \
	X(77, CREATE_TOKEN, create_token_request, create_token_reply)                            \
	X(78, DELETE_TOKEN, delete_token_request, success_reply)                                 \
	X(79, CHECK_TOKEN, check_token_request, check_token_reply)                               \
	X(83, APPLY_SECURITY_PROFILE, apply_security_profile_request,                            \
	  apply_security_profile_reply)                                                          \
	X(84, LIST_SETTINGS, list_settings_request, list_settings_reply)                         \
	X(85, COMPLETE_ONBOARDING, complete_onboarding_request, complete_onboarding_reply)       \
	/* audit */                                                                              \
	X(80, LIST_AUDIT, list_audit_request, list_audit_reply)                                  \
	X(81, VERIFY_AUDIT, verify_audit_request, verify_audit_reply)                            \
	X(82, REPORT_EVENT, report_event_request, empty)                                         \
	/* instances, map, records */                                                            \
	X(90, RENEW_LEASE, renew_lease_request, signed_status)                                   \
	X(91, GET_STATUS, get_status_request, signed_status)                                     \
	X(92, LEAVE, leave_request, empty)                                                       \
	X(93, GET_TOOL_MAP, get_tool_map_request, get_tool_map_reply)                            \
	X(94, GET_BLOBS, get_blobs_request, get_blobs_reply)                                     \
	X(95, SHIP_RECORDS, ship_records_request, ship_records_reply)                            \
	/* executor */                                                                           \
	X(120, EXECUTE, execute_request, execute_reply)                                          \
	X(121, WAIT, wait_request, execute_reply)                                                \
	X(122, CANCEL, cancel_request, cancel_reply)                                             \
	X(123, PING, ping_request, ping_reply)                                                   \
	X(124, INSPECT, inspect_request, inspect_reply)                                          \
	/* export, import */                                                                     \
	X(130, GET_EXPORT, export_request, export_reply)                                         \
	X(131, IMPORT, import_request, import_reply)                                             \
	/* egress */                                                                             \
	X(140, OPEN, open_request, open_reply)                                                   \
	/* news */                                                                               \
	X(200, NEWS_STATUS, signed_status, empty)                                                \
	X(201, NEWS_AUDIT, audit_event, empty)

enum msg_number {
#define X(number, name, request, reply) MSG_##name = number,
	MSG_TABLE(X)
#undef X
};

struct msg_row {
	uint16_t number;
	const char *name; /* "CREATE_SERVER" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply;
};
const struct msg_row *msg_row(uint16_t number); /* NULL when unknown */

/*
 * Unpack with a memory budget of 8 x len + 64 KiB and judge the result (msg_check): UTF-8, name
 * patterns, lengths of strings, hidden NULs, unknown enum numbers.  -ERR_INVALID, -ERR_TOO_LARGE.
 * The caller frees with msg_free().  Needs 1 MiB of stack.
 */
int msg_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
	       ProtobufCMessage **ret) __attribute__((warn_unused_result));
void msg_free(ProtobufCMessage *m);
static inline void msg_freep(void *pp)
{
	ProtobufCMessage *m = *(ProtobufCMessage **)pp;

	if (m)
		msg_free(m);
}
/* Packed bytes on the heap. */
uint8_t *msg_pack(const ProtobufCMessage *m, size_t *ret_len);

/* Every API token begins with it; no session does. */
#define API_TOKEN_MARK "mcpbox."

/* Short names of the generated types: PB(Permit) -> Mcpbox__V1__Permit. */
#define PB(name) Mcpbox__V1__##name
/* bytes field from a C string or memory; borrowed.  The cast is the generated struct's missing const. */
static inline ProtobufCBinaryData pb_bytes(const void *data, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)data };
}
ProtobufCBinaryData pb_text(const char *s); /* NULL: empty */
