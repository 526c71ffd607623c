/*
 * One request on its way through the registry: who asks, the transaction, the arena, what it will put
 * into the audit, the reply.  A noun's function gets a struct work and the message; it returns 0 after
 * work_answer(), or a negative code with err filled.
 *
 * A changing request is one transaction: its changes, its audit rows, and its reply kept under its
 * request id.  The audit append comes last, since it holds the lock of the chain's head.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "bus.h"
#include "err.h"
#include "registry.h"
#include "rights.h"
#include "store.h"

/* Who asks, as the registry itself found out. */
struct actor {
	PB(Principal__Kind) kind;
	char name[192];   /* for the audit: "anna", "token:ci", "mcp-local", "system:gateway" */
	char author[192]; /* for author fields; empty: no identity */
	char via[16];     /* mcp-local mcp-remote rest ctl bus */
	char user_id[ID_TEXT_SIZE];
	char session_id[ID_TEXT_SIZE];
	char role[16]; /* of the account */
	char remote[64];
	bool sees_audit; /* has RIGHT_AUDIT */
	/* of an API token */
	char token_id[ID_TEXT_SIZE];
	int64_t expires_at_unix_ms;
	bool may_call;
};

enum op_kind {
	OP_MEMORY, /* touches no database */
	OP_READ,
	OP_SNAPSHOT, /* reads one state */
	OP_CHANGE,   /* its reply is kept, a repeat is answered from there */
	OP_SECRET, /* a change that holds secrets, or counts its own repeats: nothing of it is kept */
};

struct work;
typedef int op_run(struct work *w, const void *in, struct err *err);

struct op {
	uint16_t msg;
	uint32_t callers;
	enum right right;
	enum op_kind kind;
	bool moves_state;  /* gateways must look at the map again */
	const char *topic; /* its topic when it is refused; NULL: refusals are not audited */
	op_run *before;    /* outside the transaction: slow things; may be NULL */
	op_run *run;
};
extern const struct op registry_ops[];
extern const size_t registry_op_count;
const struct op *op_find(uint16_t msg);

struct work {
	struct registry *reg;
	const struct op *op;
	const struct bus_request *rq;
	const struct actor *actor;
	struct arena arena;
	struct store_tx *tx;
	int64_t now_unix_ms;
	struct event *events, **events_end;
	struct bytes reply;
	const PB(InspectReply) * inspected;  /* by `before` */
	void *prepared;                      /* by `before`, the noun's own */
	const char *object_kind, *object_id; /* what a refusal is about, as soon as known */
	const char *refused_topic;           /* in place of the op's, where the message decides */
	bool keep; /* commit even though the request is refused (a failed login is a change) */
	bool moves_state;
	uint64_t state_seq; /* of the change, once it is appended; 0: state did not move */
};

/* The bus hooks. */
int work_authorize(struct bus_request *rq, uint32_t right, struct err *err);
int work_handle(struct bus_request *rq, struct err *err);
void work_finished(struct bus_request *rq);

void work_answer(struct work *w, const ProtobufCMessage *reply); /* packed at once */

/* Put a row into the audit of this transaction.  detail: takes the reference, may be NULL. */
void work_audit(struct work *w, const char *topic, const char *object_kind, const char *object_id,
		const char *outcome, json_t *detail);

/* None of the rows so far: what they speak of was undone. */
void work_forget_audit(struct work *w);

/* From here on the rows speak of this person: whoever logs in is nobody before. */
void work_act_as(struct work *w, const char *username);

/* Run a change of the registry's own (a process joined, a tick). */
int work_system(struct registry *reg, op_run *fn, const void *in, struct err *err) BOX_MUST_CHECK;

/* ---- what many nouns say ------------------------------------------------------------------------- */

/* Turn -ERR_NOT_FOUND into an answer about one object, "tool <id> not found"; other codes pass. */
int work_missing(struct err *err, int r, const char *kind, const char *id);
/* -ERR_INVALID unless it is an id. */
int work_check_id(struct err *err, const char *field, const char *id) BOX_MUST_CHECK;
/* The caller's idea of the revision, when it gave one; else the object travels back with ERR_STALE. */
int work_check_revision(struct err *err, bool is_given, int64_t given, int64_t current,
			const ProtobufCMessage *object) BOX_MUST_CHECK;
/* -ERR_STALE about `field`, with the object as it is now. */
int work_stale(struct err *err, const char *field, const char *text,
	       const ProtobufCMessage *object);
/* Clamp page numbers; pages: rounded up. */
struct page work_page(uint32_t number, uint32_t size, uint32_t default_size);
uint32_t work_pages(int64_t total, struct page page);
/* The four fields that every paged reply ends with. */
#define WORK_FILL_PAGE(reply, at, all)                    \
	do {                                              \
		(reply)->total = (uint32_t)(all);         \
		(reply)->page = (at).number;              \
		(reply)->page_size = (at).size;           \
		(reply)->pages = work_pages((all), (at)); \
	} while (0)
/* Which statuses a list can be narrowed to; the first one unless another is given. */
struct work_statuses {
	const char *names[6]; /* ends with NULL */
	const char *text;     /* for people */
};
/* Sets search and status, borrowed from the message, when they can be. */
int work_filter(struct filter *f, const struct work_statuses *statuses, ProtobufCBinaryData search,
		const char *status, struct err *err) BOX_MUST_CHECK;
/* As work_filter, for hosts and modules: those that wait, or (server_id not empty) those of a server that are in
 * force. */
int work_filter_requests(struct work *w, struct filter *f, const char *server_id,
			 ProtobufCBinaryData search, const char *status,
			 struct err *err) BOX_MUST_CHECK;
struct bytes work_bytes(ProtobufCBinaryData b);
/* Text of a bytes field, in the arena. */
const char *work_text(struct work *w, ProtobufCBinaryData b);
/* A text as bytes of the reply. */
ProtobufCBinaryData work_say(struct work *w, const char *fmt, ...) BOX_PRINTF(2, 3);
