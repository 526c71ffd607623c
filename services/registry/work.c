#include "work.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "canon.h"
#include "checks.h"
#include "clock.h"
#include "id.h"
#include "json.h"
#include "json_proto.h"
#include "log.h"
#include "mem.h"
#include "parse.h"
#include "status.h"

enum { ATTEMPTS = 4, DETAIL_MAX = 256 * 1024, CURRENT_MAX = 512 * 1024 };

struct event {
	struct event *next;
	PB(AuditEvent) row;
};

int64_t registry_now(void)
{
	static _Atomic int64_t last;
	int64_t now = clock_unix_ms();
	int64_t seen = atomic_load(&last);

	while (now > seen && !atomic_compare_exchange_weak(&last, &seen, now))
		;
	return now > seen ? now : seen;
}

const struct op *op_find(uint16_t msg)
{
	for (size_t i = 0; i < registry_op_count; i++)
		if (registry_ops[i].msg == msg)
			return &registry_ops[i];
	return NULL;
}

/* ---- outages ------------------------------------------------------------------------------------- */

static const struct {
	enum err_code code;
	const char *text;
} outages[] = {
	{ ERR_UNAVAILABLE, "registry storage is not answering" },
	{ ERR_BUSY, "the registry is busy; nothing was done, try again" },
	{ ERR_UNKNOWN_OUTCOME,
	  "storage went away while saving; the change may or may not have been made" },
	{ ERR_EXISTS, "there is one like it already" },
	{ ERR_NOT_FOUND, "not found" },
};

static int explain(int r, struct err *err)
{
	if (r >= 0 || err->code)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(outages); i++)
		if (outages[i].code == (enum err_code) - r)
			return err_set(err, outages[i].code, "%s", outages[i].text);
	return err_set(err, ERR_INTERNAL, "internal error; the registry's log has the details");
}

/* ---- who asks ------------------------------------------------------------------------------------ */

static const char *via_of(enum bus_role from, PB(Principal__Kind) kind)
{
	if (kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM)
		return "bus";
	if (from == ROLE_GATEWAY)
		return kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_MCP ? "mcp-remote" : "mcp-local";
	return from == ROLE_OPS ? "ctl" : "rest";
}

static void name_stranger(struct actor *a, enum bus_role from, const PB(Principal) * p)
{
	switch (p->kind) {
	case MCPBOX__V1__PRINCIPAL__KIND__KIND_MCP:
		(void)snprintf(a->name, sizeof(a->name), "%s", p->id[0] ? p->id : "mcp-remote");
		(void)snprintf(a->author, sizeof(a->author), "%s", p->id);
		break;
	case MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL:
		(void)snprintf(a->name, sizeof(a->name), "mcp-local");
		break;
	case MCPBOX__V1__PRINCIPAL__KIND__KIND_OWNER:
		(void)snprintf(a->name, sizeof(a->name), "owner");
		break;
	case MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM:
		(void)snprintf(a->name, sizeof(a->name), "system:%s", role_name(from));
		break;
	default:
		(void)snprintf(a->name, sizeof(a->name), "anonymous");
	}
}

/* What authorizing reads from the database. */
struct lookup {
	ROW(IdentityRow) * identity; /* NULL: none */
	bool may_edit_remotely;
};

static int look_up_identity(struct store_tx *tx, const PB(Principal) * p, struct lookup *l)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	struct bytes key = { hash, sizeof(hash) };
	int r;

	crypto_hash(p->secret.data, p->secret.len, hash);
	r = p->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_USER
		    ? store_identity_of_session(tx, key, &l->identity)
		    : store_identity_of_token(tx, key, &l->identity);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int look_up(struct registry *reg, const PB(Principal) * p, struct arena *arena,
		   struct lookup *l)
{
	bool is_account = p->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_USER ||
			  p->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN;
	PB(SecurityPolicy) * policy;
	struct store_tx *tx;
	int r;

