#include "stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "mem.h"

#define TICK_US      (200u * 1000)
#define OPENINGS_MAX 3 /* an answer STALE_PEER invites to try again */
/* A request that runs into the deadline is answered by its own time-out first. */
#define DEADLINE_GRACE_MS 1000

static void on_ready(void *arg, int fd, uint32_t events);
static void stream_tick(void *arg);

/* ---- end ---- */

static void listener_watch(struct listener *l);

static void drop_bodies(struct stream *s)
{
	budget_give(&s->listener->env->bodies, s->held);
	s->held = 0;
	buf_done(&s->out_frame);
	buf_done(&s->out_body);
}

static void stream_free(struct stream *s, const char *reason)
{
	struct listener *l = s->listener;

	exchange_cancel(&s->exchange, reason);
	forward_done(&s->exchange.request);
	loop_unwatch(l->loop, s->fd);
	(void)close(s->fd);
	if (s->prev)
		s->prev->next = s->next;
	else
		l->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	l->count--;
	exchange_record_rest(l->env, &s->call);
	call_done(&s->call);
	drop_bodies(s);
	wire_done(&s->wire);
	free(s);
	/* accept() may have been given up for want of descriptors. */
	if (l->fd >= 0)
		listener_watch(l);
}

/* ---- out ---- */

static uint32_t wanted_events(const struct stream *s)
{
	switch (s->state) {
	case STREAM_ANSWERING:
		return EPOLLOUT;
	case STREAM_BUSY:
		/* Not EPOLLIN: the next request waits in the socket. */
		return EPOLLRDHUP;
	default:
		return EPOLLIN | EPOLLRDHUP;
	}
}

static void enter(struct stream *s, enum stream_state state)
{
	s->state = state;
	loop_watch(s->listener->loop, s->fd, wanted_events(s), on_ready, s);
}

static size_t unsent(const struct stream *s)
{
	return s->out_frame.len + s->out_body.len - s->sent;
}

/* -errno, or 0 when as much as possible went out. */
static int send_some(struct stream *s)
{
	while (unsent(s) > 0) {
		size_t body_sent = s->sent > s->out_frame.len ? s->sent - s->out_frame.len : 0;
		size_t frame_sent = s->sent - body_sent;
		struct iovec parts[2] = {
			{ s->out_frame.data + frame_sent, s->out_frame.len - frame_sent },
			{ s->out_body.data + body_sent, s->out_body.len - body_sent },
		};
		struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
		ssize_t n = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		s->sent += (size_t)n;
	}
	return 0;
}

static void answer_sent(struct stream *s)
{
	drop_bodies(s);
	s->sent = 0;
	wire_next(&s->wire);
	s->wire.head.max = s->call.permit ? WIRE_HEAD_MAX : WIRE_OPEN_MAX;
	enter(s, s->call.permit ? STREAM_READING : STREAM_OPENING);
}

/* Never frees the stream, because an exchange may be on the stack: an error shows at the next
 * event. */
static void start_answer(struct stream *s)
{
	if (send_some(s) == 0 && unsent(s) == 0 && !s->closes_after_answer)
		answer_sent(s);
	else
		enter(s, STREAM_ANSWERING);
}

static void continue_answer(struct stream *s)
{
	if (send_some(s) < 0)
		stream_free(s, "the tool's side closed");
	else if (unsent(s) > 0)
		return;
	else if (s->closes_after_answer)
		stream_free(s, NULL);
	else
		answer_sent(s);
}

static void on_exchanged(void *arg, struct buf *frame, struct buf *body)
{
	struct stream *s = arg;

	s->out_frame = *frame;
	s->out_body = *body;
	*frame = (struct buf)BUF_INIT(frame->max);
	*body = (struct buf)BUF_INIT(body->max);
	s->held += s->out_body.len;
	budget_take_over(&s->listener->env->bodies, s->out_body.len);
	s->sent = 0;
	s->closes_after_answer = s->exchange.ends_stream;
	start_answer(s);
}

/* ---- in: requests ---- */

/* For frames after which the stream cannot go on. */
static void answer_and_close(struct stream *s, enum forward_kind kind, const char *text)
{
	struct forward_error e = { .kind = kind, .text = text };

	s->out_frame = (struct buf)BUF_INIT(WIRE_HEAD_MAX + 8);
	forward_error_frame(&e, &s->out_frame);
	s->closes_after_answer = true;
	start_answer(s);
}

