#include "feed.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "json_proto.h"
#include "log.h"
#include "mem.h"

enum {
	ASK_MS = 5000,
	GATHER_MS = 100, /* rows that come one by one go out together */
	LOOK_MS = 1000,  /* hang-ups, and news that were lost */
	SILENCE_MS = 15000,
	ROUNDS_MAX = 50, /* answers for one client before the others have their turn */
	EVENT_MAX = 4 * 1024 * 1024,
};

struct client {
	struct client *next;
	struct http_stream *stream;
	char token[SESSION_TOKEN_MAX + 1];
	char *remote;
	PB(ActivityFilter) * filter;
	char cursor[48];
	bool is_over;
};

struct feed {
	struct bus *bus;
	pthread_t thread;
	bool is_started;
	pthread_mutex_t lock; /* guards all below; a client once taken in is the thread's alone */
	pthread_cond_t changed;
	bool is_stopping, must_look;
	uint64_t audit_seq;
	struct client *fresh; /* not taken in yet */
	size_t count;         /* of all */
	struct client *first; /* the thread's own */
};

/* ---- clients ---------------------------------------------------------------------------------------- */

static void client_free(struct client *c)
{
	if (c->stream)
		http_stream_end(c->stream);
	if (c->filter)
		msg_free(&c->filter->base);
	crypto_wipe(c->token, sizeof(c->token));
	free(c->remote);
	free(c);
}

static int ask(struct bus *bus, const struct client *c, ProtobufCMessage **ret, struct err *err)
{
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	PB(FollowActivityRequest) request = MCPBOX__V1__FOLLOW_ACTIVITY_REQUEST__INIT;
	const struct bus_call_opts opts = { .timeout_ms = ASK_MS,
					    .repeatable = true,
					    .principal = &principal };

	api_set_principal(&principal, c->token, c->remote);
	request.after = (char *)(uintptr_t)c->cursor;
	request.filter = c->filter;
	return bus_ask_registry(bus, MSG_GET_ACTIVITY_AFTER, &request.base, &opts, ret, err);
}

/* The id alone moves a reader on who is shown nothing of what went by. */
static int send_reply(struct client *c, const PB(FollowActivityReply) * reply)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(EVENT_MAX);

	if (reply->gap)
		buf_add_str(&text, "event: gap\ndata: {}\n\n");
	for (size_t i = 0; i < reply->n_items; i++) {
		buf_printf(&text, "id: %s\nevent: log\ndata: ", reply->items[i]->id);
		msg_to_json(&reply->items[i]->base, 0, &text);
		buf_add_str(&text, "\n\n");
	}
	if (strcmp(c->cursor, reply->cursor) != 0)
		buf_printf(&text, "id: %s\n\n", reply->cursor);
	(void)snprintf(c->cursor, sizeof(c->cursor), "%s", reply->cursor);
	if (text.is_over)
		return -ERR_TOO_LARGE;
	return text.len ? http_stream_send(c->stream, text.data, text.len) : 0;
}

static bool is_final(int r)
{
	return r == -ERR_UNAUTHENTICATED || r == -ERR_DENIED || r == -ERR_INVALID;
}

static void end_with(struct client *c, const char *why)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(1024);

	c->is_over = true;
	buf_printf(&text, "event: end\ndata: {\"reason\":\"%s\"}\n\n", why);
	(void)http_stream_send(c->stream, text.data, text.len);
}

/* True: there is more at once. */
static bool serve_once(struct feed *f, struct client *c)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	const PB(FollowActivityReply) * reply;
	struct err err = { 0 };
	int r = ask(f->bus, c, &m, &err);

	err_done(&err);
	if (is_final(r))
		end_with(c, "the session has ended");
	if (r != 0)
		return false;
	reply = (const PB(FollowActivityReply) *)m;
	r = send_reply(c, reply);
	if (r < 0 && r != -ERR_CANCELLED)
		log_info("activity.reader_cut_off", F_STR("remote", c->remote));
	c->is_over = r < 0;
	return reply->more && r == 0;
}

static void serve_client(struct feed *f, struct client *c)
{
	for (int i = 0; i < ROUNDS_MAX && serve_once(f, c); i++)
		;
}

/* ---- the thread ------------------------------------------------------------------------------------- */

static void take_in(struct feed *f)
{
	struct client *c;

	pthread_mutex_lock(&f->lock);
	while ((c = f->fresh)) {
		f->fresh = c->next;
		c->next = f->first;
		f->first = c;
	}
	pthread_mutex_unlock(&f->lock);
}