	if (!is_account && p->kind != MCPBOX__V1__PRINCIPAL__KIND__KIND_MCP)
		return 0;
	r = store_begin(reg->store, STORE_READ, arena, &tx);
	if (r != 0)
		return r;
	if (is_account) {
		r = look_up_identity(tx, p, l);
	} else {
		r = store_policy_get(tx, false, &policy);
		l->may_edit_remotely =
			r == 0 && strcmp(policy->remote_tool_editing, "enabled") == 0;
	}
	store_end(tx);
	return r;
}

static void name_account(struct actor *a, const ROW(IdentityRow) * id)
{
	(void)snprintf(a->name, sizeof(a->name), "%s%s", id->scope[0] ? "token:" : "",
		       id->username);
	(void)snprintf(a->author, sizeof(a->author), "%s", id->username);
	(void)snprintf(a->user_id, sizeof(a->user_id), "%s", id->user_id);
	(void)snprintf(a->session_id, sizeof(a->session_id), "%s", id->session_id);
	(void)snprintf(a->role, sizeof(a->role), "%s", id->role);
	(void)snprintf(a->token_id, sizeof(a->token_id), "%s", id->token_id);
	a->expires_at_unix_ms = id->expires_at_unix_ms;
}

static int refuse_right(const struct actor *a, enum right right, struct err *err)
{
	if (a->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_MCP && right == RIGHT_EDIT)
		return err_set_field(
			err, ERR_DENIED, NULL,
			"an administrator can set the policy remote_tool_editing to enabled",
			"only local callers may change servers and tools; "
			"the remote_tool_editing policy lifts this");
	return err_set(err, ERR_DENIED, "%s may not do this", a->name);
}

/* A refusal is a record of its own; that it cannot be kept does not make it an acceptance. */
static void audit_refusal(struct registry *reg, const struct bus_request *rq,
			  const struct actor *actor, const char *topic, const char *kind,
			  const char *id, const struct err *why);

int work_authorize(struct bus_request *rq, uint32_t right, struct err *err)
{
	struct registry *reg = rq->service;
	const PB(Principal) *p = rq->principal;
	struct actor *a = mem_alloc(sizeof(*a));
	struct arena arena = { 0 };
	struct lookup l = { 0 };
	struct claim claim = { .from = rq->from, .kind = p->kind };
	/* What anyone may ask from memory is answered while the database is away. */
	bool from_memory = right == RIGHT_ANYONE && op_find(rq->msg)->kind == OP_MEMORY;
	int r = from_memory ? 0 : look_up(reg, p, &arena, &l);

	rq->auth = a; /* freed by work_finished */
	a->kind = p->kind;
	(void)snprintf(a->via, sizeof(a->via), "%s", via_of(rq->from, p->kind));
	(void)snprintf(a->remote, sizeof(a->remote), "%s", p->remote);
	name_stranger(a, rq->from, p);
	if (l.identity) {
		name_account(a, l.identity);
		claim.user_role = l.identity->role;
		claim.token_scope = l.identity->scope;
	}
	claim.may_edit_remotely = l.may_edit_remotely;
	a->sees_audit = right_granted(&claim, RIGHT_AUDIT);
	a->may_call = right_granted(&claim, RIGHT_CALL);
	if (r < 0) {
		r = explain(r, err);
	} else if (!right_granted(&claim, (enum right)right)) {
		const struct op *op = op_find(rq->msg);
		bool is_account = p->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_USER ||
				  p->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN;

		if (is_account && !l.identity) {
			r = err_set(err, ERR_UNAUTHENTICATED,
				    "log in: the session is unknown or has ended");
		} else {
			r = refuse_right(a, (enum right)right, err);
			audit_refusal(reg, rq, a, op ? op->topic : NULL, "message",
				      msg_row(rq->msg)->name, err);
		}
	}
	arena_done(&arena);
	return r;
}

void work_finished(struct bus_request *rq)
{
	free(rq->auth);
	rq->auth = NULL;
}

/* ---- audit --------------------------------------------------------------------------------------- */

