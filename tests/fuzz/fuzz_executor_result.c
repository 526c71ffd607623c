/* The answer frame of a sandbox: whatever came in, what goes on is valid JSON under its ceilings. */
#include <stdlib.h>
#include "json.h"
#include "result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must_be_json(const struct buf *b)
{
	if (b->len > 0 && json_scan(b->data, b->len, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct capture output = CAPTURE_INIT;
	struct job_limits limits = { 0 };
	struct run_facts facts = { .has_frame = true,
				   .frame = { data, len },
				   .frame_size = len,
				   .limits = &limits,
				   .output = &output };
	struct result r = RESULT_INIT;
	PB(InspectReply) *inspection = NULL;

	job_limits_complete(&limits);
	capture_add(&output, data, len);
	result_judge(&facts, &r);
	if (r.outcome == MCPBOX__V1__DONE__OUTCOME__OUTCOME_UNSPECIFIED || r.content.len == 0)
		abort();
	must_be_json(&r.content);
	must_be_json(&r.structured);
	must_be_json(&r.error_detail);
	if (result_judge_inspection(&facts, &inspection, NULL) == 0)
		msg_free(&inspection->base);
	result_done(&r);
	capture_done(&output);
	return 0;
}
