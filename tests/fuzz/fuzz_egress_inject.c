/* A request of any kind against three secrets: refused, or within every ceiling, and no value where it may not be. */
#include <string.h>
#include "crypto.h"
#include "err.h"
#include "inject.h"

#define P_ONE    "mcpbox-secret-00000000000000000000000000000001"
#define P_TWO    "mcpbox-secret-00000000000000000000000000000002"
#define P_THREE  "mcpbox-secret-00000000000000000000000000000003"
#define BODY_MAX 65536

static const char *const placeholders[] = { P_ONE, P_TWO, P_THREE };
static const char *const values[] = { "HEADER\"VALUE\\1", "BODY\r\nVALUE/2", "NOWHERE-VALUE-3" };
static const unsigned allowed[] = { PLACE_HEADER, PLACE_BODY | PLACE_QUERY, 15 };

static void check(const struct injected *out)
{
	for (size_t i = 0; i < out->headers.count; i++) {
		box_assert(!strpbrk(out->headers.items[i].value, "\r\n"));
		box_assert(!strstr(out->headers.items[i].value, values[1]));
	}
	box_assert(out->headers.count <= HEADERS_REQUEST_COUNT);
	box_assert(!strpbrk(out->path, "\r\n"));
	box_assert(out->body.len <= BODY_MAX && !out->used[2]);
	box_assert(out->is_changed == (out->used[0] || out->used[1]));
}

static void judge(const struct forward_request *rq, const uint8_t *body, size_t len)
{
	struct inject_secret secrets[3] = { 0 };
	struct secret *value[3];
	struct injected out;
	struct err err = { 0 };

	for (size_t i = 0; i < 3; i++) {
		value[i] = secret_new(values[i], strlen(values[i]));
		secrets[i].key = "KEY";
		secrets[i].places = allowed[i];
		secrets[i].is_bound = i < 2;
		secrets[i].value = i < 2 ? value[i] : NULL;
		memcpy(secrets[i].placeholders[0], placeholders[i], PLACEHOLDER_LEN + 1);
		memcpy(secrets[i].placeholders[1], placeholders[i], PLACEHOLDER_LEN + 1);
	}
	if (inject(secrets, 3, rq, body, len, BODY_MAX, &out, &err) == 0) {
		check(&out);
		box_assert(!out.is_changed || inject_is_needed(rq, body, len));
	} else {
		box_assert(err.text[0]);
	}
	err_done(&err);
	injected_done(&out);
	for (size_t i = 0; i < 3; i++)
		secret_free(value[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *body = memchr(data, '\n', len);
	size_t head = body ? (size_t)(body - data) : len;
	struct forward_request rq;

	if (crypto_start() == 0 && forward_parse(data, head, &rq, NULL) == 0) {
		if (!rq.is_refused)
			judge(&rq, body ? body + 1 : data, body ? len - head - 1 : 0);
	}
	forward_done(&rq);
	return 0;
}
