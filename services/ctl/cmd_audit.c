/*
 * audit tail, audit verify.  News only wake the tail; every row comes from ListAudit, so order is
 * that of the registry and a lost piece of news costs nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "ctl.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "ops.h"
#include "print.h"

#define PAGE_ROWS     500
#define DEFAULT_ROWS  20
#define LOOK_EVERY_MS 2000 /* also without news */
#define ANCHOR_MAX    4096
#define DETAIL_WIDTH  100 /* on a terminal; a file or pipe gets all of it */

/* ---- one row ---- */

/* "alice (rest)", safe. */
static void who(const PB(AuditEvent) * e, struct buf *ret)
{
	print_escape(ret, *e->actor ? e->actor : "-", *e->actor ? strlen(e->actor) : 1, true);
	if (*e->via)
		buf_printf(ret, " (%s)", e->via);
}

/* 2026-11-22T16:04:05.123Z  17  tool.approved  ok  alice (rest)  tool 0195…  {"version":2} */
static void print_event(const PB(AuditEvent) * e)
{
	char at[32], seq[24] = "-";
	struct buf actor = BUF_INIT(1024), rest = BUF_INIT(64 * 1024);
	bool is_cut = e->detail_json.len > DETAIL_WIDTH && isatty(STDOUT_FILENO);
	size_t len = is_cut ? DETAIL_WIDTH : e->detail_json.len;

	clock_format_iso(e->at_unix_ms, at);
	if (e->seq > 0)
		(void)snprintf(seq, sizeof(seq), "%llu", (unsigned long long)e->seq);
	who(e, &actor);
	print_escape(&rest, e->object_id, strlen(e->object_id), true);
	if (e->detail_json.len > 2) { /* more than {} */
		buf_add_str(&rest, "  ");
		print_escape(&rest, (const char *)e->detail_json.data, len, true);
		buf_add_str(&rest, is_cut ? "…" : "");
	}
	(void)printf("%s  %6s  %-16s  %-10s  %-22s  %s %s\n", at, seq, e->topic, e->outcome,
		     buf_str(&actor), e->object_kind, buf_str(&rest));
	buf_done(&actor);
	buf_done(&rest);
}

/* ---- tail ---- */

struct tail {
	const struct ctl *ctl;
	struct ops *ops;
	uint64_t last_seq; /* all up to here is printed */
	bool is_away;      /* the registry did not answer the last time */

	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t known_seq; /* guarded by lock: highest that news spoke of */
};

