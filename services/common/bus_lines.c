#include "bus_lines.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bus_internal.h"
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "parse.h"

#define HEAD          4u
#define CONNECT_MS    1000u
#define SEND_MS       1000u /* a peer that does not read may not hold a thread */
#define FRAME_MS      10000u
#define FIRST_MS      5000u  /* for the first frame, which proves who is there */
#define STRANGERS_MAX 32u    /* connections that have shown no seal yet */
#define IDLE_MAX      64u    /* lines kept open without use */
#define GREETING      '\x06' /* the answerer's first byte: there is a thread for this line */
#define ROOM_FIRST    (16u * 1024)
#define ROOM_KEPT     (256u * 1024)
#define NO_DEADLINE   UINT64_MAX

/* ---- a frame on a socket -------------------------------------------------------------------- */

static void socket_prepare(int fd)
{
	static const int on = 1, idle_s = 60;
	static const struct timeval send = { .tv_sec = SEND_MS / 1000 };

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof(send));
}

static bool frame_send(int fd, const struct buf *frame)
{
	uint8_t head[HEAD] = { (uint8_t)frame->len, (uint8_t)(frame->len >> 8),
			       (uint8_t)(frame->len >> 16), (uint8_t)(frame->len >> 24) };
	struct iovec parts[2] = { { head, HEAD }, { frame->data, frame->len } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	size_t left = HEAD + frame->len;

	while (left > 0) {
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		left -= (size_t)n;
		for (size_t done = (size_t)n; done > 0 && m.msg_iovlen > 0;) {
			size_t step = done < m.msg_iov->iov_len ? done : m.msg_iov->iov_len;

			m.msg_iov->iov_base = (uint8_t *)m.msg_iov->iov_base + step;
			m.msg_iov->iov_len -= step;
			done -= step;
			if (m.msg_iov->iov_len == 0) {
				m.msg_iov++;
				m.msg_iovlen--;
			}
		}
	}
	return true;
}

static int wait_readable(int fd, uint64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t now;
	int r;

	do {
		now = clock_mono_ms();
		if (now >= deadline_ms)
			return -ERR_DEADLINE;
		r = poll(&p, 1, deadline_ms - now > INT32_MAX ? -1 : (int)(deadline_ms - now));
	} while (r == 0 || (r < 0 && errno == EINTR));
	return r < 0 ? -ERR_UNAVAILABLE : 0;
}

/* More bytes into `in`, of which at most `want` in all are due. */
static int read_more(int fd, struct buf *in, size_t want, uint64_t deadline_ms)
{
	size_t room = want - in->len < ROOM_FIRST ? ROOM_FIRST : want - in->len;
	uint8_t *at = buf_grow(in, room);
	ssize_t n;
	int r = at ? wait_readable(fd, deadline_ms) : -ERR_TOO_LARGE;

	if (r < 0)
		return r;
	n = recv(fd, at, room, 0);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return -ERR_UNAVAILABLE;
	in->len += (size_t)n;
	return 0;
}

static size_t frame_length(const struct buf *in)
{
	return (size_t)in->data[0] | (size_t)in->data[1] << 8 | (size_t)in->data[2] << 16 |
	       (size_t)in->data[3] << 24;
}

/*
 * One whole frame, behind HEAD bytes of `in`; nothing may follow it, since one is due at a time.
 * until_first_ms: for its first byte; the rest has FRAME_MS.
 */
static int frame_receive(int fd, struct buf *in, uint64_t until_first_ms)
{
	uint64_t until = until_first_ms;
	size_t want = HEAD;

	buf_clear(in);
	while (in->len < want) {
		int r = read_more(fd, in, want, until);

		if (r < 0)
			return r;
		if (in->len < HEAD)
			continue;
		want = HEAD + frame_length(in);
		if (want > HEAD + FRAME_MAX || in->len > want)
			return -ERR_INVALID;
		if (until == until_first_ms && in->len < want) {
			until = clock_mono_ms() + FRAME_MS;
			if (until > until_first_ms)
				until = until_first_ms;
		}
	}
	return 0;
}

/* What a large frame needed is not kept for the small ones. */
static void room_trim(struct buf *in)
{
	if (in->cap > ROOM_KEPT)
		buf_done(in);
}

/* "tcp://127.0.0.1:4000": numeric IPv4 hosts only. */
static bool address_of(const char *url, uint16_t port, struct sockaddr_in *ret)
{
	static const char scheme[] = "tcp://";
	char host[INET_ADDRSTRLEN];
	const char *end = strrchr(url, ':');
	size_t len;

	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0 || !end)
		return false;
	url += sizeof(scheme) - 1;
	len = end > url ? (size_t)(end - url) : 0;
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, url, len);
	host[len] = '\0';
	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	return inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