static void refuse_large_body(struct stream *s, uint64_t body_len)
{
	char text[120];

	(void)snprintf(text, sizeof(text),
		       "the body of the request is too large: %.1f MiB where %.4g MiB are allowed",
		       (double)body_len / (1024.0 * 1024),
		       (double)grant_max_request(s->call.grant) / (1024.0 * 1024));
	answer_and_close(s, FORWARD_TOO_LARGE, text);
}

/* False: the stream was answered and is about to end. */
static bool take_head(struct stream *s)
{
	struct forward_request *rq = &s->exchange.request;
	struct err err = { 0 };

	if (forward_parse(s->wire.head.data, s->wire.head.len, rq, &err) < 0) {
		answer_and_close(s, FORWARD_PROTOCOL, err.text);
	} else if (rq->body_len > grant_max_request(s->call.grant)) {
		refuse_large_body(s, rq->body_len);
	} else if (!budget_take(&s->listener->env->bodies, rq->body_len)) {
		answer_and_close(s, FORWARD_UNAVAILABLE,
				 "too many large requests are under way; try again");
	} else {
		s->held = rq->body_len;
		s->wire.body.max = (size_t)rq->body_len;
		return true;
	}
	forward_done(rq);
	return false;
}

static void take_request(struct stream *s)
{
	struct exchange *x = &s->exchange;

	x->env = s->listener->env;
	x->call = &s->call;
	x->body = s->wire.body.data;
	x->body_len = s->wire.body.len;
	x->done = on_exchanged;
	x->arg = s;
	enter(s, STREAM_BUSY);
	exchange_start(x);
}

/* ---- in: opening ---- */

static void take_opening(struct stream *s)
{
	struct buf reply = BUF_INIT(WIRE_HEAD_MAX);

	if (++s->openings > OPENINGS_MAX ||
	    handlers_answer(s, s->wire.head.data, s->wire.head.len, &reply) < 0) {
		log_debug("egress.opening_ignored", F_INT("peer_pid", s->peer_pid),
			  F_UINT("openings", s->openings));
		buf_done(&reply);
		stream_free(s, NULL);
		return;
	}
	s->out_frame = (struct buf)BUF_INIT(WIRE_HEAD_MAX + 4);
	buf_add_u32le(&s->out_frame, (uint32_t)reply.len);
	buf_add(&s->out_frame, reply.data, reply.len);
	buf_done(&reply);
	start_answer(s);
}

/* ---- in: bytes ---- */

static void take_event(struct stream *s, enum wire_event e)
{
	if (e == WIRE_BAD) {
		if (s->state == STREAM_OPENING)
			stream_free(s, NULL);
		else
			answer_and_close(s, FORWARD_PROTOCOL, "a head has 1 to 65536 bytes");
		return;
	}
	if (e == WIRE_HEAD && s->state == STREAM_OPENING) {
		take_opening(s);
		return;
	}
	if (e == WIRE_HEAD) {
		if (!take_head(s))
			return;
		e = wire_expect_body(&s->wire, (size_t)s->exchange.request.body_len);
	}
	if (e == WIRE_BODY)
		take_request(s);
}

