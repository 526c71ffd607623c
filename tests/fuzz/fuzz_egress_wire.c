/* Framing: the first byte is the step, the rest the stream; memory stays within what arrived. */
#include <string.h>
#include "err.h"
#include "wire.h"

#define BODY_MAX 100000u

/* Stands for the length that a head would name. */
static size_t body_length(const struct wire *w)
{
	return w->head.len > 1 ? w->head.data[0] * 300u : 0;
}

static bool take(struct wire *w, enum wire_event e)
{
	if (e == WIRE_HEAD) {
		box_assert(w->head.len > 0 && w->head.len <= WIRE_HEAD_MAX);
		e = wire_expect_body(w, body_length(w));
	}
	if (e == WIRE_BODY) {
		box_assert(w->body.len == body_length(w));
		wire_next(w);
	}
	return e != WIRE_BAD;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t step = len > 0 ? data[0] + 1u : 1;
	size_t at = 1;
	struct wire w;

	wire_init(&w, WIRE_HEAD_MAX, BODY_MAX);
	while (at < len) {
		size_t room;
		void *space = wire_space(&w, &room);
		size_t n = room < step ? room : step;

		box_assert(space && room > 0);
		if (n > len - at)
			n = len - at;
		memcpy(space, data + at, n);
		at += n;
		if (!take(&w, wire_advance(&w, n)))
			break;
		box_assert(w.head.cap <= len + 3 * 65536u && w.body.cap <= 2 * len + 3 * 65536u);
	}
	wire_done(&w);
	return 0;
}