static void drop_gone(struct feed *f)
{
	struct client **at = &f->first;

	while (*at) {
		struct client *c = *at;

		if (!c->is_over && !http_stream_gone(c->stream)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		client_free(c);
		pthread_mutex_lock(&f->lock);
		f->count--;
		pthread_mutex_unlock(&f->lock);
	}
}

static bool wait_for_news(struct feed *f)
{
	struct timespec until;
	bool go_on;
	int r = 0;

	clock_abs_after(LOOK_MS, &until);
	pthread_mutex_lock(&f->lock);
	while (!f->must_look && !f->is_stopping && r == 0)
		r = pthread_cond_timedwait(&f->changed, &f->lock, &until);
	f->must_look = false;
	go_on = !f->is_stopping;
	pthread_mutex_unlock(&f->lock);
	return go_on;
}

static void *run(void *arg)
{
	struct feed *f = arg;

	while (wait_for_news(f)) {
		clock_sleep_ms(GATHER_MS);
		take_in(f);
		for (struct client *c = f->first; c; c = c->next)
			if (!http_stream_gone(c->stream))
				serve_client(f, c);
		drop_gone(f);
	}
	return NULL;
}

static void nudge(struct feed *f)
{
	f->must_look = true;
	pthread_cond_broadcast(&f->changed);
}

void feed_status(struct feed *f, uint64_t audit_seq)
{
	pthread_mutex_lock(&f->lock);
	if (audit_seq != f->audit_seq)
		nudge(f);
	f->audit_seq = audit_seq;
	pthread_mutex_unlock(&f->lock);
}

/* ---- a request -------------------------------------------------------------------------------------- */

static int read_filter(struct call *call, struct client *c, struct err *err)
{
	ProtobufCMessage *m = NULL;
	const char *after = http_header(call->rq, "Last-Event-ID");
	int r = json_to_msg(&mcpbox__v1__activity_filter__descriptor, NULL, 0, NULL, &m, err);

	c->filter = (PB(ActivityFilter) *)m;
	if (r == 0)
		r = api_set_query(call, m, err);
	if (r == 0 && after && strlen(after) >= sizeof(c->cursor))
		r = err_set_field(err, ERR_INVALID, "Last-Event-ID", NULL,
				  "there is no such event");
	if (r == 0 && after)
		(void)snprintf(c->cursor, sizeof(c->cursor), "%s", after);
	return r;
}

static int take_place(struct feed *f, struct err *err)
{
	bool is_full;

	pthread_mutex_lock(&f->lock);
	is_full = f->count >= FEED_CLIENTS_MAX || f->is_stopping;
	if (!is_full)
		f->count++;
	pthread_mutex_unlock(&f->lock);
	return is_full ? err_set(err, ERR_BUSY, "%d streams are open already", FEED_CLIENTS_MAX)
		       : 0;
}

static void give_place(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	f->count--;
	pthread_mutex_unlock(&f->lock);
}

static void hand_over(struct feed *f, struct client *c)
{
	pthread_mutex_lock(&f->lock);
	c->next = f->fresh;
	f->fresh = c;
	nudge(f);
	pthread_mutex_unlock(&f->lock);
}

/* The first answer is had before the stream begins: so what is refused is refused as everywhere. */
static int begin(struct call *call, struct client *c, struct err *err)
{
	static const char hello[] = "retry: 2000\nevent: connected\ndata: {}\n\n";
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	int r = read_filter(call, c, err);

	if (r == 0)
		r = ask(call->admin->bus, c, &m, err);
	if (r != 0)
		return r;
	c->stream = http_stream_begin(call->rq, "text/event-stream", SILENCE_MS);
	call->is_answered = true;
	if (!c->stream)
		return -ERR_BUSY;
	(void)http_stream_send(c->stream, hello, sizeof(hello) - 1);
	return send_reply(c, (const PB(FollowActivityReply) *)m);
}

int feed_serve(struct call *call, struct err *err)
{
	struct feed *f = call->admin->feed;
	struct client *c;
	int r = take_place(f, err);

	if (r < 0)
		return r;
	c = mem_alloc(sizeof(*c));
	memcpy(c->token, call->session.token, sizeof(c->token));
	c->remote = mem_strdup(http_remote(call->rq));
	r = begin(call, c, err);
	if (r == 0) {
		hand_over(f, c);
		return 0;
	}
	client_free(c);
	give_place(f);
	return call->is_answered ? 0 : r;
}

/* ---- life ------------------------------------------------------------------------------------------- */

struct feed *feed_new(void)
{
	struct feed *f = mem_alloc(sizeof(*f));
	pthread_condattr_t attr;

	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->changed, &attr);
	pthread_condattr_destroy(&attr);
	return f;
}

void feed_start(struct feed *f, struct bus *bus)
{
	pthread_attr_t attr;

	f->bus = bus;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1024 * 1024);
	if (pthread_create(&f->thread, &attr, run, f) != 0)
		box_bug("no thread");
	pthread_attr_destroy(&attr);
	f->is_started = true;
}

void feed_stop(struct feed *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->is_stopping = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	if (f->is_started)
		pthread_join(f->thread, NULL);
	take_in(f);
	for (struct client *c = f->first, *next; c; c = next) {
		next = c->next;
		client_free(c);
	}
	f->first = NULL;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
