/* The answering side's sockets: REP, and a thread for each question that is answered at the same time. */
#include <arpa/inet.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdio.h>
#include <string.h>

#include "bus_doorstep.h"
#include "bus_internal.h"
#include "bus_lines.h"
#include "bus_tls.h"
#include "mem.h"

#define SPARE_CONTEXTS  16   /* answer BUSY while all of `capacity` are at work */
#define SEND_TIMEOUT_MS 1000 /* a peer that does not read may not hold a thread */
#define SERVERS_MAX     4

struct worker {
	struct serving *serving;
	nng_ctx ctx;
	nng_aio *receive, *send;
	nng_pipe pipe; /* of the question at hand */
	pthread_t thread;
};

struct serving {
	struct bus *bus;
	struct bus_server server;
	char addr[BUS_ADDR_SIZE];
	nng_socket socket;
	struct doorstep doorstep;
	nng_listener listener;
	_Atomic uint32_t in_flight;
	struct worker *workers;
	uint32_t worker_count;
	struct line_server *lines; /* or NULL */
};

struct servers {
	pthread_mutex_t lock;
	struct serving *serving[SERVERS_MAX]; /* guarded by lock */
	uint32_t count;
};

static void remote_text(nng_msg *m, char *ret, size_t size)
{
	nng_sockaddr sa;
	char host[INET6_ADDRSTRLEN] = "?";

	(void)snprintf(ret, size, "unknown:0");
	if (nng_pipe_get_addr(nng_msg_get_pipe(m), NNG_OPT_REMADDR, &sa) != 0)
		return;
	if (sa.s_family == NNG_AF_INET) {
		(void)inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof(host));
		(void)snprintf(ret, size, "%s:%u", host, ntohs(sa.s_in.sa_port));
	} else if (sa.s_family == NNG_AF_INET6) {
		(void)inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof(host));
		(void)snprintf(ret, size, "[%s]:%u", host, ntohs(sa.s_in6.sa_port));
	}
}

static void worker_send(struct worker *w, const struct buf *frame)
{
	nng_msg *m;

	if (nng_msg_alloc(&m, 0) != 0 || nng_msg_append(m, frame->data, frame->len) != 0)
		box_bug("no memory for a message");
	nng_aio_set_msg(w->send, m);
	nng_ctx_send(w->ctx, w->send);
	nng_aio_wait(w->send);
	if (nng_aio_result(w->send) != 0) /* still ours; the asker's deadline tells it */
		nng_msg_free(m);
}

static void on_genuine(void *arg)
{
	struct worker *w = arg;

	doorstep_prove(&w->serving->doorstep, w->pipe);
}

static void worker_answer(struct worker *w, nng_msg *m)
{
	struct serving *s = w->serving;
	struct buf reply = BUF_INIT(FRAME_MAX);
	char remote[64];
	const struct answer_way way = {
		.remote = remote, .in_flight = &s->in_flight, .on_genuine = on_genuine, .arg = w
	};

	w->pipe = nng_msg_get_pipe(m);
	remote_text(m, remote, sizeof(remote));
	if (answer_frame(s->bus, &s->server, nng_msg_body(m), nng_msg_len(m), &way, &reply) == 0)
		worker_send(w, &reply);
	buf_done(&reply);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		nng_msg *m;
		int r;

		/* Receiving again drops a request that got no answer. */
		nng_ctx_recv(w->ctx, w->receive);
		nng_aio_wait(w->receive);
		r = nng_aio_result(w->receive);
		if (r == NNG_ECANCELED || r == NNG_ECLOSED)
			break;
		if (r != 0)
			continue;
		m = nng_aio_get_msg(w->receive);
		worker_answer(w, m);
		nng_msg_free(m);
	}
	return NULL;
}

static int serving_listen(struct serving *s)
{
	int port = 0;
	int r = nng_rep0_open(&s->socket);

	/* Before any listener exists, or it would not hold for it. */
	if (r == 0)
		r = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX);
	if (r == 0)
		r = doorstep_watch(&s->doorstep, s->socket);
	if (r == 0)
		r = tls_listener_create(s->bus->tls, s->socket, s->server.listen, &s->listener);
	if (r == 0)
		r = nng_listener_set_bool(s->listener, NNG_OPT_TCP_NODELAY, true);
	if (r == 0)
		r = nng_listener_set_bool(s->listener, NNG_OPT_TCP_KEEPALIVE, true);
	if (r == 0)
		r = nng_listener_start(s->listener, 0);
	if (r == 0)
		r = nng_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	if (r == 0)
		(void)snprintf(s->addr, sizeof(s->addr), "%.*s:%d",
			       (int)(strrchr(s->server.listen, ':') - s->server.listen),
			       s->server.listen, port);
	return r;
}