static void hear(struct tail *t, uint64_t seq)
{
	(void)pthread_mutex_lock(&t->lock);
	if (seq > t->known_seq) {
		t->known_seq = seq;
		(void)pthread_cond_signal(&t->moved);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

static void on_status(void *arg, const PB(Status) * status)
{
	hear(arg, status->audit_seq);
}

static void on_audit(void *arg, const PB(AuditEvent) * event)
{
	hear(arg, event->seq);
}

static void wait_for_news(struct tail *t)
{
	struct timespec until;

	clock_abs_after(LOOK_EVERY_MS, &until);
	(void)pthread_mutex_lock(&t->lock);
	while (t->known_seq <= t->last_seq)
		if (pthread_cond_timedwait(&t->moved, &t->lock, &until) != 0)
			break;
	(void)pthread_mutex_unlock(&t->lock);
}

static void tail_init(struct tail *t, const struct ctl *ctl)
{
	pthread_condattr_t attr;

	*t = (struct tail){ .ctl = ctl, .last_seq = ctl->options.since };
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&t->moved, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&t->lock, NULL);
}

static int list(struct tail *t, uint32_t newest, ProtobufCMessage **ret, struct err *err)
{
	PB(ListAuditRequest) rq = MCPBOX__V1__LIST_AUDIT_REQUEST__INIT;

	rq.since_seq = t->last_seq;
	rq.newest = newest > 0;
	rq.limit = newest > 0 ? newest : PAGE_ROWS;
	rq.topics = (char **)(uintptr_t)t->ctl->options.topics;
	rq.n_topics = t->ctl->options.topic_count;
	return ops_ask(t->ops, MSG_LIST_AUDIT, &rq.base, ret, err);
}

static void print_events(struct tail *t, const PB(ListAuditReply) * reply)
{
	for (size_t i = 0; i < reply->n_events; i++) {
		const PB(AuditEvent) *e = reply->events[i];

		if (t->ctl->options.json)
			print_proto(stdout, &e->base);
		else
			print_event(e);
	}
	(void)fflush(stdout);
}

/* newest > 0: only the last so many rows; else all after last_seq, page by page. */
static int catch_up(struct tail *t, uint32_t newest, struct err *err)
{
	bool is_more;

	do {
		BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
		const PB(ListAuditReply) * reply;
		int r = list(t, newest, &m, err);

		if (r < 0)
			return r;
		reply = (const PB(ListAuditReply) *)m;
		print_events(t, reply);
		/* Not by the events: parts of a batch have no number, and its row may be of no interest. */
		is_more = reply->last_seq > t->last_seq && newest == 0;
		if (reply->last_seq > t->last_seq)
			t->last_seq = reply->last_seq;
		/* Rows of other topics lie between; they are done with as well. */
		if (!is_more && reply->head_seq > t->last_seq)
			t->last_seq = reply->head_seq;
	} while (is_more);
	return 0;
}

/* The registry may be restarted under a tail that goes on; say so once each time. */
static void follow(struct tail *t)
{
	for (;;) {
		struct err err = { 0 };
		bool was_away = t->is_away;

		wait_for_news(t);
		t->is_away = catch_up(t, 0, &err) < 0;
		if (t->is_away && !was_away)
			(void)fprintf(stderr, "mcpboxctl: the registry does not answer; waiting\n");
		if (!t->is_away && was_away)
			(void)fprintf(stderr, "mcpboxctl: the registry is back\n");
	}
}

static uint32_t rows_at_start(const struct options *o)
{
	if (o->given & OPT(OPTION_SINCE))
		return 0;
	if (!(o->given & OPT(OPTION_LIMIT)))
		return DEFAULT_ROWS;
	return o->limit > PAGE_ROWS ? PAGE_ROWS : (uint32_t)o->limit;
}

/* What the registry writes.  A word that is none of these would be waited for in vain. */
static const char *const topics[] = {
	"access.refused",  "bus.refused",     "egress.refused",   "sandbox.killed",
	"auth.locked",     "auth.login",      "auth.logout",      "auth.password",
	"auth.setup",      "call.finished",   "egress.allowed",   "egress.denied",
	"host.approved",   "host.rejected",   "host.requested",   "host.revoked",
	"instance.joined", "instance.left",   "server.created",   "server.deleted",
	"server.started",  "server.stopped",  "server.updated",   "settings.changed",
	"tool.approved",   "tool.created",    "tool.deleted",     "tool.refused",
	"tool.rejected",   "tool.revoked",    "host.deleted",     "module.approved",
	"module.deleted",  "module.rejected", "module.requested", "module.revoked",
	"keys.rotated",    "secret.created",  "secret.deleted",   "secret.set",
	"server.paused",   "token.created",   "token.deleted",    "user.created",
	"user.deleted",    "user.updated",    "server.resumed",   "tool.submitted",
	"tool.tested",     "tool.updated",    "tool.validated",
};

static bool is_topic(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		if (strcmp(topics[i], text) == 0)
			return true;
	return false;
}

static bool knows_topics(const struct options *o)
{
	for (size_t i = 0; i < o->topic_count; i++) {
		if (is_topic(o->topics[i]))
			continue;
		(void)fputs("mcpboxctl: there is no topic ", stderr);
		print_safe(stderr, o->topics[i], strlen(o->topics[i]));
		(void)fputs("\n  one of:", stderr);
		for (size_t k = 0; k < ARRAY_LEN(topics); k++)
			(void)fprintf(stderr, " %s", topics[k]);
		(void)fputc('\n', stderr);
		return false;
	}
	return true;
}

enum ctl_exit cmd_audit_tail(struct ctl *ctl)
{
	const struct options *o = &ctl->options;
	BOX_CLEANUP(ops_closep) struct ops *ops = NULL;
	struct tail tail;
	const struct bus_news news = { .on_status = on_status, .on_audit = on_audit, .arg = &tail };
	struct err err = { 0 };
	int r;

	if ((o->given & OPT(OPTION_LIMIT)) && o->limit == 0) {
		(void)fputs("mcpboxctl: -n wants at least 1\n", stderr);
		return CTL_USAGE;
	}
	if (!knows_topics(o))
		return CTL_USAGE;
	tail_init(&tail, ctl);
	r = ops_open(ctl, o->no_follow ? NULL : &news, &ops, &err);
	tail.ops = ops;
	if (r == 0)
		r = catch_up(&tail, rows_at_start(o), &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (!o->no_follow)
		follow(&tail);
	return CTL_DONE;
}

/* ---- verify ---- */

/* The anchor file: {"seq","hash"[,"signature"]}, or what `audit verify --json` printed on another
 * day. */
static int read_anchor(const char *path, char **ret, size_t *ret_len, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	size_t len;
	int r = place_read_file(path, ANCHOR_MAX, &text, &len, err);

	if (r == 0)
		r = json_load(text, len, &tree, err);
	if (r < 0)
		return r;
	if (json_object_get(tree, "head_seq")) {
		json_t *anchor = json_pack("{s:O, s:O}", "seq", json_object_get(tree, "head_seq"),
					   "hash", json_object_get(tree, "head_hash"));

		if (!anchor)
			return err_set(err, ERR_INVALID, "%s is no anchor", path);
		json_decref(tree);
		tree = anchor;
	}
	*ret = json_dump(tree, ret_len);
	return 0;
}

static int verify(const struct ctl *ctl, ProtobufCMessage **ret, struct err *err)
{
	PB(VerifyAuditRequest) rq = MCPBOX__V1__VERIFY_AUDIT_REQUEST__INIT;
	BOX_CLEANUP(ops_closep) struct ops *ops = NULL;
	BOX_CLEANUP(mem_freep) char *anchor = NULL;
	size_t len = 0;
	int r = ctl->options.anchor ? read_anchor(ctl->options.anchor, &anchor, &len, err) : 0;

	if (r == 0)
		r = ops_open(ctl, NULL, &ops, err);
	if (r < 0)
		return r;
	rq.anchor_json = pb_bytes(anchor, len);
	return ops_ask(ops, MSG_VERIFY_AUDIT, &rq.base, ret, err);
}

static void print_verdict(const PB(VerifyAuditReply) * v)
{
	if (v->intact) {
		(void)printf("The chain is intact: %llu rows, head %llu\n",
			     (unsigned long long)v->rows, (unsigned long long)v->head_seq);
		if (v->past_retention_batches > 0)
			(void)printf("%llu batches are past retention, what is left of them is "
				     "proven: %.*s\n",
				     (unsigned long long)v->past_retention_batches,
				     (int)v->past_retention.len,
				     (const char *)v->past_retention.data);
		return;
	}
	(void)printf("The chain is broken at %llu: ", (unsigned long long)v->first_bad_seq);
	print_safe(stdout, (const char *)v->reason.data, v->reason.len);
	(void)putchar('\n');
}

enum ctl_exit cmd_audit_verify(struct ctl *ctl)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	const PB(VerifyAuditReply) * verdict;
	struct err err = { 0 };

	if (verify(ctl, &m, &err) != 0)
		return ctl_fail(ctl, &err);
	verdict = (const PB(VerifyAuditReply) *)m;
	if (ctl->options.json)
		print_proto(stdout, m);
	else
		print_verdict(verdict);
	return verdict->intact ? CTL_DONE : CTL_REFUSED;
}
