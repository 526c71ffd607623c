/*
 * One call of a user's tool, from the permit to the record of its end:
 * permit -> call.started in the spool -> an executor -> Execute, Wait ... -> call.ended -> the
 * caller's result.
 *
 * At most once: after Execute was sent, nothing but Wait for the same call follows, unless the tool
 * is marked read-only or idempotent.  A call answers by the tool's timeout + 5 s, queue included.
 * calls_run blocks its thread (an HTTP worker); one own thread sends cancellations and keeps
 * waiting clients' connections warm.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "answer.h"
#include "attrs.h"
#include "bus.h"
#include "catalog.h"
#include "era.h"
#include "err.h"
#include "executors.h"
#include "session.h"
#include "spool.h"
#include "timing.h"

#define ARGUMENTS_MAX (1024u * 1024)
#define CALL_GRACE_MS 5000

struct calls;

struct calls_config {
	struct bus *bus;
	struct spool *spool;
	struct executors *executors;
	uint64_t stale_max_ms;
	uint32_t max_running; /* more are refused at once */
};
struct calls *calls_new(const struct calls_config *config);
int calls_start(struct calls *c, struct err *err) BOX_MUST_CHECK;
/* Refuse new calls, let those that run end, at most timeout_ms; then cancel the rest. */
void calls_drain(struct calls *c, uint32_t timeout_ms);
void calls_stop(struct calls *c);

/* All borrowed until calls_run returns. */
struct call_request {
	const struct catalog_tool *tool;
	struct json_span arguments;      /* an object, or at NULL: none */
	struct json_span progress_token; /* at NULL: none */
	enum log_severity log_level;
	struct answer *answer;         /* where notifications go; NULL: nowhere (batches) */
	bool ends_with_client;         /* a client that leaves cancels (modern) */
	const struct session *session; /* legacy: for notifications/cancelled; else NULL */
	struct json_span request_id;
	const char *remote;
	const char *executed_by; /* for the record: a user's name, or the address */
	const char *traceparent; /* or NULL */
	bool is_test;
	struct call_times *times; /* zeroed; filled when the call was run */
};
/*
 * 0: *ret is an ExecuteReply with done (msg_free).  Else -code, with a text for the caller:
 * ERR_CANCELLED (nobody waits for an answer), ERR_UNKNOWN_OUTCOME (it may have run), others: not
 * started.
 */
int calls_run(struct calls *c, const struct call_request *rq, ProtobufCMessage **ret,
	      struct err *err) BOX_MUST_CHECK;

/* notifications/cancelled: the session's call with this request id, if it runs. */
void calls_cancel_request(struct calls *c, const struct session *session,
			  struct json_span request_id);
/* End running calls whose permit this Status revokes.  Quick; the news thread. */
void calls_end_revoked(struct calls *c, const PB(Status) * status);
size_t calls_running(struct calls *c);
