#include "upstream.h"

#include <stdio.h>
#include "cleanup.h"

enum {
	PATIENCE_MS = 5000,
	PING_TIMEOUT_MS = 300,
	CANCEL_TIMEOUT_MS = 500,
	STATUS_TIMEOUT_MS = 1000
};

static bool is_outage(enum err_code code)
{
	return code == ERR_UNAVAILABLE || code == ERR_DEADLINE || code == ERR_UNKNOWN_OUTCOME ||
	       code == ERR_BUSY;
}

int upstream_ask_registry(struct bus *b, uint16_t msg, const ProtobufCMessage *request,
			  const struct caller *caller, uint32_t timeout_ms, ProtobufCMessage **ret,
			  struct err *err)
{
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	struct bus_call_opts opts = { .timeout_ms = timeout_ms,
				      .patience_ms = PATIENCE_MS,
				      .repeatable = true };
	struct err why = { 0 };
	int r;

	if (caller) {
		caller_principal(caller, &principal);
		opts.principal = &principal;
	}
	r = bus_ask_registry(b, msg, request, &opts, ret, &why);
	if (r < 0 && is_outage((enum err_code) - r))
		r = err_set(err, ERR_UNAVAILABLE, "registry unavailable: %s", why.text);
	else if (r < 0)
		r = err_set_field(err, (enum err_code) - r, why.field, why.hint, "%s", why.text);
	err_done(&why);
	return r;
}

int upstream_ping(void *arg, const struct bus_target *control, PB(PingReply) * ret)
{
	const PB(PingRequest) request = MCPBOX__V1__PING_REQUEST__INIT;
	const struct bus_call_opts opts = { .timeout_ms = PING_TIMEOUT_MS };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r = bus_call(arg, control, MSG_PING, &request.base, &opts, &reply, NULL);

	if (r == 0)
		*ret = *(const PB(PingReply) *)reply;
	return r;
}

int upstream_cancel(struct bus *b, const struct bus_target *control, const char *call_id,
		    const char *reason)
{
	PB(CancelRequest) request = MCPBOX__V1__CANCEL_REQUEST__INIT;
	const struct bus_call_opts opts = { .timeout_ms = CANCEL_TIMEOUT_MS, .repeatable = true };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r;

	request.call_id = (char *)(uintptr_t)call_id;
	request.reason = (char *)(uintptr_t)reason;
	r = bus_call(b, control, MSG_CANCEL, &request.base, &opts, &reply, NULL);
	if (r == 0 && !((const PB(CancelReply) *)reply)->known)
		return -ERR_NOT_FOUND;
	return r;
}

int upstream_state_seq(struct bus *b, uint64_t *ret)
{
	const PB(GetStatusRequest) request = MCPBOX__V1__GET_STATUS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *status = NULL;
	const PB(SignedStatus) * envelope;
	int r = upstream_ask_registry(b, MSG_GET_STATUS, &request.base, NULL, STATUS_TIMEOUT_MS,
				      &reply, NULL);

	if (r < 0)
		return r;
	envelope = (const PB(SignedStatus) *)reply;
	r = msg_unpack(&mcpbox__v1__status__descriptor, envelope->status.data, envelope->status.len,
		       &status);
	if (r == 0)
		*ret = ((const PB(Status) *)status)->state_seq;
	return r;
}
