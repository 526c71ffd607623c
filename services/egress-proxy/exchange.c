#include "exchange.h"

#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "permit.h"
#include "record.h"
#include "wire.h"

#define FRAME_OUT_MAX (WIRE_HEAD_MAX + 8)

static struct record_facts facts(const struct exchange *x)
{
	return (struct record_facts){
		.call = x->call,
		.request = &x->request,
		.request_no = x->request_no,
		.rule = x->used   ? x->used
			: x->rule ? x->rule->text
				  : "",
		.error = x->note,
		.total_ms = (uint32_t)((clock_mono_us() - x->started_us) / 1000),
	};
}

/* What was made for this request of secrets. */
static void forget(struct exchange *x)
{
	budget_give(&x->env->bodies, x->injected.body.len);
	injected_done(&x->injected);
	free(x->secrets);
	free(x->used);
	free(x->note);
	x->secrets = NULL;
	x->used = x->note = NULL;
}

static void finish(struct exchange *x, struct buf *frame, struct buf *body)
{
	x->is_running = false;
	forget(x);
	forward_done(&x->request);
	x->done(x->arg, frame, body);
	buf_done(frame);
}

static void answer_error(struct exchange *x, const struct forward_error *e)
{
	struct buf frame = BUF_INIT(FRAME_OUT_MAX);
	struct buf none = BUF_INIT(0);

	forward_error_frame(e, &frame);
	finish(x, &frame, &none);
}

/* An outage or a ceiling: the request was allowed, but nothing came of it. */
static void fail(struct exchange *x, enum forward_kind kind, const char *text,
		 const struct fetch_result *result)
{
	struct record_facts f = facts(x);
	char host[HOST_NAME_MAX_LEN + 1];
	struct forward_error e = {
		.kind = kind, .text = text, .host = host, .port = x->request.target.port
	};

	f.error = text;
	f.result = result;
	memcpy(host, x->request.target.host.text, sizeof(host));
	record_ended(x->env->spool, &f);
	answer_error(x, &e);
}

static void record_denied(struct exchange *x, const struct record_facts *f)
{
	struct tally *tally = x->call->tally;

	if (++tally->denials > CALL_DENIALS_SINGLE_MAX && !x->is_started) {
		tally->unrecorded++;
		return;
	}
	log_info("egress.denied", F_STR("call", x->call->open->call_id),
		 F_STR("tool", x->call->permit->tool_id),
		 F_STR("host", f->request->target.host.text),
		 F_UINT("port", f->request->target.port), F_STR("rule", f->rule));
	record_ended(x->env->spool, f);
}

static void deny_as(struct exchange *x, enum forward_kind kind, const char *rule, const char *text,
		    bool can_be_asked_for)
{
	const struct target *t = &x->request.target;
	struct record_facts f = facts(x);
	char host[HOST_NAME_MAX_LEN + 1];
	char hint[512];
	struct forward_error e = {
		.kind = kind, .text = text, .host = host, .port = t->port, .rule = rule
	};

	memcpy(host, t->host.text, sizeof(host));
	if (can_be_asked_for) {
		(void)snprintf(hint, sizeof(hint),
			       "ask with mcpbox_request_network_access: tool_id \"%s\", host "
			       "\"%s\", port %u",
			       x->call->permit->tool_id, host, t->port);
		e.hint = hint;
	}
	f.is_denied = true;
	f.rule = rule;
	f.error = text;
	record_denied(x, &f);
	answer_error(x, &e);
}

static void deny(struct exchange *x, const char *rule, const struct err *err, bool can_be_asked_for)
{
	deny_as(x, FORWARD_DENIED, rule, err->text, can_be_asked_for);
}

/* ---- ceilings of a call ---- */

static const char *ceiling_met(const struct tally *t)
{
	if (t->denials >= CALL_DENIALS_MAX)
		return "too-many-denials";
	return t->requests >= CALL_REQUESTS_MAX ? "too-many-requests" : NULL;
}

void exchange_record_rest(struct exchange_env *env, const struct call *call)
{
	struct forward_request none = { 0 };
	struct record_facts f = {
		.call = call, .request = &none, .rule = "too-many-denials", .is_denied = true
	};
	char text[128];

	if (!call->tally || call->tally->unrecorded == 0)
		return;
	(void)snprintf(text, sizeof(text), "%u more requests were refused, %u in all",
		       call->tally->unrecorded, call->tally->denials);
	none.method = (char[]){ "" };
	f.error = text;
	f.request_no = ++env->last_request_no;
	call->tally->unrecorded = 0;
	log_info("egress.denied_more", F_STR("call", call->open->call_id),
		 F_STR("tool", call->permit->tool_id), F_UINT("denials", call->tally->denials));
	record_ended(env->spool, &f);
}

