/*
 * What a running tool says on the way -> notifications for its caller.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "buf.h"
#include "era.h"
#include "json.h"
#include "msg.h"

/* What the caller wants to hear, and what it has heard. */
struct event_filter {
	struct json_span progress_token; /* at NULL: no progress */
	enum log_severity level;         /* lowest that is sent; SEVERITY_NONE: no log messages */
	double last_progress;
	bool had_progress;
	uint64_t last_progress_ms;
};

/*
 * Append a JSON-RPC notification for the event; false when there is none to send: not asked for,
 * below the level, progress that does not increase or follows the last one within EVENT_GAP_MS,
 * malformed.
 */
#define EVENT_GAP_MS 10
bool events_to_notification(struct event_filter *f, const PB(Event) * event, uint64_t now_ms,
			    struct buf *ret);
