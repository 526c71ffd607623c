/* The bus over real sockets: this process is a gateway, bus_test_peer is the registry. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "bus.h"
#include "bus_doorstep.h"
#include "clock.h"
#include "crypto.h"
#include "peer_process.h"
#include "spool.h"
#include "test_keys.h"

#define PATIENCE_MS 20000 /* for events that must come; nothing waits this long */

static struct {
	struct bus *bus;
	struct keys *keys; /* of the gateway */
} t;

/* ---- this process' bus ---------------------------------------------------------------------- */

static void start(const char *capacity, uint32_t slots)
{
	struct bus_config config = { .keys = t.keys, .instance = "gateway-test", .slots = slots };
	struct err err = { 0 };
	char addr[64];

	peer_start(capacity);
	(void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", peer_process.port);
	config.registry_addrs = addr;
	assert_int_equal(bus_new(&config, &t.bus, &err), 0);
}

static int with_peer(void **state)
{
	(void)state;
	start("4", 8);
	return 0;
}

static int with_single_peer(void **state)
{
	(void)state;
	start("1", 8);
	return 0;
}

static int with_few_slots(void **state)
{
	(void)state;
	start("4", 4);
	return 0;
}

static int end(void **state)
{
	(void)state;
	bus_stop(t.bus);
	peer_kill();
	return 0;
}

static void port_url(enum bus_port port, char url[BUS_ADDR_SIZE])
{
	bus_registry_url(t.bus, 0, port, url);
}

static int list(uint32_t page, const struct bus_call_opts *opts, uint32_t *ret_total,
		struct err *err)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r;

	request.page = page;
	r = bus_ask_registry(t.bus, MSG_LIST_SERVERS, &request.base, opts, &reply, err);
	if (r < 0)
		return r;
	assert_int_equal(((PB(ListServersReply) *)reply)->page, page);
	if (ret_total)
		*ret_total = ((PB(ListServersReply) *)reply)->total;
	return 0;
}

static int create(const char *name, const struct bus_call_opts *opts, struct err *err)
{
	PB(CreateServerRequest) request = MCPBOX__V1__CREATE_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;

	request.name = (char *)(uintptr_t)name;
	return bus_ask_registry(t.bus, MSG_CREATE_SERVER, &request.base, opts, &reply, err);
}

static uint32_t refusals(const char *cause)
{
	PB(GetServerRequest) request = MCPBOX__V1__GET_SERVER_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	request.server_id = (char *)(uintptr_t)cause;
	assert_int_equal(
		bus_ask_registry(t.bus, MSG_GET_SERVER, &request.base, &opts, &reply, &err), 0);
	return ((PB(GetServerReply) *)reply)->server->tool_count;
}

/* Asked on the peer's control socket; the reply is the caller's. */
static ProtobufCMessage *control(uint16_t msg, const ProtobufCMessage *request)
{
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	struct bus_target to = { .role = ROLE_REGISTRY };
	ProtobufCMessage *reply = NULL;
	char url[BUS_ADDR_SIZE];
	struct err err = { 0 };

	port_url(BUS_PORT_CONTROL, url);
	to.addr = url;
	assert_int_equal(bus_call(t.bus, &to, msg, request, &opts, &reply, &err), 0);
	return reply;
}

static void command(uint16_t msg, const ProtobufCMessage *request)
{
	msg_free(control(msg, request));
}

/* How often CREATE_SERVER ran; asked on the control socket, which has room when work has none. */
static uint32_t runs(void)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = control(MSG_LIST_SERVERS, &request.base);

	return ((PB(ListServersReply) *)reply)->total;
}

static void release_held(void)
{
	PB(StopServerRequest) request = MCPBOX__V1__STOP_SERVER_REQUEST__INIT;

	command(MSG_STOP_SERVER, &request.base);
}