/* Recorded the first time only: a tool can open streams and ask as often as it likes. */
static void end_stream(struct exchange *x, const char *rule)
{
	struct tally *tally = x->call->tally;
	struct record_facts f = facts(x);
	char text[160];
	struct forward_error e = { .kind = FORWARD_DENIED, .text = text, .rule = rule };

	(void)snprintf(text, sizeof(text),
		       "the call has made %u requests, %u of them refused; it may make no more",
		       tally->requests, tally->denials);
	if (!tally->is_over) {
		tally->is_over = true;
		exchange_record_rest(x->env, x->call);
		f.is_denied = true;
		f.rule = rule;
		f.error = text;
		record_ended(x->env->spool, &f);
	}
	x->ends_stream = true;
	answer_error(x, &e);
}

/* ---- the answer of the origin ---- */

static void on_fetched(void *arg, struct fetch_result *r)
{
	struct exchange *x = arg;
	struct buf frame = BUF_INIT(FRAME_OUT_MAX);
	BOX_CLEANUP(mem_freep) char *url = target_url(&x->request.target);
	struct forward_answer a = { .status = r->status,
				    .reason = r->reason,
				    .http_version = r->http_version,
				    .headers = &r->headers,
				    .url = url,
				    .body_len = r->body.len };
	struct record_facts f = facts(x);

	x->fetch = NULL;
	if (!r->is_ok) {
		if (r->kind == FORWARD_DENIED)
			deny_as(x, r->kind, "address", r->text, false);
		else
			fail(x, r->kind, r->text, r);
		return;
	}
	if (forward_answer_frame(&a, &frame) < 0) {
		fail(x, FORWARD_TOO_LARGE, "the headers of the answer are too large", r);
		return;
	}
	f.result = r;
	record_ended(x->env->spool, &f);
	finish(x, &frame, &r->body);
}

/* ---- what may be dialled ---- */

static bool is_judged(const struct exchange *x, const struct address *a)
{
	for (size_t i = 0; i < x->resolved.count; i++)
		if (address_equal(&x->resolved.addresses[i], a))
			return true;
	return false;
}

static int judge_address(const struct exchange *x, const struct address *a, uint16_t port,
			 struct err *err)
{
	const struct host *host = &x->request.target.host;

	if (own_has_listener(x->env->own, a, port))
		return err_set(err, ERR_DENIED, "%s leads to MCPBox itself", host->text);
	if (x->resolved.is_pinned)
		return 0;
	if (own_has_address(x->env->own, a))
		return err_set(err, ERR_DENIED, "%s leads to the host of the egress-proxy",
			       host->text);
	return policy_judge_address(x->rule, host, a, err);
}

static uint16_t dialled_port(const struct exchange *x)
{
	return x->resolved.to_port ? x->resolved.to_port : x->request.target.port;
}

/*
 * A pooled connection may lead to an address that today's lookup does not give; it was opened under
 * the same grant, so it is good if its address still is.  The operator's pins allow no such
 * latitude.
 */
static bool may_dial(void *arg, const struct address *a, uint16_t port)
{
	const struct exchange *x = arg;

	if (port != dialled_port(x) || (x->resolved.is_pinned && !is_judged(x, a)))
		return false;
	return judge_address(x, a, port, NULL) == 0;
}

/* ---- steps before the request leaves ---- */

