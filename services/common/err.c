#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -32603 with a code inside `data` is what MCP clients expect of a server's own failures. */
static const struct err_row rows[ERR_CODE_COUNT] = {
	[ERR_OK] = { "ok", 200, 0, "done" },
	[ERR_INVALID] = { "invalid", 422, -32602, "the request has another shape or a bad value" },
	[ERR_NOT_FOUND] = { "not_found", 404, -32602, "there is no such thing" },
	[ERR_UNAUTHENTICATED] = { "unauthenticated", 401, -32600, "no or bad credentials" },
	[ERR_DENIED] = { "denied", 403, -32600, "known, but not allowed" },
	[ERR_STATE] = { "state", 400, -32600, "not possible in the present state" },
	[ERR_EXISTS] = { "exists", 409, -32602, "there is one already" },
	[ERR_STALE] = { "stale", 409, -32600, "it was changed in the meantime" },
	[ERR_TOO_LARGE] = { "too_large", 413, -32600, "larger than allowed" },
	[ERR_RATE_LIMITED] = { "rate_limited", 429, -32000, "too many requests" },
	[ERR_BUSY] = { "busy", 503, -32000, "full; nothing was started" },
	[ERR_UNAVAILABLE] = { "unavailable", 503, -32603, "a needed part does not answer" },
	[ERR_DEADLINE] = { "deadline", 504, -32603, "the time is over" },
	[ERR_CANCELLED] = { "cancelled", 499, -32000, "cancelled by the caller" },
	[ERR_UNKNOWN_OUTCOME] = { "unknown_outcome", 504, -32603, "it may or may not have run" },
	[ERR_STALE_PEER] = { "stale_peer", 503, -32603, "the peer was started anew" },
	[ERR_UNSUPPORTED] = { "unsupported", 501, -32601, "not known here" },
	[ERR_INTERNAL] = { "internal", 500, -32603, "our fault; details are in the log" },
};

const struct err_row *err_row(enum err_code code)
{
	/* Codes arrive from the wire. */
	if ((unsigned)code >= ERR_CODE_COUNT)
		code = ERR_INTERNAL;
	return &rows[code];
}

static void BOX_PRINTF(3, 0)
	fill(struct err *err, enum err_code code, const char *fmt, va_list args)
{
	err_done(err);
	err->code = code;
	err->field[0] = '\0';
	err->hint[0] = '\0';
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
}

int(err_set)(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		fill(err, code, fmt, args);
		va_end(args);
	}
	return -(int)code;
}

int(err_set_field)(struct err *err, enum err_code code, const char *field, const char *hint,
		   const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		fill(err, code, fmt, args);
		va_end(args);
		(void)snprintf(err->field, sizeof(err->field), "%s", field ? field : "");
		(void)snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
	}
	return -(int)code;
}

void err_done(struct err *err)
{
	free(err->current_json);
	err->current_json = NULL;
}

void box_bug_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20)
			*c = '\'';
	/* Not log_event: it allocates, and memory may be what has run out. */
	(void)dprintf(
		STDERR_FILENO,
		"{\"level\":\"error\",\"event\":\"process.bug_hit\",\"file\":\"%s\",\"line\":%d,"
		"\"text\":\"%s\"}\n",
		file, line, text);
	abort();
}