static void set_state(const char *seq, bool is_published)
{
	PB(StartServerRequest) told = MCPBOX__V1__START_SERVER_REQUEST__INIT;
	PB(UpdateServerRequest) lost = MCPBOX__V1__UPDATE_SERVER_REQUEST__INIT;

	told.server_id = lost.server_id = (char *)(uintptr_t)seq;
	if (is_published)
		command(MSG_START_SERVER, &told.base);
	else
		command(MSG_UPDATE_SERVER, &lost.base);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void answers_a_question(void **state)
{
	struct err err = { 0 };

	(void)state;
	/* The first learns the boot id on the way. */
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(list(i, NULL, NULL, &err), 0);
	assert_int_equal(refusals("replay"), 0);
}

static void carries_the_whole_error(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(create("stale", NULL, &err), -ERR_STALE);
	assert_int_equal(err.code, ERR_STALE);
	assert_string_equal(err.text, "it has moved on");
	assert_string_equal(err.field, "revision");
	assert_string_equal(err.hint, "read it again");
	assert_string_equal(err.current_json, "{\"revision\":7}");
	err_done(&err);
}

static void refuses_a_role_outside_the_row(void **state)
{
	PB(DeleteServerRequest) request = MCPBOX__V1__DELETE_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(
		bus_ask_registry(t.bus, MSG_DELETE_SERVER, &request.base, NULL, &reply, &err),
		-ERR_DENIED);
	assert_int_equal(refusals("role"), 1);
}

static void refuses_a_message_without_a_row(void **state)
{
	PB(StopServerRequest) request = MCPBOX__V1__STOP_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(
		bus_ask_registry(t.bus, MSG_STOP_SERVER, &request.base, NULL, &reply, &err),
		-ERR_UNSUPPORTED);
}

static void *create_held(void *arg)
{
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	struct err err = { 0 };

	*(int *)arg = create("hold", &opts, &err);
	return NULL;
}

static void answers_busy_at_once_when_full(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	struct err err = { 0 };
	pthread_t held;
	int held_result = 1, r;

	(void)state;
	assert_int_equal(pthread_create(&held, NULL, create_held, &held_result), 0);
	while (runs() == 0)
		;
	r = create("other", &opts, &err);
	assert_int_equal(r, -ERR_BUSY);
	release_held();
	assert_int_equal(pthread_join(held, NULL), 0);
	assert_int_equal(held_result, 0);
	assert_int_equal(create("other", &opts, &err), 0);
}

static void returns_by_the_deadline_when_nobody_answers(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = 200 };
	uint64_t begun_ms = clock_mono_ms();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(create("hold", &opts, &err), -ERR_UNKNOWN_OUTCOME);
	assert_true(clock_mono_ms() - begun_ms >= 200);
	assert_true(clock_mono_ms() - begun_ms < PATIENCE_MS);
	assert_int_equal(runs(), 1);
	release_held();
}

static void says_unavailable_when_there_is_no_peer(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = 60000 };
	uint64_t begun_ms = clock_mono_ms();
	struct err err = { 0 };

	(void)state;
	peer_kill();
	assert_int_equal(list(1, &opts, NULL, &err), -ERR_UNAVAILABLE);
	/* Fast, not at the deadline. */
	assert_true(clock_mono_ms() - begun_ms < 30000);
}

static void a_killed_peer_leaves_the_outcome_unknown(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = 60000 };
	uint64_t begun_ms = clock_mono_ms();
	struct err err = { 0 };

	(void)state;
	assert_int_equal(create("die", &opts, &err), -ERR_UNKNOWN_OUTCOME);
	assert_true(clock_mono_ms() - begun_ms < 30000);
	/* And nng does not send it again: it would kill the next one too. */
	peer_reap();
	peer_restart("4");
	assert_int_equal(list(1, &opts, NULL, &err), 0);
	assert_int_equal(waitpid(peer_process.pid, NULL, WNOHANG), 0);
}

static void learns_the_boot_id_of_a_restarted_peer(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS, .repeatable = true };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(create("one", &opts, &err), 0);
	assert_int_equal(runs(), 1);
	peer_kill();
	peer_restart("4");
	assert_int_equal(create("two", &opts, &err), 0);
	/* Asked twice (once with the old boot id), run once, and nothing was sent again by nng. */
	assert_int_equal(runs(), 1);
	assert_int_equal(refusals("replay"), 0);
}

static void *create_repeatable(void *arg)
{
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS, .repeatable = true };
	struct err err = { 0 };

	*(int *)arg = create("hold", &opts, &err);
	return NULL;
}

static void a_repeatable_call_survives_the_death_of_its_peer(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	struct err err = { 0 };
	pthread_t held;
	int result = 1;

	(void)state;
	assert_int_equal(pthread_create(&held, NULL, create_repeatable, &result), 0);
	/* It is at work when the peer dies. */
	while (runs() == 0)
		;
	peer_kill();
	peer_restart("4");
	release_held(); /* returns when the repeated call has come */
	assert_int_equal(pthread_join(held, NULL), 0);
	assert_int_equal(result, 0);
	assert_int_equal(list(7, &opts, NULL, &err), 0);
	assert_int_equal(runs(), 1);
}