static uint32_t time_left_ms(const struct exchange *x)
{
	uint64_t now = clock_mono_ms();
	uint64_t left = x->call->deadline_mono_ms > now ? x->call->deadline_mono_ms - now : 0;
	uint32_t granted = x->call->grant->message->max_request_ms;

	if (granted && granted < left)
		left = granted;
	if (x->request.timeout_ms && x->request.timeout_ms < left)
		left = x->request.timeout_ms;
	return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

/* ---- secrets ---- */

/* For records: which secrets went where. */
static char *tell_used(const struct exchange *x)
{
	struct buf b = BUF_INIT(512);
	char *text;

	buf_printf(&b, "%s (secrets:", x->rule->text);
	for (size_t i = 0; i < vault_count(x->call->grant->vault); i++)
		if (x->injected.used[i])
			buf_printf(&b, " %s", x->secrets[i].key);
	buf_add_char(&b, ')');
	text = mem_strdup(buf_str(&b));
	buf_done(&b);
	return text;
}

static void use_injected(struct exchange *x)
{
	if (x->injected.unknown > 0)
		x->note = mem_printf(
			"%u placeholders that this call did not get were left as they are",
			x->injected.unknown);
	if (!x->injected.is_changed)
		return;
	x->used = tell_used(x);
	x->sent.headers = x->injected.headers;
	x->sent.target.path = x->injected.path;
}

/* Puts the values of secrets into what will be sent.  -code: the request may not go out. */
static int take_secrets(struct exchange *x, struct err *err)
{
	const struct vault_target to = { &x->request.target, x->rule, x->resolved.is_pinned };
	struct vault *vault = x->call->grant->vault;
	int r = 0;

	x->sent = x->request;
	if (vault_count(vault) > 0)
		r = vault_list(vault, bus_keys(x->env->bus), x->call->open->call_id, &to,
			       &x->secrets, &x->mask, err);
	if (r == 0 && inject_is_needed(&x->request, x->body, x->body_len)) {
		r = inject(x->secrets, vault_count(vault), &x->request, x->body, x->body_len,
			   grant_max_request(x->call->grant), &x->injected, err);
		budget_take_over(&x->env->bodies, x->injected.body.len);
		if (r == 0)
			use_injected(x);
	}
	return r;
}

static void refuse_secrets(struct exchange *x, int code, const struct err *err)
{
	if (code == -ERR_TOO_LARGE)
		fail(x, FORWARD_TOO_LARGE, err->text, NULL);
	else
		deny(x, "secret", err, false);
}

/* ---- on its way ---- */

static void send_request(struct exchange *x)
{
	struct fetch_request rq = { .server_id = x->call->permit->server_id,
				    .grant_hash = x->call->grant->hash,
				    .forward = &x->sent,
				    .body = x->injected.has_body ? x->injected.body.data : x->body,
				    .body_len = x->injected.has_body ? x->injected.body.len
								     : x->body_len,
				    .mask = x->mask,
				    .resolved = &x->resolved,
				    .timeout_ms = time_left_ms(x),
				    .max_response = grant_max_response(x->call->grant),
				    .budget = &x->env->bodies,
				    .may_dial = may_dial,
				    .arg = x };
	struct record_facts f = facts(x);
	struct err err = { 0 };

	if (rq.timeout_ms == 0) {
		fail(x, FORWARD_TIMEOUT, "the time of the call is over", NULL);
		return;
	}
	if (record_started(x->env->spool, &f, &err) < 0) {
		fail(x, FORWARD_UNAVAILABLE,
		     "no record of the request can be kept, so it was not sent", NULL);
		return;
	}
	x->is_started = true;
	x->fetch = fetch_start(x->env->fetcher, &rq, on_fetched);
}

static enum forward_kind kind_of_lookup(const struct err *err)
{
	return err->code == ERR_BUSY ? FORWARD_UNAVAILABLE : FORWARD_DNS;
}

/* Every answer is judged; one bad address denies the name. */
static void on_resolved(void *arg, const struct resolved *answer, const struct err *failure)
{
	struct exchange *x = arg;
	struct err err = { 0 };
	int r;

	x->lookup = NULL;
	if (!answer && failure->code == ERR_DENIED) {
		deny(x, "addresses", failure, false);
		return;
	}
	if (!answer) {
		fail(x, kind_of_lookup(failure), failure->text, NULL);
		return;
	}
	x->resolved = *answer;
	for (size_t i = 0; i < answer->count; i++) {
		const struct address *a = &x->resolved.addresses[i];

		if (judge_address(x, a, dialled_port(x), &err) < 0) {
			deny(x, "address", &err, address_classify(a) == ADDRESS_PRIVATE);
			return;
		}
	}
	r = take_secrets(x, &err);
	if (r < 0)
		refuse_secrets(x, r, &err);
	else
		send_request(x);
}

static int check_permit(const struct exchange *x, struct err *err)
{
	PB(Permit) *permit = NULL;
	int r = permit_check(x->env->bus, x->call->open->permit, 1u << x->call->permit->purpose,
			     x->env->stale_max_ms, &permit, err);

	if (permit)
		msg_free(&permit->base);
	return r;
}

void exchange_start(struct exchange *x)
{
	struct forward_request *rq = &x->request;
	const char *ceiling = ceiling_met(x->call->tally);
	const char *reason = NULL;
	struct err err = { 0 };
	struct resolve *lookup;

	x->is_running = true;
	x->started_us = clock_mono_us();
	x->request_no = ++x->env->last_request_no;
	x->rule = NULL;
	x->lookup = NULL;
	x->fetch = NULL;
	x->secrets = NULL;
	x->injected = (struct injected){ 0 };
	x->used = x->note = NULL;
	x->mask = NULL;
	x->is_started = false;
	if (ceiling) {
		end_stream(x, ceiling);
		return;
	}
	x->call->tally->requests++;
	if (rq->is_refused) {
		deny_as(x, rq->refused_as, rq->refused_rule, rq->refusal.text, false);
	} else if (check_permit(x, &err) < 0) {
		deny(x, "permit", &err, false);
	} else if (policy_check(x->call->grant->policy, &rq->target, rq->method, &x->rule, &reason,
				&err) < 0) {
		deny(x, reason, &err, policy_can_be_granted(&rq->target.host));
	} else {
		lookup = resolve_start(x->env->resolver, &rq->target.host, rq->target.port,
				       on_resolved, x);
		if (lookup)
			x->lookup = lookup;
	}
}

void exchange_cancel(struct exchange *x, const char *reason)
{
	struct record_facts f;

	if (!x->is_running)
		return;
	f = facts(x);
	f.error = reason;
	if (x->lookup)
		resolve_cancel(x->lookup);
	if (x->fetch) {
		fetch_cancel(x->fetch);
		record_ended(x->env->spool, &f);
	}
	forget(x);
	x->is_running = false;
}
