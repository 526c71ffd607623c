/*
 * One HTTP request to one origin.  fetch.c is the only user of libcurl.
 *
 * Connections are kept and shared inside a pool, and a pool belongs to one server and one grant
 * (its hash): another server, or the same one after its hosts changed, never meets an open
 * connection.  Where a connection goes is asked of may_dial() at two places: before a socket is
 * opened and, since a pooled one is not opened again, before each request is sent.
 *
 * Loop thread only; fetcher_new before the loop runs, fetcher_free after it stopped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "budget.h"
#include "buf.h"
#include "crypto.h"
#include "err.h"
#include "forward.h"
#include "headers.h"
#include "loop.h"
#include "mask.h"
#include "resolve.h"
#include "target.h"

struct fetcher;
struct fetch;

/* ca_file: trust anchors beside the system's, or NULL.  -ERR_INVALID when it cannot be read. */
int fetcher_new(struct loop *l, const char *ca_file, struct fetcher **ret,
		struct err *err) BOX_MUST_CHECK;
void fetcher_free(struct fetcher *f);

struct fetch_request { /* all borrowed until done or cancel */
	const char *server_id;
	const uint8_t *grant_hash; /* CRYPTO_HASH_SIZE */
	const struct forward_request *forward;
	const void *body;
	size_t body_len;
	const struct resolved *resolved;
	uint32_t timeout_ms;
	uint64_t max_response; /* decoded bytes */
	const struct mask
		*mask; /* what the answer may not hold, in headers and body; NULL: nothing */
	struct budget *budget; /* the answer's body counts while the fetch holds it */
	/* May this address be dialled for this request?  Port as dialled. */
	bool (*may_dial)(void *arg, const struct address *a, uint16_t port);
	void *arg; /* of may_dial and done */
};

struct fetch_result {
	bool is_ok;
	enum forward_kind kind; /* not ok */
	char text[256];
	unsigned status;
	char reason[128];
	const char *http_version;
	struct headers headers;       /* without hop-by-hop fields; the fetch's */
	struct buf body;              /* the callee may take the memory (buf_take) */
	uint64_t bytes_out, bytes_in; /* on the wire, headers included */
	uint32_t ttfb_ms, total_ms;
	char address[ADDRESS_TEXT_SIZE]; /* dialled, or "" */
};
/* Called once, never from within fetch_start; the result is freed after. */
typedef void fetch_done(void *arg, struct fetch_result *result);

struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *rq, fetch_done *done);
void fetch_cancel(struct fetch *t);
