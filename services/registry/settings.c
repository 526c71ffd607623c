#include "settings.h"

#include <string.h>
#include "nouns.h"

bool policy_is_auto(const PB(SecurityPolicy) * p)
{
	return strcmp(p->tool_approval_mode, "auto_approve") == 0;
}

bool policy_allows_public(const PB(SecurityPolicy) * p)
{
	return strcmp(p->network_access_policy, "allow_all_public") == 0;
}

bool policy_allows_modules(const PB(SecurityPolicy) * p)
{
	return strcmp(p->module_approval_mode, "auto_approve") == 0;
}

int policy_get(struct work *w, const void *message, struct err *err)
{
	PB(SecurityPolicy) * p;
	int r = store_policy_get(w->tx, false, &p);

	(void)message;
	(void)err;
	if (r == 0)
		work_answer(w, &p->base);
	return r;
}

/* What may be set: a text of two values, or a number in a range. */
struct policy_row {
	const char *key;
	const char *values[2];
	uint32_t min, max;
};
static const struct policy_row policy_rows[] = {
	{ "remote_tool_editing", { "disabled", "enabled" }, 0, 0 },
	{ "tool_approval_mode", { "require_approval", "auto_approve" }, 0, 0 },
	{ "network_access_policy", { "require_approval", "allow_all_public" }, 0, 0 },
	{ "module_approval_mode", { "require_approval", "auto_approve" }, 0, 0 },
	{ "redact_secrets_in_output", { "enabled", "disabled" }, 0, 0 },
	{ "log_retention_days", { NULL }, 1, 3650 },
	{ "mcp_rate_limit_rpm", { NULL }, 10, 10000 },
	{ "approvals_required", { NULL }, 1, 2 },
	{ "execution_log_keep", { NULL }, 1, 10000000 },
};

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
						const char *key)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(type, key);

	if (!f)
		box_bug("%s has no field %s", type->name, key);
	return f;
}

static int set_text(const struct policy_row *row, char *given, char **member, struct err *err)
{
	if (strcmp(given, row->values[0]) != 0 && strcmp(given, row->values[1]) != 0)
		return err_set_field(err, ERR_INVALID, row->key, NULL, "%s must be %s or %s",
				     row->key, row->values[0], row->values[1]);
	*member = given;
	return 0;
}

static int set_number(const struct policy_row *row, uint32_t given, uint32_t *member,
		      struct err *err)
{
	if (given < row->min || given > row->max)
		return err_set_field(err, ERR_INVALID, row->key, NULL, "%s must be from %u to %u",
				     row->key, row->min, row->max);
	*member = given;
	return 0;
}

/* Take one key of the request into the policy, when it was given; *count grows. */
static int apply_row(const struct policy_row *row, const PB(UpdateSecurityPolicyRequest) * in,
		     PB(SecurityPolicy) * p, int *count, struct err *err)
{
	const ProtobufCFieldDescriptor *from = field_of(in->base.descriptor, row->key);
	const ProtobufCFieldDescriptor *to = field_of(p->base.descriptor, row->key);
	const char *given = (const char *)in + from->offset;
	char *member = (char *)p + to->offset;
	uint32_t chosen;

	memcpy(&chosen, (const char *)in + from->quantifier_offset, sizeof(chosen));
	if (chosen == 0)
		return 0;
	(*count)++;
	if (row->values[0])
		return set_text(row, *(char *const *)(const void *)given, (char **)(void *)member,
				err);
	return set_number(row, *(const uint32_t *)(const void *)given, (uint32_t *)(void *)member,
			  err);
}

static json_t *policy_detail(const PB(SecurityPolicy) * p)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i}", "remote_tool_editing",
		p->remote_tool_editing, "tool_approval_mode", p->tool_approval_mode,
		"network_access_policy", p->network_access_policy, "module_approval_mode",
		p->module_approval_mode, "redact_secrets_in_output", p->redact_secrets_in_output,
		"log_retention_days", (int)p->log_retention_days, "mcp_rate_limit_rpm",
		(int)p->mcp_rate_limit_rpm, "approvals_required", (int)p->approvals_required,
		"execution_log_keep", (int)p->execution_log_keep);
}

static int save_policy(struct work *w, PB(SecurityPolicy) * p)
{
	int r = store_policy_save(w->tx, p);

	if (r == 0)
		r = store_grants_forget(w->tx); /* they say what is masked */
	w->object_kind = "settings";
	w->object_id = "security-policy";
	if (r != 0)
		return r;
	p->revision++;
	work_audit(w, "settings.changed", "settings", "security-policy", "ok", policy_detail(p));
	return 0;
}

int policy_apply(struct work *w, const PB(UpdateSecurityPolicyRequest) * in, PB(SecurityPolicy) * p,
		 struct err *err)
{
	int count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(policy_rows); i++)
		r = apply_row(&policy_rows[i], in, p, &count, err);
	if (r == 0 && count == 0)
		r = err_set(err, ERR_INVALID, "no settings were given");
	if (in->mcp_rate_limit_rpm_opt_case)
		p->mcp_rate_limit_is_set = true;
	return r == 0 ? save_policy(w, p) : r;
}

