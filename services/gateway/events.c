#include "events.h"

#include <stdlib.h>
#include <string.h>
#include "mem.h"

static bool is_number(struct json_span s)
{
	return s.at && s.len > 0 && s.len < 64 &&
	       (s.at[0] == '-' || (s.at[0] >= '0' && s.at[0] <= '9'));
}

static double number(struct json_span s)
{
	char text[64];

	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	return strtod(text, NULL);
}

static void add_member(struct buf *b, const char *name, struct json_span value)
{
	buf_printf(b, ",\"%s\":", name);
	json_add_compact(b, value.at, value.len);
}

static bool add_progress(struct event_filter *f, ProtobufCBinaryData json, uint64_t now_ms,
			 struct buf *ret)
{
	static const char *const names[] = { "progress", "total", "message" };
	struct json_span m[ARRAY_LEN(names)];
	double value;

	if (!f->progress_token.at ||
	    json_scan_members(json.data, json.len, names, ARRAY_LEN(names), m, NULL) < 0 ||
	    !is_number(m[0]))
		return false;
	value = number(m[0]);
	if (f->had_progress &&
	    (value <= f->last_progress || now_ms - f->last_progress_ms < EVENT_GAP_MS))
		return false;
	f->had_progress = true;
	f->last_progress = value;
	f->last_progress_ms = now_ms;
	buf_add_str(ret, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
			 "progress\",\"params\":{\"progressToken\":");
	json_add_compact(ret, f->progress_token.at, f->progress_token.len);
	add_member(ret, "progress", m[0]);
	if (is_number(m[1]))
		add_member(ret, "total", m[1]);
	if (m[2].at && m[2].at[0] == '"')
		add_member(ret, "message", m[2]);
	buf_add_str(ret, "}}");
	return true;
}

static bool add_log(const struct event_filter *f, ProtobufCBinaryData json, struct buf *ret)
{
	static const char *const names[] = { "level", "data", "logger" };
	struct json_span m[ARRAY_LEN(names)];
	enum log_severity level;

	if (f->level == SEVERITY_NONE ||
	    json_scan_members(json.data, json.len, names, ARRAY_LEN(names), m, NULL) < 0 ||
	    !m[1].at)
		return false;
	level = severity_parse(m[0]);
	if (level == SEVERITY_NONE || level < f->level)
		return false;
	buf_printf(ret,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		   "message\",\"params\":{\"level\":\"%s\"",
		   severity_text(level));
	if (m[2].at && m[2].at[0] == '"')
		add_member(ret, "logger", m[2]);
	add_member(ret, "data", m[1]);
	buf_add_str(ret, "}}");
	return true;
}

bool events_to_notification(struct event_filter *f, const PB(Event) * event, uint64_t now_ms,
			    struct buf *ret)
{
	if (event->progress_json.len > 0)
		return add_progress(f, event->progress_json, now_ms, ret);
	return event->log_json.len > 0 && add_log(f, event->log_json, ret);
}