void work_audit(struct work *w, const char *topic, const char *object_kind, const char *object_id,
		const char *outcome, json_t *detail)
{
	struct event *e = arena_alloc(&w->arena, sizeof(*e));
	size_t len = 0;
	BOX_CLEANUP(mem_freep) char *text = detail ? json_dump(detail, &len) : NULL;

	json_decref(detail);
	mcpbox__v1__audit_event__init(&e->row);
	e->row.at_unix_ms = w->now_unix_ms;
	e->row.topic = arena_str(&w->arena, topic);
	e->row.actor = arena_str(&w->arena, w->actor->name);
	e->row.via = arena_str(&w->arena, w->actor->via);
	e->row.object_kind = arena_str(&w->arena, object_kind);
	e->row.object_id = arena_str(&w->arena, object_id);
	e->row.outcome = arena_str(&w->arena, outcome);
	e->row.detail_json = pb_text(arena_str(&w->arena, text && len <= DETAIL_MAX ? text : "{}"));
	*w->events_end = e;
	w->events_end = &e->next;
}

void work_forget_audit(struct work *w)
{
	w->events = NULL;
	w->events_end = &w->events;
}

void work_act_as(struct work *w, const char *username)
{
	struct actor *a = arena_dup(&w->arena, w->actor, sizeof(*a));

	(void)snprintf(a->name, sizeof(a->name), "%s", username);
	(void)snprintf(a->via, sizeof(a->via), "rest");
	w->actor = a;
}

/* The detail as the database will show it: that is what gets hashed. */
static int normalise_events(struct work *w)
{
	int r = 0;

	for (struct event *e = w->events; r == 0 && e; e = e->next) {
		char *shown = NULL;

		r = store_json_normal(w->tx, (const char *)e->row.detail_json.data, &shown);
		if (r == 0)
			e->row.detail_json = pb_text(shown);
	}
	return r;
}

static int append_one(struct work *w, PB(AuditEvent) * row, const ROW(HeadRow) * head)
{
	uint8_t *hash = arena_alloc(&w->arena, CRYPTO_HASH_SIZE);

	row->seq = head->seq + 1;
	row->prev_hash = head->hash;
	canon_audit_hash(row, hash);
	row->hash = pb_bytes(hash, CRYPTO_HASH_SIZE);
	return store_audit_insert(w->tx, row);
}

/* From here to COMMIT the head is locked: so sequence order is commit order. */
static int append_events(struct work *w)
{
	ROW(HeadRow) * head;
	int r;

	if (!w->events)
		return 0;
	r = normalise_events(w);
	if (r == 0)
		r = store_head_get(w->tx, true, &head);
	for (struct event *e = w->events; r == 0 && e; e = e->next) {
		r = append_one(w, &e->row, head);
		head->seq = e->row.seq;
		head->hash = e->row.hash;
	}
	if (r != 0)
		return r;
	if (w->moves_state)
		w->state_seq = head->seq;
	return store_head_save(w->tx, head->seq, work_bytes(head->hash),
			       w->moves_state ? head->seq : head->state_seq);
}

/* ---- running ------------------------------------------------------------------------------------- */

static void work_init(struct work *w, struct registry *reg, const struct op *op,
		      const struct bus_request *rq, const struct actor *actor)
{
	*w = (struct work){ .reg = reg, .op = op, .rq = rq, .actor = actor };
	w->now_unix_ms = registry_now();
}

/* An attempt leaves nothing behind but what `before` made. */
static void forget_attempt(struct work *w)
{
	work_forget_audit(w);
	w->reply = (struct bytes){ 0 };
	w->keep = false;
	w->moves_state = w->op->moves_state;
	w->state_seq = 0;
}

void work_answer(struct work *w, const ProtobufCMessage *reply)
{
	size_t len = protobuf_c_message_get_packed_size(reply);
	uint8_t *data = arena_alloc(&w->arena, len + 1);

	(void)protobuf_c_message_pack(reply, data);
	w->reply = (struct bytes){ data, len };
}

