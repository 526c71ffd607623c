/*
 * What the gateway asks of others over the bus.  Every question to the registry may be repeated:
 * reads change nothing, and a change carries a request id under which the registry remembers its
 * answer.
 */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "callers.h"
#include "err.h"

/*
 * Ask the registry on behalf of a caller, or (NULL) of the gateway itself.  An outage comes back as
 * ERR_UNAVAILABLE with a text that begins "registry unavailable".
 */
int upstream_ask_registry(struct bus *b, uint16_t msg, const ProtobufCMessage *request,
			  const struct caller *caller, uint32_t timeout_ms, ProtobufCMessage **ret,
			  struct err *err) BOX_MUST_CHECK;

/* executors_ping_fn over the bus; arg is the struct bus. */
int upstream_ping(void *arg, const struct bus_target *control, PB(PingReply) * ret);
/* Stop a call; -ERR_NOT_FOUND when the executor does not know it (yet). */
int upstream_cancel(struct bus *b, const struct bus_target *control, const char *call_id,
		    const char *reason) BOX_MUST_CHECK;
/* state_seq of the registry right now; for waiting until the own map has it. */
int upstream_state_seq(struct bus *b, uint64_t *ret) BOX_MUST_CHECK;