/* ---- asking --------------------------------------------------------------------------------- */

struct line {
	struct lines *lines;
	int fd;
	struct sockaddr_in peer;
	struct buf in;
	bool is_sound; /* it carried a whole question and a whole answer */
	struct line *next;
};

struct lines {
	pthread_mutex_t lock;
	struct line *idle, *used; /* guarded by lock, like all below */
	uint32_t idle_count;
	bool is_stopping;
};

struct lines *lines_new(void)
{
	struct lines *all = mem_alloc(sizeof(*all));

	(void)pthread_mutex_init(&all->lock, NULL);
	return all;
}

static void line_free(struct line *line)
{
	(void)close(line->fd);
	buf_done(&line->in);
	free(line);
}

/* Under the lock: the one at *at moves to the front of `to`. */
static struct line *line_move(struct line **at, struct line **to)
{
	struct line *line = *at;

	*at = line->next;
	line->next = *to;
	*to = line;
	return line;
}

static struct line *take_idle(struct lines *all, const struct sockaddr_in *peer)
{
	struct line *found = NULL;

	(void)pthread_mutex_lock(&all->lock);
	for (struct line **at = &all->idle; *at && !found; at = &(*at)->next) {
		if ((*at)->peer.sin_port != peer->sin_port ||
		    (*at)->peer.sin_addr.s_addr != peer->sin_addr.s_addr)
			continue;
		found = line_move(at, &all->used);
		all->idle_count--;
		break;
	}
	(void)pthread_mutex_unlock(&all->lock);
	return found;
}