static void serving_start_workers(struct serving *s)
{
	s->worker_count = s->server.capacity + SPARE_CONTEXTS;
	s->workers = mem_alloc_array(s->worker_count, sizeof(*s->workers));
	for (uint32_t i = 0; i < s->worker_count; i++) {
		struct worker *w = &s->workers[i];

		w->serving = s;
		if (nng_ctx_open(&w->ctx, s->socket) != 0 ||
		    nng_aio_alloc(&w->receive, NULL, NULL) != 0 ||
		    nng_aio_alloc(&w->send, NULL, NULL) != 0)
			box_bug("no context for answering");
		nng_aio_set_timeout(w->receive, NNG_DURATION_INFINITE);
		nng_aio_set_timeout(w->send, SEND_TIMEOUT_MS);
		w->thread = bus_thread(s->server.is_control ? "bus-control" : "bus-work",
				       worker_run, w);
	}
}

static void serving_register(struct servers *all, struct serving *s)
{
	(void)pthread_mutex_lock(&all->lock);
	box_assert(all->count < SERVERS_MAX);
	all->serving[all->count++] = s;
	(void)pthread_mutex_unlock(&all->lock);
}

int bus_serve_start(struct bus *b, const struct bus_server *server, char *ret_addr, size_t ret_size,
		    struct err *err)
{
	struct serving *s;
	int r = tls_check_address(b->tls, server->listen, err);

	if (r < 0)
		return r;
	s = mem_alloc(sizeof(*s));
	s->bus = b;
	s->server = *server;
	s->server.listen = mem_strdup(server->listen);
	r = serving_listen(s);
	if (r != 0) /* the socket, if it was opened, stays until the process ends */
		return err_set(err, ERR_UNAVAILABLE, "cannot listen on %s: %s", server->listen,
			       nng_strerror(r));
	serving_start_workers(s);
	/* Without them the questions come to the socket. */
	if (server->has_lines && !b->tls)
		s->lines = line_server_start(b, &s->server, &s->in_flight);
	serving_register(b->servers, s);
	(void)snprintf(ret_addr, ret_size, "%s", s->addr);
	return 0;
}

void servers_addrs(struct bus *b, char ret_control[BUS_ADDR_SIZE], char ret_work[BUS_ADDR_SIZE])
{
	struct servers *all = b->servers;

	ret_control[0] = ret_work[0] = '\0';
	(void)pthread_mutex_lock(&all->lock);
	for (uint32_t i = 0; i < all->count; i++)
		(void)snprintf(all->serving[i]->server.is_control ? ret_control : ret_work,
			       BUS_ADDR_SIZE, "%s", all->serving[i]->addr);
	(void)pthread_mutex_unlock(&all->lock);
}

void servers_init(struct bus *b)
{
	b->servers = mem_alloc(sizeof(*b->servers));
	(void)pthread_mutex_init(&b->servers->lock, NULL);
}

uint16_t bus_line_port(const struct bus *b)
{
	struct servers *all = b->servers;
	uint16_t port = 0;

	(void)pthread_mutex_lock(&all->lock);
	for (uint32_t i = 0; i < all->count && port == 0; i++)
		port = line_server_port(all->serving[i]->lines);
	(void)pthread_mutex_unlock(&all->lock);
	return port;
}

static void serving_stop(struct serving *s)
{
	line_server_stop(s->lines);
	for (uint32_t i = 0; i < s->worker_count; i++)
		nng_aio_stop(s->workers[i].receive);
	/* One that is at work finishes, sends, and finds its next receive cancelled. */
	for (uint32_t i = 0; i < s->worker_count; i++)
		(void)pthread_join(s->workers[i].thread, NULL);
	/* Last, because it also closes the connections on which those answers leave. */
	(void)nng_listener_close(s->listener);
}

void servers_stop(struct bus *b)
{
	for (uint32_t i = 0; i < b->servers->count; i++)
		serving_stop(b->servers->serving[i]);
}