static struct bytes request_id(const struct work *w)
{
	return (struct bytes){ w->rq->request_id, REQUEST_ID_SIZE };
}

static int replay(struct work *w, const ROW(RequestRow) * row, struct err *err)
{
	uint8_t hash[CRYPTO_HASH_SIZE];

	crypto_hash(w->rq->in_bytes, w->rq->in_len, hash);
	if (row->msg != w->op->msg || row->body_hash.len != sizeof(hash) ||
	    memcmp(row->body_hash.data, hash, sizeof(hash)) != 0)
		return err_set(err, ERR_INVALID, "this request id belongs to another request");
	w->reply = work_bytes(row->reply);
	return 0;
}

/* 1 when the request was answered before, 0 when it is new. */
static int claim_request(struct work *w, struct err *err)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	ROW(RequestRow) * row;
	bool is_fresh = true;
	int r;

	if (w->op->kind != OP_CHANGE)
		return 0;
	crypto_hash(w->rq->in_bytes, w->rq->in_len, hash);
	r = store_request_claim(w->tx, w->rq->from, request_id(w), w->op->msg,
				(struct bytes){ hash, sizeof(hash) }, &is_fresh);
	if (r < 0 || is_fresh)
		return r;
	r = store_request_get(w->tx, w->rq->from, request_id(w), &row);
	if (r == 0)
		r = replay(w, row, err);
	return r < 0 ? r : 1;
}

static int keep_reply(struct work *w)
{
	if (w->op->kind != OP_CHANGE)
		return 0;
	return store_request_answer(w->tx, w->rq->from, request_id(w), w->reply);
}

static int change(struct work *w, const void *in, struct err *err)
{
	int outcome;
	int r = claim_request(w, err);

	if (r != 0)
		return r < 0 ? r : 0;
	outcome = w->op->run(w, in, err);
	if (outcome < 0 && !w->keep)
		return outcome;
	r = outcome == 0 ? keep_reply(w) : 0;
	if (r == 0)
		r = append_events(w);
	if (r == 0)
		r = store_commit(w->tx);
	if (r < 0) {
		err_done(err);
		*err = (struct err){ 0 };
		return r;
	}
	if (w->events)
		status_moved(w->reg->status);
	return outcome;
}

static const enum store_mode mode_of[] = {
	[OP_READ] = STORE_READ,
	[OP_SNAPSHOT] = STORE_SNAPSHOT,
	[OP_CHANGE] = STORE_WRITE,
	[OP_SECRET] = STORE_WRITE,
};

/* Whoever looked at an older state is told what came between. */
static void say_what_changed(struct work *w, struct err *err)
{
	size_t len = strlen(err->text);
	char *last = NULL;

	if (err->code != ERR_STALE || !w->object_id)
		return;
	if (store_audit_last(w->tx, w->object_id, &last) == 0 && last)
		(void)snprintf(err->text + len, sizeof(err->text) - len, "; last: %s", last);
}

static int attempt(struct work *w, const void *in, struct err *err)
{
	int r;

	forget_attempt(w);
	r = store_begin(w->reg->store, mode_of[w->op->kind], &w->arena, &w->tx);
	if (r != 0)
		return r;
	if (w->op->kind == OP_READ || w->op->kind == OP_SNAPSHOT)
		r = w->op->run(w, in, err);
	else
		r = change(w, in, err);
	say_what_changed(w, err);
	store_end(w->tx);
	w->tx = NULL;
	/* Who asked finds the change in the next Status.  Work of our own may run on the thread that makes it. */
	if (r >= 0 && w->rq && w->state_seq != 0)
		status_wait(w->reg->status, w->state_seq);
	return r;
}

/*
 * Lost races begin again.  A connection that broke in the middle does too, once: nothing was committed, and the
 * next one is new.  So does a commit whose answer was lost, when the repeat would find its own reply.
 */
