/*
 * The plain frames of forward mode: JSON heads <-> structures (shapes: proto/egress.proto).  Pure,
 * fuzzed.
 */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"
#include "headers.h"
#include "target.h"

/* Kinds of error answers; the names are the wire's. */
enum forward_kind {
	FORWARD_DENIED,
	FORWARD_DNS,
	FORWARD_CONNECT,
	FORWARD_TLS,
	FORWARD_TIMEOUT,
	FORWARD_TOO_LARGE,
	FORWARD_PROTOCOL,
	FORWARD_UNAVAILABLE,
	FORWARD_KIND_COUNT
};
const char *forward_kind_name(enum forward_kind kind); /* "denied" */

struct forward_request {
	char *method;
	struct target target;
	struct headers headers; /* without hop-by-hop fields */
	char *accept_encoding;  /* the tool's own wish, or NULL */
	uint32_t timeout_ms;    /* 0: none given */
	uint64_t body_len;
	/* The frame was well-formed, but what it asks for is not: told to the tool, the stream goes
	 * on. */
	bool is_refused;
	enum forward_kind refused_as;
	const char *refused_rule;
	struct err refusal;
};

/*
 * JSON -> request.  -ERR_INVALID only where the stream cannot go on because the end of the request
 * is not known: no object, wrong types, unknown keys, no body_len.  ret needs forward_done() in
 * every case.
 */
int forward_parse(const void *json, size_t len, struct forward_request *ret,
		  struct err *err) BOX_MUST_CHECK;
void forward_done(struct forward_request *rq);

struct forward_error {
	enum forward_kind kind;
	const char *text; /* borrowed, all of them; UTF-8 */
	const char *host; /* or NULL */
	uint32_t port;
	const char *rule; /* or NULL */
	const char *hint; /* or NULL */
};
struct forward_answer {
	unsigned status;
	const char *reason;
	const char *http_version; /* "HTTP/1.1", "HTTP/2" */
	const struct headers *headers;
	const char *url;
	uint64_t body_len;
};
/* Length and head, appended.  -ERR_TOO_LARGE when the head does not fit a frame (nothing appended).
 */
int forward_answer_frame(const struct forward_answer *a, struct buf *ret) BOX_MUST_CHECK;
void forward_error_frame(const struct forward_error *e, struct buf *ret);
