/* Heads of forward mode: refused, or within every ceiling. */
#include <string.h>
#include "err.h"
#include "forward.h"
#include "policy.h"

static void check(const struct forward_request *rq)
{
	box_assert(rq->headers.count <= HEADERS_REQUEST_COUNT);
	if (rq->is_refused)
		return;
	box_assert(policy_method(rq->method) != 0 && rq->target.path);
	for (size_t i = 0; i < rq->headers.count; i++) {
		box_assert(headers_is_token(rq->headers.items[i].name));
		box_assert(!strpbrk(rq->headers.items[i].value, "\r\n"));
		box_assert(strcasecmp(rq->headers.items[i].name, "Host") != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct forward_request rq;

	if (forward_parse(data, len, &rq, NULL) == 0)
		check(&rq);
	forward_done(&rq);
	return 0;
}
