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
		"{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "remote_tool_editing",
		p->remote_tool_editing, "tool_approval_mode", p->tool_approval_mode,
		"network_access_policy", p->network_access_policy, "module_approval_mode",
		p->module_approval_mode, "redact_secrets_in_output", p->redact_secrets_in_output,
		"log_retention_days", (int)p->log_retention_days, "mcp_rate_limit_rpm",
		(int)p->mcp_rate_limit_rpm, "approvals_required", (int)p->approvals_required);
}

int policy_update(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateSecurityPolicyRequest) *in = message;
	PB(SecurityPolicy) * p;
	int count = 0;
	int r = store_policy_get(w->tx, true, &p);

	w->object_kind = "settings";
	w->object_id = "security-policy";
	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, p->revision,
					&p->base);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(policy_rows); i++)
		r = apply_row(&policy_rows[i], in, p, &count, err);
	if (r == 0 && count == 0)
		r = err_set(err, ERR_INVALID, "no settings were given");
	if (r == 0)
		r = store_policy_save(w->tx, p);
	if (r != 0)
		return r;
	p->revision++;
	work_audit(w, "settings.changed", "settings", "security-policy", "ok", policy_detail(p));
	work_answer(w, &p->base);
	return 0;
}
