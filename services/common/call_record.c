#include "call_record.h"

#include <string.h>
#include "err.h"
#include "json.h"
#include "redact.h"

enum { ARGS_MAX = 16384, RESULT_MAX = 65536, REFUSED_MAX = 16 };

void call_record_arguments(PB(CallRecord) * r, const void *arguments, size_t len, struct buf *kept)
{
	redact_json(kept, arguments, len, ARGS_MAX);
	r->input_args_json = pb_bytes(kept->data, kept->len);
}

/* Name of an outcome in the record: "ok", "tool_error", ... */
static void outcome_name(PB(Done__Outcome) outcome, char ret[CALL_OUTCOME_SIZE])
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
		&mcpbox__v1__done__outcome__descriptor, (int)outcome);
	const char *name = v ? v->name + strlen("OUTCOME_") : "internal";
	size_t i = 0;

	for (; name[i] && i < CALL_OUTCOME_SIZE - 1; i++)
		ret[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	ret[i] = '\0';
}

void call_record_done(PB(CallRecord) * r, const PB(Done) * done, struct buf *kept,
		      char outcome[CALL_OUTCOME_SIZE])
{
	ProtobufCBinaryData value =
		done->structured_json.len > 0 ? done->structured_json : done->content_json;

	outcome_name(done->outcome, outcome);
	r->outcome = outcome;
	r->error = done->error_text;
	if (value.len > 0 && json_scan(value.data, value.len, NULL) == 0)
		redact_json(kept, (const char *)value.data, value.len, RESULT_MAX);
	r->result_json = pb_bytes(kept->data, kept->len);
	r->stdout = done->stdout;
	r->duration_ms = done->duration_ms;
	r->cpu_ms = done->cpu_ms;
	r->memory_kb = done->memory_kb;
	r->excess = done->excess;
	r->refused = done->refused;
	r->n_refused = done->n_refused < REFUSED_MAX ? done->n_refused : REFUSED_MAX;
}

const char *call_failure_outcome(int code)
{
	if (code == -ERR_UNKNOWN_OUTCOME)
		return "executor_lost";
	return code == -ERR_CANCELLED ? "cancelled" : "not_started";
}