static int ping(struct bus_request *rq, struct err *err)
{
	PB(PingReply) reply = MCPBOX__V1__PING_REPLY__INIT;

	(void)err;
	reply.capacity = *(uint32_t *)rq->service;
	bus_answer(rq, &reply.base);
	return 0;
}

/* This gateway asks itself on four listeners, and the registry on two: six addresses, four slots. */
static void more_peers_than_slots_take_turns(void **state)
{
	static const struct bus_route routes[] = { { MSG_PING, FROM(ROLE_GATEWAY), 0, ping } };
	static uint32_t numbers[4] = { 0, 1, 2, 3 };
	PB(PingRequest) request = MCPBOX__V1__PING_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	struct bus_target to = { .role = ROLE_GATEWAY };
	char addrs[4][BUS_ADDR_SIZE];
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		struct bus_server server = { .listen = "tcp://127.0.0.1:0",
					     .capacity = 2,
					     .routes = routes,
					     .route_count = 1,
					     .service = &numbers[i] };

		assert_int_equal(bus_serve_start(t.bus, &server, addrs[i], BUS_ADDR_SIZE, &err), 0);
	}
	for (size_t round = 0; round < 5; round++) {
		for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
			BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;

			to.addr = addrs[i];
			assert_int_equal(
				bus_call(t.bus, &to, MSG_PING, &request.base, &opts, &reply, &err),
				0);
			assert_int_equal(((PB(PingReply) *)reply)->capacity, i);
		}
		assert_int_equal(list(1, &opts, NULL, &err), 0);
		assert_int_equal(runs(), 0);
	}
}

static void refuses_ipc_with_the_reason(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(bus_check_address("ipc:///tmp/x", &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "ends the listener"));
	assert_int_equal(bus_check_address("tcp://127.0.0.1:8100", &err), 0);
	assert_int_equal(bus_check_address("tls+tcp://registry:8100", &err), 0);
	assert_int_equal(bus_check_address("tcp://127.0.0.1", &err), -ERR_INVALID);
	assert_int_equal(bus_check_address("ws://127.0.0.1:1", &err), -ERR_INVALID);
}

/* ---- hostile bytes -------------------------------------------------------------------------- */

/* One question on a connection of our own making; REQ wants an answer, so each gets a context. */
struct raw {
	nng_socket socket;
	nng_ctx ctx;
	nng_aio *aio;
};

