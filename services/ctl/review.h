/*
 * All that a reviewer should see of a tool at once: what it is, the hosts that it asked for, what
 * changed since the version that runs, the code.
 */
#pragma once

#include "buf.h"
#include "ctl.h"
#include "json.h"

struct review {
	json_t *tool;
	json_t *server;
	json_t *requests; /* hosts that this tool asked for */
	json_t *secrets;  /* of its server */
	json_t *live;     /* the live version, when it is not the head; else NULL */
	json_t *changes;  /* differences of the head to it */
	struct buf diff;  /* of the code, unified */
};

/* Asks the admin service.  ret is for review_done() also after a failure. */
int review_load(const struct ctl *ctl, const char *tool_id, struct review *ret,
		struct err *err) BOX_MUST_CHECK;
void review_done(struct review *v);
/* x: what the person called it by. */
void review_print(const struct review *v, const char *x);
void review_print_json(const struct review *v);

/* ---- requests for hosts and modules, alone or as part of a tool's review ---- */

/* "api.example.com:8443+private", "numpy"; heap. */
char *review_request_label(const json_t *request) BOX_MUST_CHECK;
void review_print_requests(const json_t *requests);
void review_print_request(const json_t *request);