static bool is_worth_repeating(const struct work *w, int r, int tries, const struct err *err)
{
	if (err->code)
		return false;
	return r == -ERR_BUSY || (r == -ERR_UNAVAILABLE && tries == 0) ||
	       (r == -ERR_UNKNOWN_OUTCOME && w->op->kind == OP_CHANGE);
}

static int run(struct work *w, const void *in, struct err *err)
{
	int r = 0;

	if (w->op->kind == OP_MEMORY)
		return w->op->run(w, in, err);
	for (int i = 0; i < ATTEMPTS; i++) {
		r = attempt(w, in, err);
		if (r == 0 || !is_worth_repeating(w, r, i, err))
			break;
		clock_sleep_ms(1u << i);
	}
	return r;
}

/* A repeat is answered before anything slow is done again. */
static int find_reply(struct work *w, struct err *err)
{
	ROW(RequestRow) * row;
	struct store_tx *tx;
	int r;

	if (w->op->kind != OP_CHANGE || !w->op->before)
		return -ERR_NOT_FOUND;
	r = store_begin(w->reg->store, STORE_READ, &w->arena, &tx);
	if (r != 0)
		return r;
	r = store_request_get(tx, w->rq->from, request_id(w), &row);
	if (r == 0)
		r = replay(w, row, err);
	store_end(tx);
	return r;
}

static bool is_decision(const struct err *err)
{
	return err->code == ERR_DENIED || err->code == ERR_STATE || err->code == ERR_STALE;
}

int work_handle(struct bus_request *rq, struct err *err)
{
	struct work w;
	int r;

	work_init(&w, rq->service, op_find(rq->msg), rq, rq->auth);
	box_assert(w.op); /* the bus routes only what the table holds */
	forget_attempt(&w);
	r = find_reply(&w, err);
	if (r == -ERR_NOT_FOUND) {
		r = w.op->before ? w.op->before(&w, rq->in, err) : 0;
		if (r == 0)
			r = run(&w, rq->in, err);
	}
	r = explain(r, err);
	if (r == 0) {
		buf_clear(rq->out);
		buf_add(rq->out, w.reply.data, w.reply.len);
	} else if (w.op->topic && is_decision(err) && !w.keep) {
		audit_refusal(w.reg, rq, w.actor, w.refused_topic ? w.refused_topic : w.op->topic,
			      w.object_kind ? w.object_kind : "message",
			      w.object_id ? w.object_id : msg_row(rq->msg)->name, err);
	}
	arena_done(&w.arena);
	return r;
}

/* ---- changes of our own -------------------------------------------------------------------------- */

int work_system(struct registry *reg, op_run *fn, const void *in, struct err *err)
{
	static const struct actor self = { .kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM,
					   .name = "system:registry",
					   .via = "bus" };
	struct op op = { .kind = OP_SECRET, .run = fn };
	struct work w;
	int r;

	work_init(&w, reg, &op, NULL, &self);
	r = run(&w, in, err);
	arena_done(&w.arena);
	return explain(r, err);
}

struct refusal {
	const struct actor *actor;
	const char *topic, *kind, *id;
	const struct err *why;
};

static int add_refusal(struct work *w, const void *in, struct err *err)
{
	const struct refusal *f = in;

	(void)err;
	w->actor = f->actor;
	work_audit(w, f->topic, f->kind, f->id, "refused",
		   json_pack("{s:s, s:s}", "code", err_row(f->why->code)->name, "reason",
			     f->why->text));
	return 0;
}

static void audit_refusal(struct registry *reg, const struct bus_request *rq,
			  const struct actor *actor, const char *topic, const char *kind,
			  const char *id, const struct err *why)
{
	struct refusal f = { actor, topic ? topic : "access.refused", kind, id, why };
	struct err err = { 0 };

	if (work_system(reg, add_refusal, &f, &err) < 0)
		log_error("audit.refusal_lost", F_STR("message", msg_row(rq->msg)->name),
			  F_STR("actor", actor->name), F_ERR(&err));
}

/* ---- what many nouns say ------------------------------------------------------------------------- */