/* The peer has closed it meanwhile, or said something that nobody asked for. */
static bool is_stale(const struct line *line)
{
	uint8_t byte;

	return recv(line->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
	       (errno != EAGAIN && errno != EINTR);
}

static bool connect_within(int fd, const struct sockaddr_in *peer)
{
	struct timeval limit = { .tv_sec = CONNECT_MS / 1000 };
	struct timeval none = { 0 };

	/* SO_SNDTIMEO bounds connect() too. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	socket_prepare(fd);
	return true;
}

/* Before that nothing is sent: what a refused connection had swallowed might have run. */
static bool is_greeted(int fd)
{
	char byte;

	return wait_readable(fd, clock_mono_ms() + CONNECT_MS) == 0 && recv(fd, &byte, 1, 0) == 1 &&
	       byte == GREETING;
}

/* NULL: there is no line to this peer. */
static struct line *line_open(struct lines *all, const struct sockaddr_in *peer)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct line *line;

	if (fd < 0 || !connect_within(fd, peer) || !is_greeted(fd)) {
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	line = mem_alloc(sizeof(*line));
	*line = (struct line){
		.lines = all, .fd = fd, .peer = *peer, .in = BUF_INIT(HEAD + FRAME_MAX + ROOM_FIRST)
	};
	(void)pthread_mutex_lock(&all->lock);
	line->next = all->used;
	all->used = line;
	if (all->is_stopping)
		(void)shutdown(fd, SHUT_RDWR);
	(void)pthread_mutex_unlock(&all->lock);
	return line;
}

int line_take(struct lines *all, const char *addr, uint16_t port, struct line **ret)
{
	struct sockaddr_in peer;
	struct line *line;

	if (!address_of(addr, port, &peer))
		return -ERR_UNAVAILABLE;
	while ((line = take_idle(all, &peer)) && is_stale(line)) {
		line->is_sound = false;
		line_give_back(line);
	}
	if (!line)
		line = line_open(all, &peer);
	*ret = line;
	return line ? 0 : -ERR_UNAVAILABLE;
}

void line_give_back(struct line *line)
{
	struct lines *all = line->lines;
	struct line **at = &all->used;
	bool keep;

	room_trim(&line->in);
	(void)pthread_mutex_lock(&all->lock);
	while (*at != line)
		at = &(*at)->next;
	keep = line->is_sound && !all->is_stopping && all->idle_count < IDLE_MAX;
	if (keep) {
		(void)line_move(at, &all->idle);
		all->idle_count++;
	} else {
		*at = line->next;
	}
	(void)pthread_mutex_unlock(&all->lock);
	if (!keep)
		line_free(line);
}

enum exchange line_exchange(struct line *line, const struct buf *question, uint64_t deadline_ms,
			    struct slot_answer *ret)
{
	int r;

	line->is_sound = false;
	/* Part of a frame never opens at the other end, so only a whole one was sent. */
	if (!frame_send(line->fd, question))
		return EXCHANGE_NOT_SENT;
	r = frame_receive(line->fd, &line->in, deadline_ms);
	if (r < 0)
		return r == -ERR_DEADLINE ? EXCHANGE_LATE : EXCHANGE_BROKEN;
	line->is_sound = true;
	*ret = (struct slot_answer){ .data = line->in.data + HEAD, .len = line->in.len - HEAD };
	return EXCHANGE_ANSWERED;
}

void lines_stop(struct lines *all)
{
	(void)pthread_mutex_lock(&all->lock);
	all->is_stopping = true;
	for (struct line *line = all->used; line; line = line->next)
		(void)shutdown(line->fd, SHUT_RDWR);
	while (all->idle) {
		struct line *line = all->idle;

		all->idle = line->next;
		line_free(line);
	}
	all->idle_count = 0;
	(void)pthread_mutex_unlock(&all->lock);
}

/* ---- answering ------------------------------------------------------------------------------ */

struct served {
	struct line_server *server;
	int fd;
	char remote[64];
	bool is_proven;   /* has shown a valid seal; its own thread's */
	bool is_stranger; /* counted as one; guarded by the server's lock */
	struct served *next;
};

struct line_server {
	struct bus *bus;
	struct bus_server server;
	_Atomic uint32_t *in_flight;
	int listen_fd;
	uint16_t port;
	uint32_t max; /* connections at once; more are closed and their askers use nng */
	pthread_t acceptor;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct served *served; /* guarded by lock, like all below */
	uint32_t count, strangers;
	bool is_stopping;
};

static void served_end(struct served *c)
{
	struct line_server *s = c->server;
	struct served **at = &s->served;

	(void)pthread_mutex_lock(&s->lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	(void)close(c->fd);
	s->count--;
	s->strangers -= c->is_stranger;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	free(c);
}

static void served_prove(void *arg)
{
	struct served *c = arg;

	(void)pthread_mutex_lock(&c->server->lock);
	c->server->strangers -= c->is_stranger;
	c->is_stranger = false;
	c->is_proven = true;
	(void)pthread_mutex_unlock(&c->server->lock);
}

/* False: the connection is of no further use. */
static bool answer_one(struct served *c, struct buf *in, struct buf *reply, uint64_t until_ms)
{
	struct line_server *s = c->server;
	const struct answer_way way = { .remote = c->remote,
					.in_flight = s->in_flight,
					.on_genuine = c->is_proven ? NULL : served_prove,
					.arg = c };

	if (frame_receive(c->fd, in, until_ms) < 0)
		return false;
	buf_clear(reply);
	if (answer_frame(s->bus, &s->server, in->data + HEAD, in->len - HEAD, &way, reply) < 0)
		return false;
	return frame_send(c->fd, reply);
}

static void *served_run(void *arg)
{
	static const char greeting = GREETING;
	struct served *c = arg;
	struct buf in = BUF_INIT(HEAD + FRAME_MAX + ROOM_FIRST), reply = BUF_INIT(FRAME_MAX);
	bool goes_on = send(c->fd, &greeting, 1, MSG_NOSIGNAL) == 1 &&
		       answer_one(c, &in, &reply, clock_mono_ms() + FIRST_MS);

	while (goes_on) {
		room_trim(&in);
		room_trim(&reply);
		goes_on = answer_one(c, &in, &reply, NO_DEADLINE);
	}
	buf_done(&in);
	buf_done(&reply);
	served_end(c);
	return NULL;
}

/* A peer of ours shows its seal at once; whoever has waited longest makes room.  Its thread ends it. */
static void dismiss_oldest_stranger(struct line_server *s)
{
	struct served *oldest = NULL;

	for (struct served *c = s->served; c; c = c->next) /* the latest first */
		oldest = c->is_stranger ? c : oldest;
	if (!oldest)
		return;
	(void)shutdown(oldest->fd, SHUT_RDWR);
	oldest->is_stranger = false;
	s->strangers--;
}

static bool served_admit(struct line_server *s, struct served *c)
{
	bool is_in;

	(void)pthread_mutex_lock(&s->lock);
	is_in = !s->is_stopping && s->count < s->max;
	if (is_in) {
		if (s->strangers >= STRANGERS_MAX)
			dismiss_oldest_stranger(s);
		s->strangers++;
		c->is_stranger = true;
		c->next = s->served;
		s->served = c;
		s->count++;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return is_in;
}

static void serve(struct line_server *s, int fd, const struct sockaddr_in *peer)
{
	struct served *c = mem_alloc(sizeof(*c));
	char host[INET_ADDRSTRLEN] = "?";

	*c = (struct served){ .server = s, .fd = fd };
	(void)inet_ntop(AF_INET, &peer->sin_addr, host, sizeof(host));
	(void)snprintf(c->remote, sizeof(c->remote), "%s:%u", host, ntohs(peer->sin_port));
	socket_prepare(fd);
	if (served_admit(s, c)) {
		(void)pthread_detach(bus_thread("bus-line", served_run, c));
		return;
	}
	(void)close(fd);
	free(c);
}

static void *acceptor_run(void *arg)
{
	struct line_server *s = arg;

	for (;;) {
		struct sockaddr_in peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(s->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);

		if (fd >= 0) {
			serve(s, fd, &peer);
			continue;
		}
		if (errno == EINVAL) /* shut down */
			return NULL;
		if (errno != EINTR && errno != ECONNABORTED)
			clock_sleep_ms(50); /* no descriptors left: it will pass */
	}
}

static int listen_on(struct line_server *s, const struct sockaddr_in *at)
{
	struct sockaddr_in own = *at;
	socklen_t len = sizeof(own);

	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&own, len) < 0 ||
	    listen(s->listen_fd, 128) < 0 ||
	    getsockname(s->listen_fd, (struct sockaddr *)&own, &len) < 0)
		return -ERR_UNAVAILABLE;
	s->port = ntohs(own.sin_port);
	return 0;
}

struct line_server *line_server_start(struct bus *b, const struct bus_server *server,
				      _Atomic uint32_t *in_flight)
{
	struct sockaddr_in at;
	struct line_server *s;

	if (!address_of(server->listen, 0, &at))
		return NULL;
	s = mem_alloc(sizeof(*s));
	*s = (struct line_server){ .bus = b,
				   .server = *server,
				   .in_flight = in_flight,
				   .max = 4 * server->capacity + 16 };
	bus_sync_init(&s->lock, &s->changed);
	if (listen_on(s, &at) < 0) {
		log_warn("bus.no_lines", F_ERRNO(errno));
		if (s->listen_fd >= 0)
			(void)close(s->listen_fd);
		free(s);
		return NULL;
	}
	s->acceptor = bus_thread("bus-accept", acceptor_run, s);
	return s;
}

uint16_t line_server_port(const struct line_server *s)
{
	return s ? s->port : 0;
}

void line_server_stop(struct line_server *s)
{
	if (!s)
		return;
	(void)shutdown(s->listen_fd, SHUT_RDWR);
	(void)pthread_join(s->acceptor, NULL);
	(void)close(s->listen_fd);
	(void)pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	/* One that is at work still answers, and then finds nothing more to read. */
	for (struct served *c = s->served; c; c = c->next)
		(void)shutdown(c->fd, SHUT_RD);
	while (s->count > 0)
		(void)pthread_cond_wait(&s->changed, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
}