static void read_some(struct stream *s)
{
	size_t room = 0;
	void *space = wire_space(&s->wire, &room);
	ssize_t n = recv(s->fd, space, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		stream_free(s, "the tool's side closed");
	else
		take_event(s, wire_advance(&s->wire, (size_t)n));
}

static void on_ready(void *arg, int fd, uint32_t events)
{
	struct stream *s = arg;

	(void)fd;
	if (s->state == STREAM_ANSWERING)
		continue_answer(s);
	else if (s->state == STREAM_BUSY)
		stream_free(s, "the tool's side closed");
	else if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		read_some(s);
}

/* ---- accepting ---- */

static void stream_new(struct listener *l, int fd)
{
	struct stream *s = mem_alloc(sizeof(*s));
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	log_debug("egress.stream_accepted", F_INT("pid", peer.pid), F_INT("uid", peer.uid));
	s->listener = l;
	s->fd = fd;
	s->peer_pid = peer.pid;
	s->accepted_mono_ms = clock_mono_ms();
	wire_init(&s->wire, WIRE_OPEN_MAX, 0);
	s->next = l->streams;
	if (s->next)
		s->next->prev = s;
	l->streams = s;
	if (l->count++ == 0)
		loop_timer_set(l->loop, &l->tick, TICK_US, stream_tick, l);
	enter(s, STREAM_OPENING);
}

static void turn_away(struct listener *l, int fd)
{
	(void)close(fd);
	if (l->turned_away++ % 1000 == 0)
		log_warn("egress.streams_full", F_UINT("ceiling", STREAMS_MAX),
			 F_UINT("turned_away", l->turned_away));
}

static void on_connect(void *arg, int fd, uint32_t events)
{
	struct listener *l = arg;
	int stream = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (stream < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* Level-triggered: it would come again at once.  The end of a stream takes it up
		 * again. */
		log_error("egress.descriptors_exhausted", F_ERRNO(errno));
		loop_unwatch(l->loop, l->fd);
	}
	if (stream < 0)
		return;
	if (l->count >= STREAMS_MAX)
		turn_away(l, stream);
	else
		stream_new(l, stream);
}

static void listener_watch(struct listener *l)
{
	loop_watch(l->loop, l->fd, EPOLLIN, on_connect, l);
}

static bool is_overdue(const struct stream *s, uint64_t now)
{
	if (!s->call.permit)
		return now > s->accepted_mono_ms + OPENING_TIMEOUT_MS;
	return now > s->call.deadline_mono_ms + DEADLINE_GRACE_MS ||
	       (s->state == STREAM_READING && now > s->call.deadline_mono_ms);
}

static void stream_tick(void *arg)
{
	struct listener *l = arg;
	uint64_t now = clock_mono_ms();
	struct stream *next;

	for (struct stream *s = l->streams; s; s = next) {
		next = s->next;
		if (is_overdue(s, now))
			stream_free(s, "the time of the call is over");
	}
	if (l->count > 0)
		loop_timer_set(l->loop, &l->tick, TICK_US, stream_tick, l);
}

void listener_drop_revoked(struct listener *l)
{
	struct stream *next;

	for (struct stream *s = l->streams; s; s = next) {
		next = s->next;
		if (!s->call.permit ||
		    !bus_permit_is_revoked(l->env->bus, s->call.permit->permit_id))
			continue;
		log_info("egress.stream_revoked", F_STR("call", s->call.open->call_id),
			 F_STR("tool", s->call.permit->tool_id));
		stream_free(s, "revoked");
	}
}

size_t listener_streams_of_call(const struct listener *l, const char *call_id)
{
	size_t n = 0;

	for (const struct stream *s = l->streams; s; s = s->next)
		if (s->call.open && strcmp(s->call.open->call_id, call_id) == 0)
			n++;
	return n;
}

/* ---- the socket ---- */

/* A socket file whose owner died stays; a living owner still answers. */
static int remove_stale(const struct sockaddr_un *sa, struct err *err)
{
	struct stat st;
	int fd;
	int r;

	if (lstat(sa->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_UNAVAILABLE, "%s is there and is not a socket",
			       sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = connect(fd, (const struct sockaddr *)(const void *)sa, sizeof(*sa));
	(void)close(fd);
	if (r == 0)
		return err_set(err, ERR_UNAVAILABLE, "another egress-proxy answers at %s",
			       sa->sun_path);
	(void)unlink(sa->sun_path);
	return 0;
}

int listener_start(struct listener *l, struct loop *loop, struct exchange_env *env,
		   const char *path, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, ERR_UNAVAILABLE, "the path of the socket is too long");
	memcpy(sa.sun_path, path, strlen(path));
	r = remove_stale(&sa, err);
	if (r < 0)
		return r;
	*l = (struct listener){ .loop = loop, .env = env };
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(l->fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) < 0 ||
	    chmod(path, 0660) < 0 || listen(l->fd, 512) < 0) {
		r = err_set(err, ERR_UNAVAILABLE, "cannot listen at %s: %s", path,
			    strerrordesc_np(errno));
		(void)close(l->fd);
		*l = (struct listener){ .fd = -1 };
		return r;
	}
	l->path = mem_strdup(path);
	l->grants = grant_cache_new();
	listener_watch(l);
	return 0;
}

void listener_stop(struct listener *l)
{
	if (!l->path)
		return;
	loop_unwatch(l->loop, l->fd);
	(void)close(l->fd);
	(void)unlink(l->path);
	l->fd = -1;
	for (struct stream *s = l->streams, *next; s; s = next) {
		next = s->next;
		stream_free(s, "the egress-proxy stops");
	}
	loop_timer_clear(l->loop, &l->tick);
	grant_cache_free(l->grants);
	call_free_tallies(&l->tallies);
	free(l->path);
	l->path = NULL;
}
