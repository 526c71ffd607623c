#include "inspect.h"

#include <string.h>
#include "log.h"

enum {
	INSPECT_MS = 8000, /* it may wait its turn at the executor, which gives it 5 s then */
	INSPECT_TRIES = 3,
	INSPECT_SHARE = 3, /* of one author at once: fewer than an executor checks at once */
};

/* One that runs; on the stack of its thread. */
struct inspecting {
	const char *who;
	struct inspecting *next;
};

/* Their account or token; who has none is told apart by where the request came from. */
static const char *who_asks(const struct work *w)
{
	return w->actor->author[0] ? w->actor->author : w->actor->remote;
}

static int enter(struct work *w, struct inspecting *it, struct err *err)
{
	struct registry *reg = w->reg;
	uint32_t same = 0;

	it->who = who_asks(w);
	(void)pthread_mutex_lock(&reg->inspect_lock);
	for (const struct inspecting *other = reg->inspecting; other; other = other->next)
		same += strcmp(other->who, it->who) == 0;
	if (same < INSPECT_SHARE) {
		it->next = reg->inspecting;
		reg->inspecting = it;
	}
	(void)pthread_mutex_unlock(&reg->inspect_lock);
	return same < INSPECT_SHARE
		       ? 0
		       : err_set_field(err, ERR_BUSY, NULL, "wait until one of them is done",
				       "%u pieces of your code are being checked already", same);
}

static void leave(struct registry *reg, const struct inspecting *it)
{
	struct inspecting **at = &reg->inspecting;

	(void)pthread_mutex_lock(&reg->inspect_lock);
	while (*at != it)
		at = &(*at)->next;
	*at = it->next;
	(void)pthread_mutex_unlock(&reg->inspect_lock);
}

static int ask(struct work *w, const PB(Instance) * executor, const struct inspect_what *what,
	       struct err *err)
{
	PB(InspectRequest) question = MCPBOX__V1__INSPECT_REQUEST__INIT;
	struct bus_target to = { .role = ROLE_EXECUTOR, .addr = executor->work_addr };
	struct bus_call_opts opts = { .timeout_ms = INSPECT_MS, .repeatable = true };
	ProtobufCMessage *answer = NULL;
	size_t len;
	uint8_t *packed;
	int r;

	question.python_code = what->code;
	question.input_schema_json = what->input_schema;
	question.output_schema_json = what->output_schema;
	memcpy(to.boot_id, executor->boot_id.data, BOOT_ID_SIZE);
	r = bus_call(w->reg->bus, &to, MSG_INSPECT, &question.base, &opts, &answer, err);
	if (r != 0)
		return r;
	/* Into the arena, so that it lives as long as the request. */
	len = protobuf_c_message_get_packed_size(answer);
	packed = arena_alloc(&w->arena, len + 1);
	(void)protobuf_c_message_pack(answer, packed);
	msg_free(answer);
	w->inspected = arena_unpack(&w->arena, &mcpbox__v1__inspect_reply__descriptor, packed, len);
	return 0;
}

/* Another executor may do what one could not; a refusal of the code itself is final. */
static bool is_final(int r)
{
	return r == 0 || r == -ERR_INVALID || r == -ERR_TOO_LARGE;
}

static int ask_any(struct work *w, const struct inspect_what *what, struct err *err)
{
	size_t count;
	PB(Instance) **all = lease_list(w->reg->leases, &w->arena, &count);
	uint32_t tried = 0;
	bool is_full = false;
	int r = -ERR_UNAVAILABLE;

	for (size_t i = 0; i < count && tried < INSPECT_TRIES; i++) {
		if (all[i]->role != MCPBOX__V1__ROLE__ROLE_EXECUTOR || all[i]->draining)
			continue;
		tried++;
		err_done(err);
		*err = (struct err){ 0 };
		r = ask(w, all[i], what, err);
		if (is_final(r))
			return r;
		is_full |= r == -ERR_BUSY;
		log_warn("inspect.failed", F_STR("executor", all[i]->instance), F_ERR(err));
	}
	err_done(err);
	*err = (struct err){ 0 };
	if (is_full)
		return err_set_field(err, ERR_BUSY, NULL, "try again in a moment",
				     "too much code is being checked at once");
	return err_set_field(err, ERR_UNAVAILABLE, NULL, "try again in a moment",
			     tried ? "no executor answers to check the code"
				   : "no executor is running to check the code");
}

int inspect_code(struct work *w, const struct inspect_what *what, struct err *err)
{
	struct inspecting it;
	int r = enter(w, &it, err);

	if (r < 0)
		return r;
	r = ask_any(w, what, err);
	leave(w->reg, &it);
	return r;
}

static int require_main(struct work *w, struct err *err)
{
	const PB(InspectReply) *seen = w->inspected;

	if (seen->error.len) /* names its line */
		return err_set_field(err, ERR_INVALID, "python_code", NULL, "%s",
				     work_text(w, seen->error));
	if (!seen->valid)
		return err_set_field(err, ERR_INVALID, "python_code", NULL,
				     "the code is not valid Python");
	if (!seen->has_main)
		return err_set_field(err, ERR_INVALID, "python_code", "define async def main(...)",
				     "the code defines no function main");
	return 0;
}

static int require_schema(struct work *w, const char *field, ProtobufCBinaryData error,
			  struct err *err)
{
	if (error.len == 0)
		return 0;
	return err_set_field(err, ERR_INVALID, field, "see JSON Schema 2020-12",
			     "the %s cannot be used: %s", field, work_text(w, error));
}

int inspect_require_sound(struct work *w, const struct inspect_what *what, struct err *err)
{
	int r = inspect_code(w, what, err);

	if (r == 0 && what->code.len)
		r = require_main(w, err);
	if (r == 0)
		r = require_schema(w, "input_schema", w->inspected->input_schema_error, err);
	return r == 0 ? require_schema(w, "output_schema", w->inspected->output_schema_error, err)
		      : r;
}