int policy_update(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateSecurityPolicyRequest) *in = message;
	PB(SecurityPolicy) * p;
	int r = store_policy_get(w->tx, true, &p);

	w->object_kind = "settings";
	w->object_id = "security-policy";
	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, p->revision,
					&p->base);
	if (r == 0)
		r = policy_apply(w, in, p, err);
	if (r == 0)
		work_answer(w, &p->base);
	return r;
}

/* ---- profiles ------------------------------------------------------------------------------------ */

/* They decide who reviews what.  Numbers are not theirs: a shorter retention would delete logs, and a second
 * reviewer is not taken away in passing. */
static const struct profile {
	const char *name, *remote_tool_editing, *tool_approval_mode, *network_access_policy,
		*module_approval_mode, *redact_secrets_in_output;
} profiles[] = {
	{ "strict", "disabled", "require_approval", "require_approval", "require_approval",
	  "enabled" },
	{ "balanced", "disabled", "auto_approve", "require_approval", "auto_approve", "enabled" },
	{ "permissive", "enabled", "auto_approve", "allow_all_public", "auto_approve", "enabled" },
};

static const struct profile *profile_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}

/* The five texts of a policy and of what is answered have the same names. */
#define TAKE_PROFILE(w, profile, ret)                                                              \
	do {                                                                                       \
		(ret)->remote_tool_editing =                                                       \
			arena_str(&(w)->arena, (profile)->remote_tool_editing);                    \
		(ret)->tool_approval_mode = arena_str(&(w)->arena, (profile)->tool_approval_mode); \
		(ret)->network_access_policy =                                                     \
			arena_str(&(w)->arena, (profile)->network_access_policy);                  \
		(ret)->module_approval_mode =                                                      \
			arena_str(&(w)->arena, (profile)->module_approval_mode);                   \
		(ret)->redact_secrets_in_output =                                                  \
			arena_str(&(w)->arena, (profile)->redact_secrets_in_output);               \
	} while (0)

int policy_apply_profile(struct work *w, const void *message, struct err *err)
{
	const PB(ApplySecurityProfileRequest) *in = message;
	PB(ApplySecurityProfileReply) reply = MCPBOX__V1__APPLY_SECURITY_PROFILE_REPLY__INIT;
	PB(ProfileSettings) applied = MCPBOX__V1__PROFILE_SETTINGS__INIT;
	const struct profile *profile = profile_of(in->profile);
	PB(SecurityPolicy) * p;
	int r;

	if (!profile)
		return err_set_field(err, ERR_INVALID, "profile", NULL,
				     "profile must be strict, balanced or permissive");
	r = store_policy_get(w->tx, true, &p);
	if (r != 0)
		return r;
	TAKE_PROFILE(w, profile, p);
	TAKE_PROFILE(w, profile, &applied);
	r = save_policy(w, p);
	if (r != 0)
		return r;
	reply.profile = in->profile;
	reply.applied_settings = &applied;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- all settings --------------------------------------------------------------------------------- */

static const struct {
	const char *key, *text;
} descriptions[] = {
	{ "approvals_required", "people who must approve a tool" },
	{ "execution_log_keep", "newest calls of each tool that are kept" },
	{ "log_retention_days", "days that calls, outbound requests and activity are kept" },
	{ "mcp_rate_limit_rpm", "MCP requests per caller and minute" },
	{ "module_approval_mode", "whether modules need a review" },
	{ "network_access_policy", "whether public hosts need a review" },
	{ "onboarding_completed", "the first steps were done" },
	{ "paused", "no tool is called" },
	{ "redact_secrets_in_output", "values of secrets are hidden in outputs and logs" },
	{ "remote_tool_editing", "whether remote callers may change servers and tools" },
	{ "tool_approval_mode", "whether tools need a review" },
};

static void describe(PB(Setting) * s)
{
	for (size_t i = 0; i < ARRAY_LEN(descriptions); i++)
		if (strcmp(descriptions[i].key, s->key) == 0) {
			s->description = pb_text(descriptions[i].text);
			s->description_opt_case = MCPBOX__V1__SETTING__DESCRIPTION_OPT_DESCRIPTION;
		}
}

int setting_list(struct work *w, const void *message, struct err *err)
{
	PB(ListSettingsReply) reply = MCPBOX__V1__LIST_SETTINGS_REPLY__INIT;
	int r = store_setting_list(w->tx, &reply.settings, &reply.n_settings);

	(void)message;
	(void)err;
	for (size_t i = 0; r == 0 && i < reply.n_settings; i++)
		describe(reply.settings[i]);
	if (r == 0)
		work_answer(w, &reply.base);
	return r;
}

int setting_complete_onboarding(struct work *w, const void *message, struct err *err)
{
	PB(CompleteOnboardingReply) reply = MCPBOX__V1__COMPLETE_ONBOARDING_REPLY__INIT;
	int r = store_setting_put(w->tx, "onboarding_completed", "true");

	(void)message;
	(void)err;
	w->object_kind = "settings";
	w->object_id = "onboarding_completed";
	if (r != 0)
		return r;
	work_audit(w, "settings.changed", w->object_kind, w->object_id, "ok",
		   json_pack("{s:b}", "onboarding_completed", 1));
	reply.onboarding_completed = true;
	work_answer(w, &reply.base);
	return 0;
}