static void raw_open(struct raw *raw)
{
	char url[BUS_ADDR_SIZE];

	port_url(BUS_PORT_WORK, url);
	assert_int_equal(nng_req0_open(&raw->socket), 0);
	assert_int_equal(
		nng_socket_set_ms(raw->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
	assert_int_equal(nng_dial(raw->socket, url, NULL, 0), 0);
	assert_int_equal(nng_ctx_open(&raw->ctx, raw->socket), 0);
	assert_int_equal(nng_aio_alloc(&raw->aio, NULL, NULL), 0);
}

/* Sends and begins to wait for an answer. */
static void raw_send(struct raw *raw, const void *data, size_t len)
{
	nng_msg *m;

	assert_int_equal(nng_msg_alloc(&m, 0), 0);
	assert_int_equal(nng_msg_append(m, data, len), 0);
	nng_aio_set_msg(raw->aio, m);
	nng_ctx_send(raw->ctx, raw->aio);
	nng_aio_wait(raw->aio);
	assert_int_equal(nng_aio_result(raw->aio), 0);
	nng_ctx_recv(raw->ctx, raw->aio);
}

/* 0: an answer came; else NNG_ECONNRESET, or NNG_ECANCELED when none had come by now. */
static int raw_end(struct raw *raw)
{
	int r;

	nng_aio_cancel(raw->aio);
	nng_aio_wait(raw->aio);
	r = nng_aio_result(raw->aio);
	if (r == 0)
		nng_msg_free(nng_aio_get_msg(raw->aio));
	/* The socket stays open: nng_close while its peer goes away may hang (nng#1543). */
	nng_aio_free(raw->aio);
	return r;
}

static void seal_question(const struct bus_target *to, struct bus_question *q, struct buf *frame)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	struct err err = { 0 };

	assert_int_equal(
		bus_question_seal(t.bus, to, MSG_LIST_SERVERS, &request.base, NULL, q, frame, &err),
		0);
}

/* To a registry whose boot id is not known. */
static void question_frame(struct buf *frame)
{
	struct bus_target to = { .role = ROLE_REGISTRY };
	struct bus_question q;

	seal_question(&to, &q, frame);
}

/* Asks with an unknown boot id; the answer tells the right one. */
static struct bus_target learn_target(void)
{
	struct bus_target to = { .role = ROLE_REGISTRY };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct bus_question q;
	struct err err = { 0 };
	struct raw raw;
	nng_msg *m;

	seal_question(&to, &q, &frame);
	raw_open(&raw);
	raw_send(&raw, frame.data, frame.len);
	nng_aio_wait(raw.aio);
	assert_int_equal(nng_aio_result(raw.aio), 0);
	m = nng_aio_get_msg(raw.aio);
	assert_int_equal(
		bus_question_open(t.bus, &q, nng_msg_body(m), nng_msg_len(m), &reply, &err),
		-ERR_STALE_PEER);
	assert_int_equal(raw_end(&raw), 0);
	buf_done(&frame);
	return q.to;
}

/* The peer has seen the bytes when it has counted them; then no answer can be on its way. */
static void assert_counted_without_answer(struct raw *raw, const char *cause, uint32_t count)
{
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	while (refusals(cause) < count && clock_mono_ms() < end_ms)
		;
	assert_int_equal(refusals(cause), count);
	assert_int_equal(raw_end(raw), NNG_ECANCELED);
}

static void a_forged_frame_gets_no_answer_and_is_counted(void **state)
{
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct raw raw;

	(void)state;
	question_frame(&frame);
	frame.data[frame.len - 1] ^= 1;
	raw_open(&raw);
	raw_send(&raw, frame.data, frame.len);
	assert_counted_without_answer(&raw, "seal", 1);
	buf_done(&frame);
}

static void a_header_that_was_changed_is_a_forgery(void **state)
{
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct raw raw;

	(void)state;
	question_frame(&frame);
	frame.data[6] = MSG_CREATE_SERVER; /* another message number under the same seal */
	raw_open(&raw);
	raw_send(&raw, frame.data, frame.len);
	assert_counted_without_answer(&raw, "seal", 1);
	buf_done(&frame);
}

static void a_replayed_frame_gets_no_answer_and_is_counted(void **state)
{
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct bus_target to = learn_target();
	struct raw first, second;
	struct bus_question q;

	(void)state;
	seal_question(&to, &q, &frame);
	raw_open(&first);
	raw_send(&first, frame.data, frame.len);
	nng_aio_wait(first.aio);
	assert_int_equal(nng_aio_result(first.aio), 0);
	raw_open(&second);
	raw_send(&second, frame.data, frame.len);
	assert_counted_without_answer(&second, "replay", 1);
	assert_int_equal(raw_end(&first), 0);
	buf_done(&frame);
}

static void a_truncated_frame_gets_no_answer_and_is_counted(void **state)
{
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct raw raw;

	(void)state;
	question_frame(&frame);
	raw_open(&raw);
	raw_send(&raw, frame.data, FRAME_OVERHEAD - 1);
	assert_counted_without_answer(&raw, "shape", 1);
	buf_done(&frame);
}

static void another_version_gets_no_answer_and_is_counted(void **state)
{
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct raw raw;

	(void)state;
	question_frame(&frame);
	frame.data[4] = FRAME_PROTOCOL + 1;
	raw_open(&raw);
	raw_send(&raw, frame.data, frame.len);
	assert_counted_without_answer(&raw, "version", 1);
	buf_done(&frame);
}

static void a_message_over_the_ceiling_closes_its_connection(void **state)
{
	size_t len = FRAME_MAX + 4096;
	uint8_t *big = calloc(1, len);
	struct err err = { 0 };
	struct raw raw;

	(void)state;
	assert_non_null(big);
	raw_open(&raw);
	raw_send(&raw, big, len);
	nng_aio_wait(raw.aio);
	assert_int_equal(raw_end(&raw), NNG_ECONNRESET);
	assert_int_equal(list(3, NULL, NULL, &err), 0);
	free(big);
}

static void connect_and_close(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	(void)close(fd);
}

#define STRANGERS 20

/* A connection that is greeted as one of the bus and then says nothing. */
static int stand_silent(uint16_t port)
{
	static const uint8_t greeting[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(port) };
	uint8_t answer[8];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL), sizeof(greeting));
	assert_int_equal(recv(fd, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
	return fd;
}

/* Those that are closed by now. */
static size_t count_closed(const int *fds)
{
	size_t closed = 0;

	for (size_t i = 0; i < STRANGERS; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		closed += poll(&p, 1, 0) == 1;
	}
	return closed;
}

/* Whoever shows no seal holds few connections, and does not keep out who has one. */
static void strangers_hold_few_connections(void **state)
{
	int fds[STRANGERS];
	uint64_t end_ms;
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < STRANGERS; i++)
		fds[i] = stand_silent(peer_process.port);
	end_ms = clock_mono_ms() + PATIENCE_MS;
	while (count_closed(fds) < STRANGERS - DOORSTEP_PER_ADDRESS && clock_mono_ms() < end_ms)
		;
	assert_int_equal(count_closed(fds), STRANGERS - DOORSTEP_PER_ADDRESS);
	/* A peer of ours takes the place of one more. */
	assert_int_equal(list(3, NULL, NULL, &err), 0);
	assert_int_equal(count_closed(fds), STRANGERS - DOORSTEP_PER_ADDRESS + 1);
	for (size_t i = 0; i < STRANGERS; i++)
		(void)close(fds[i]);
}