int work_missing(struct err *err, int r, const char *kind, const char *id)
{
	if (r == -ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "%s %s not found", kind, id);
	return r; /* without text: it may be worth another attempt, see run() */
}

int work_check_id(struct err *err, const char *field, const char *id)
{
	if (text_is_uuid(id))
		return 0;
	return err_set_field(err, ERR_INVALID, field,
			     strcmp(field, "server_id") == 0
				     ? "an id from mcpbox_list_servers, not a name"
				     : NULL,
			     "invalid %s", field);
}

int work_stale(struct err *err, const char *field, const char *text, const ProtobufCMessage *object)
{
	struct buf json = BUF_INIT(CURRENT_MAX);
	size_t len;
	int r = err_set_field(err, ERR_STALE, field, "look at it again, then decide", "%s", text);

	msg_to_json(object, 0, &json);
	if (!json.is_over)
		err->current_json = (char *)buf_take(&json, &len);
	buf_done(&json);
	return r;
}

/* "'weather'" for what has a name, else "it". */
static void name_of(const ProtobufCMessage *object, char *ret, size_t size)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(object->descriptor, "name");

	if (f && f->type == PROTOBUF_C_TYPE_STRING && f->label != PROTOBUF_C_LABEL_REPEATED)
		(void)snprintf(ret, size, "'%.100s'",
			       *(char *const *)((const char *)object + f->offset));
	else
		(void)snprintf(ret, size, "it");
}

int work_check_revision(struct err *err, bool is_given, int64_t given, int64_t current,
			const ProtobufCMessage *object)
{
	char text[224], name[128];

	if (!is_given || given == current)
		return 0;
	name_of(object, name, sizeof(name));
	(void)snprintf(text, sizeof(text),
		       "%s has changed since you looked (revision %lld, now %lld)", name,
		       (long long)given, (long long)current);
	return work_stale(err, "revision", text, object);
}

struct page work_page(uint32_t number, uint32_t size, uint32_t default_size)
{
	struct page p = { number ? number : 1, size ? size : default_size };

	if (p.size > 100)
		p.size = 100;
	return p;
}

uint32_t work_pages(int64_t total, struct page page)
{
	return (uint32_t)((total + page.size - 1) / page.size);
}

static bool is_status(const struct work_statuses *statuses, const char *status)
{
	for (const char *const *name = statuses->names; *name; name++)
		if (strcmp(*name, status) == 0)
			return true;
	return false;
}

int work_filter(struct filter *f, const struct work_statuses *statuses, ProtobufCBinaryData search,
		const char *status, struct err *err)
{
	f->search = work_bytes(search);
	f->status = status[0] ? status : statuses->names[0];
	if (!is_status(statuses, f->status))
		return err_set_field(err, ERR_INVALID, "status", statuses->text,
				     "there is no status '%s'", status);
	return check_text("search", search, 255, err);
}

int work_filter_requests(struct work *w, struct filter *f, const char *server_id,
			 ProtobufCBinaryData search, const char *status, struct err *err)
{
	static const char text[] = "pending, approved, rejected or all";
	static const struct work_statuses waiting = { { "pending", "approved", "rejected", "all" },
						      text };
	static const struct work_statuses in_force = { { "approved", "pending", "rejected", "all" },
						       text };
	PB(Server) * server;
	int r;

	if (!server_id[0])
		return work_filter(f, &waiting, search, status, err);
	r = work_check_id(err, "server_id", server_id);
	if (r == 0)
		r = store_server_get(w->tx, server_id, false, &server);
	if (r < 0)
		return work_missing(err, r, "server", server_id);
	f->server_id = server_id;
	return work_filter(f, &in_force, search, status, err);
}

struct bytes work_bytes(ProtobufCBinaryData b)
{
	return (struct bytes){ b.data, b.len };
}

const char *work_text(struct work *w, ProtobufCBinaryData b)
{
	return arena_dup(&w->arena, b.data, b.len);
}

ProtobufCBinaryData work_say(struct work *w, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return pb_text(arena_str(&w->arena, text));
}