/* A client of nng's own that dies the moment it is connected. */
static void dial_and_die(uint16_t port)
{
	char port_text[8];
	char *argv[] = { (char *)(uintptr_t)peer_process.path, (char *)"dial", port_text, NULL };
	int status;
	pid_t pid;

	(void)snprintf(port_text, sizeof(port_text), "%u", port);
	assert_int_equal(posix_spawn(&pid, peer_process.path, NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Work, news and control: nng 1.5 lost ipc listeners this way (nng#1518). */
static void listeners_survive_clients_that_vanish(void **state)
{
	struct bus_news news = { .on_status = NULL };
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < 300; i++)
		connect_and_close((uint16_t)(peer_process.port + i % 3));
	for (int i = 0; i < 100; i++)
		dial_and_die((uint16_t)(peer_process.port + i % 3));
	assert_int_equal(list(9, NULL, NULL, &err), 0);
	assert_int_equal(bus_news_start(t.bus, &news, &err), 0);
	set_state("5", true);
	assert_int_equal(bus_wait_state(t.bus, 5, PATIENCE_MS), 0);
}

/* ---- news ----------------------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t state_seq;
} heard = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void on_status(void *arg, const PB(Status) * status)
{
	(void)arg;
	pthread_mutex_lock(&heard.lock);
	heard.state_seq = status->state_seq;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
}

static void news_start(void)
{
	struct bus_news news = { .on_status = on_status };
	struct err err = { 0 };

	assert_int_equal(bus_news_start(t.bus, &news, &err), 0);
}

static void news_bring_the_status_and_the_time(void **state)
{
	int64_t now;

	(void)state;
	assert_null(bus_status(t.bus));
	assert_int_equal(bus_registry_now(t.bus), 0);
	news_start();
	set_state("41", true);
	assert_int_equal(bus_wait_state(t.bus, 41, PATIENCE_MS), 0);
	set_state("42", true);
	assert_int_equal(bus_wait_state(t.bus, 42, PATIENCE_MS), 0);
	now = bus_registry_now(t.bus);
	assert_true(now > 0 && now <= clock_unix_ms() + 1);
	assert_true(bus_registry_silence_ms(t.bus) < PATIENCE_MS);
	pthread_mutex_lock(&heard.lock);
	while (heard.state_seq < 42)
		pthread_cond_wait(&heard.changed, &heard.lock);
	pthread_mutex_unlock(&heard.lock);
}

static void lost_news_is_asked_for(void **state)
{
	(void)state;
	news_start();
	set_state("50", false);
	assert_int_equal(bus_wait_state(t.bus, 50, PATIENCE_MS), 0);
	set_state("51", false);
	assert_int_equal(bus_wait_state(t.bus, 51, PATIENCE_MS), 0);
}

static void an_older_state_of_the_same_epoch_is_ignored(void **state)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *status = NULL;

	(void)state;
	news_start();
	set_state("9", true);
	assert_int_equal(bus_wait_state(t.bus, 9, PATIENCE_MS), 0);
	set_state("8", true);
	set_state("10", true);
	assert_int_equal(bus_wait_state(t.bus, 10, PATIENCE_MS), 0);
	status = (ProtobufCMessage *)bus_status(t.bus);
	assert_int_equal(((PB(Status) *)status)->state_seq, 10);
}

static void another_epoch_replaces_the_status(void **state)
{
	PB(Status) * before, *after;
	bool is_other;

	(void)state;
	news_start();
	set_state("90", true);
	assert_int_equal(bus_wait_state(t.bus, 90, PATIENCE_MS), 0);
	before = bus_status(t.bus);
	peer_kill();
	peer_restart("4");
	do {
		after = bus_status(t.bus);
		is_other = memcmp(after->epoch.data, before->epoch.data, 16) != 0;
		msg_free(&after->base);
	} while (!is_other);
	msg_free(&before->base);
	set_state("3", true);
	assert_int_equal(bus_wait_state(t.bus, 3, PATIENCE_MS), 0);
}

static void fill_lease(void *arg, PB(Instance) * instance)
{
	instance->capacity = *(uint32_t *)arg;
}

static void a_lease_announces_an_address_that_can_be_dialled(void **state)
{
	struct bus_server server = { .listen = "tcp://0.0.0.0:0", .capacity = 1 };
	char listens[BUS_ADDR_SIZE], expected[BUS_ADDR_SIZE];
	const PB(Instance) * instance;
	struct err err = { 0 };
	uint32_t capacity = 3;
	PB(Status) * status;

	(void)state;
	set_state("77", false);
	assert_int_equal(bus_serve_start(t.bus, &server, listens, sizeof(listens), &err), 0);
	assert_int_equal(bus_lease_start(t.bus, fill_lease, &capacity, &err), 0);
	assert_int_equal(bus_wait_state(t.bus, 77, PATIENCE_MS), 0);
	status = bus_status(t.bus);
	assert_int_equal(status->n_instances, 1);
	instance = status->instances[0];
	(void)snprintf(expected, sizeof(expected), "tcp://127.0.0.1%s", strrchr(listens, ':'));
	assert_string_equal(instance->work_addr, expected);
	assert_string_equal(instance->instance, "gateway-test");
	assert_int_equal(instance->role, ROLE_GATEWAY);
	assert_int_equal(instance->capacity, 3);
	assert_memory_equal(instance->boot_id.data, bus_boot_id(t.bus), BOOT_ID_SIZE);
	msg_free(&status->base);
}

/* ---- the spool ------------------------------------------------------------------------------ */

static char spool_root[64];

static int with_peer_and_spool(void **state)
{
	(void)snprintf(spool_root, sizeof(spool_root), "/tmp/mcpbox-bus-XXXXXX");
	return mkdtemp(spool_root) ? with_peer(state) : -1;
}

static int end_with_spool(void **state)
{
	char command[96];

	(void)snprintf(command, sizeof(command), "rm -rf %s", spool_root);
	return end(state) + system(command);
}

static struct spool *spool_open(uint64_t max_bytes)
{
	struct spool_config config = {
		.root = spool_root,
		.bus = t.bus,
		.sync_ms = 0,
		.max_bytes = max_bytes,
		.start_kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED,
		.end_kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED,
	};
	struct spool *spool = NULL;
	struct err err = { 0 };

	assert_int_equal(spool_start(&config, &spool, &err), 0);
	return spool;
}

static int spool_record(struct spool *spool, PB(Record__Kind) kind, const char *call_id)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	struct err err = { 0 };

	record.kind = kind;
	record.call_id = (char *)(uintptr_t)call_id;
	record.call = &call;
	return spool_append(spool, &record, &err);
}

static void spool_call(struct spool *spool)
{
	assert_int_equal(spool_record(spool, MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED, "call"),
			 0);
	assert_int_equal(spool_record(spool, MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, "call"), 0);
}

/* What the peer has kept: records, and ends that say "unknown". */
static void kept(uint32_t *ret_records, uint32_t *ret_unknown)
{
	PB(ListToolsRequest) request = MCPBOX__V1__LIST_TOOLS_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	assert_int_equal(
		bus_ask_registry(t.bus, MSG_LIST_TOOLS, &request.base, &opts, &reply, &err), 0);
	*ret_records = ((PB(ListToolsReply) *)reply)->total;
	*ret_unknown = ((PB(ListToolsReply) *)reply)->page;
}

static void wait_kept(uint32_t records, uint32_t unknown)
{
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
	uint32_t records_now = 0, unknown_now = 0;

	while (records_now < records && clock_mono_ms() < end_ms)
		kept(&records_now, &unknown_now);
	assert_int_equal(records_now, records);
	assert_int_equal(unknown_now, unknown);
}

static void records_are_shipped_once_and_in_order(void **state)
{
	struct spool *spool = spool_open(1u << 30);

	(void)state;
	for (int i = 0; i < 400; i++)
		spool_call(spool);
	wait_kept(800, 0);
	while (spool_pending(spool) > 0)
		;
	spool_stop(spool, PATIENCE_MS);
	assert_int_equal(rmdir(spool_root), 0); /* nothing is left behind */
}

/* An owner that is killed: a child with its own bus, which reports when its records are written. */
static void die_with_open_call(void)
{
	pid_t pid;
	int status;
	char *argv[] = { (char *)(uintptr_t)peer_process.path, (char *)"spool", spool_root, NULL };

	assert_int_equal(posix_spawn(&pid, peer_process.path, NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void an_orphan_is_adopted_and_its_open_calls_end_unknown(void **state)
{
	struct spool *spool;

	(void)state;
	die_with_open_call();
	spool = spool_open(1u << 30);
	/* A whole call, a start, and the end that the adopter makes for it. */
	wait_kept(4, 1);
	spool_stop(spool, PATIENCE_MS);
	assert_int_equal(rmdir(spool_root), 0);
}

static void a_full_spool_refuses(void **state)
{
	struct spool *spool = spool_open(100);
	int r = 0;

	(void)state;
	peer_kill();
	for (int i = 0; i < 100 && r == 0; i++)
		r = spool_record(spool, MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED, "call");
	assert_int_equal(r, -ERR_UNAVAILABLE);
	spool_stop(spool, 0);
}

#define SPOOL_TEST(name)  cmocka_unit_test_setup_teardown(name, with_peer_and_spool, end_with_spool)
#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_a_question, with_peer),
		TEST(carries_the_whole_error, with_peer),
		TEST(refuses_a_role_outside_the_row, with_peer),
		TEST(refuses_a_message_without_a_row, with_peer),
		TEST(answers_busy_at_once_when_full, with_single_peer),
		TEST(returns_by_the_deadline_when_nobody_answers, with_peer),
		TEST(says_unavailable_when_there_is_no_peer, with_peer),
		TEST(a_killed_peer_leaves_the_outcome_unknown, with_peer),
		TEST(learns_the_boot_id_of_a_restarted_peer, with_peer),
		TEST(a_repeatable_call_survives_the_death_of_its_peer, with_peer),
		TEST(more_peers_than_slots_take_turns, with_few_slots),
		cmocka_unit_test(refuses_ipc_with_the_reason),
		TEST(a_forged_frame_gets_no_answer_and_is_counted, with_peer),
		TEST(a_header_that_was_changed_is_a_forgery, with_peer),
		TEST(a_replayed_frame_gets_no_answer_and_is_counted, with_peer),
		TEST(a_truncated_frame_gets_no_answer_and_is_counted, with_peer),
		TEST(another_version_gets_no_answer_and_is_counted, with_peer),
		TEST(a_message_over_the_ceiling_closes_its_connection, with_peer),
		TEST(strangers_hold_few_connections, with_peer),
		TEST(listeners_survive_clients_that_vanish, with_peer),
		TEST(news_bring_the_status_and_the_time, with_peer),
		TEST(lost_news_is_asked_for, with_peer),
		TEST(an_older_state_of_the_same_epoch_is_ignored, with_peer),
		TEST(another_epoch_replaces_the_status, with_peer),
		TEST(a_lease_announces_an_address_that_can_be_dialled, with_peer),
		SPOOL_TEST(records_are_shipped_once_and_in_order),
		SPOOL_TEST(an_orphan_is_adopted_and_its_open_calls_end_unknown),
		SPOOL_TEST(a_full_spool_refuses),
	};
	int failed;

	if (argc < 2 || crypto_start() < 0)
		return 2;
	peer_process.path = argv[1];
	if (argc == 3)
		cmocka_set_test_filter(argv[2]);
	t.keys = test_keys(ROLE_GATEWAY, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	keys_free(t.keys);
	/* Buses that were stopped keep sockets and a thread in nng: leave as the services do. */
	(void)fflush(NULL);
	_exit(failed == 0 ? 0 : 1);
}
