/* Lines of the bus over real sockets: this process is a gateway, bus_test_peer is the registry. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus.h"
#include "crypto.h"
#include "mem.h"
#include "peer_process.h"
#include "test_keys.h"

#define PATIENCE_MS 20000
#define THREADS     8
#define QUESTIONS   200
#define STRANGERS   80

static struct {
	struct bus *bus;
	char addr[BUS_ADDR_SIZE];
	uint16_t port; /* of the peer's lines */
} t;

static int ask(const struct bus_target *to, uint16_t msg, const ProtobufCMessage *request,
	       ProtobufCMessage **ret, struct err *err)
{
	const struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };

	return bus_call(t.bus, to, msg, request, &opts, ret, err);
}

static struct bus_target target(uint16_t line_port)
{
	return (struct bus_target){ .role = ROLE_REGISTRY, .addr = t.addr, .line_port = line_port };
}

/* What the peer answers to GET_SERVER{about}, asked over nng. */
static uint32_t fact(const char *about)
{
	PB(GetServerRequest) request = MCPBOX__V1__GET_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct bus_target to = target(0);
	struct err err = { 0 };

	request.server_id = (char *)(uintptr_t)about;
	assert_int_equal(ask(&to, MSG_GET_SERVER, &request.base, &reply, &err), 0);
	return ((PB(GetServerReply) *)reply)->server->tool_count;
}

static int list(uint32_t page, uint16_t line_port, struct err *err)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct bus_target to = target(line_port);
	int r;

	request.page = page;
	r = ask(&to, MSG_LIST_SERVERS, &request.base, &reply, err);
	if (r == 0)
		assert_int_equal(((PB(ListServersReply) *)reply)->page, page);
	return r;
}

static int create(const char *name, uint16_t line_port, struct err *err)
{
	PB(CreateServerRequest) request = MCPBOX__V1__CREATE_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct bus_target to = target(line_port);
	int r;

	request.name = (char *)(uintptr_t)name;
	r = ask(&to, MSG_CREATE_SERVER, &request.base, &reply, err);
	if (r == 0)
		assert_string_equal(((PB(CreateServerReply) *)reply)->name, name);
	return r;
}

static void start(const char *capacity)
{
	struct bus_config config = { .keys = test_keys(ROLE_GATEWAY, 1),
				     .instance = "gateway-test",
				     .slots = 8 };
	struct err err = { 0 };
	char addr[64];

	peer_start(capacity);
	(void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", peer_process.port);
	config.registry_addrs = addr;
	assert_int_equal(bus_new(&config, &t.bus, &err), 0);
	bus_registry_url(t.bus, 0, BUS_PORT_WORK, t.addr);
	t.port = (uint16_t)fact("lines");
	assert_int_not_equal(t.port, 0);
}

static int with_peer(void **state)
{
	(void)state;
	start("16");
	return 0;
}

static int with_single_peer(void **state)
{
	(void)state;
	start("1");
	return 0;
}

static int end(void **state)
{
	(void)state;
	bus_stop(t.bus);
	peer_kill();
	return 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

static void *ask_many(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg * QUESTIONS;
	struct err err = { 0 };

	for (uint32_t i = 0; i < QUESTIONS; i++)
		if (list(first + i, t.port, &err) != 0)
			return mem_strdup(err.text);
	return NULL;
}

static void many_threads_get_each_their_own_answer(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_many, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;

		(void)pthread_join(threads[i], &failed);
		if (failed)
			fail_msg("%s", (const char *)failed);
	}
}

static void a_large_question_passes_between_small_ones(void **state)
{
	const size_t len = 3u * 1024 * 1024;
	PB(CreateServerRequest) request = MCPBOX__V1__CREATE_SERVER_REQUEST__INIT;
	BOX_CLEANUP(mem_freep) char *text = mem_alloc(len);
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct bus_target to = target(t.port);
	struct err err = { 0 };

	(void)state;
	memset(text, 'x', len);
	request.name = (char *)(uintptr_t) "large";
	request.description = pb_bytes(text, len);
	assert_int_equal(list(1, t.port, &err), 0);
	assert_int_equal(ask(&to, MSG_CREATE_SERVER, &request.base, &reply, &err), 0);
	assert_int_equal(list(2, t.port, &err), 0);
}

static void an_error_of_the_peer_comes_back(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(create("stale", t.port, &err), -ERR_STALE);
	assert_string_equal(err.field, "revision");
	err_done(&err);
}

/* ---- what is shared with the socket --------------------------------------------------------- */

static void *create_held(void *arg)
{
	struct err err = { 0 };

	return (void *)(intptr_t)create("hold", *(uint16_t *)arg, &err);
}

static void release_held(void)
{
	PB(StopServerRequest) request = MCPBOX__V1__STOP_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct bus_target to = { .role = ROLE_REGISTRY };
	char control[BUS_ADDR_SIZE];
	struct err err = { 0 };

	bus_registry_url(t.bus, 0, BUS_PORT_CONTROL, control);
	to.addr = control;
	assert_int_equal(ask(&to, MSG_STOP_SERVER, &request.base, &reply, &err), 0);
}

/* How many CREATE_SERVER have begun; asked on the control socket, where there is room. */
static void wait_begun(void)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	char control[BUS_ADDR_SIZE];
	struct bus_target to = { .role = ROLE_REGISTRY };
	uint32_t begun = 0;

	bus_registry_url(t.bus, 0, BUS_PORT_CONTROL, control);
	to.addr = control;
	while (begun == 0) {
		BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
		struct err err = { 0 };

		assert_int_equal(ask(&to, MSG_LIST_SERVERS, &request.base, &reply, &err), 0);
		begun = ((PB(ListServersReply) *)reply)->total;
	}
}

static void capacity_is_one_for_lines_and_socket(void **state)
{
	struct err err = { 0 };
	pthread_t thread;
	void *r;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, create_held, &t.port), 0);
	wait_begun();
	assert_int_equal(list(1, 0, &err), -ERR_BUSY);
	assert_int_equal(list(1, t.port, &err), -ERR_BUSY);
	release_held();
	(void)pthread_join(thread, &r);
	assert_int_equal((intptr_t)r, 0);
	assert_int_equal(list(1, t.port, &err), 0);
}

/* ---- what breaks ---------------------------------------------------------------------------- */

static void a_peer_that_dies_leaves_the_outcome_unknown(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(list(1, t.port, &err), 0);
	assert_int_equal(create("die", t.port, &err), -ERR_UNKNOWN_OUTCOME);
	peer_reap();
	/* The next start has other lines; the old port leads nowhere, and the socket answers. */
	peer_restart("16");
	assert_int_equal(list(2, t.port, &err), 0);
	assert_int_equal(list(3, (uint16_t)fact("lines"), &err), 0);
}

static int stranger(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(t.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Reads the greeting, if any, to the end of the connection. */
static void wait_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	do
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	while (recv(fd, &byte, 1, 0) > 0);
	(void)close(fd);
}

static void bytes_without_a_seal_end_the_connection(void **state)
{
	static const uint8_t junk[] = { 200, 0, 0, 0 };
	uint8_t body[200] = { 1, 2, 3 };
	uint32_t before = fact("shape") + fact("version") + fact("seal");
	struct err err = { 0 };
	int fd = stranger();

	(void)state;
	assert_int_equal(send(fd, junk, sizeof(junk), 0), sizeof(junk));
	assert_int_equal(send(fd, body, sizeof(body), 0), sizeof(body));
	wait_closed(fd);
	assert_int_equal(fact("shape") + fact("version") + fact("seal"), before + 1);
	assert_int_equal(list(1, t.port, &err), 0);
}

static void a_length_above_the_ceiling_ends_the_connection(void **state)
{
	static const uint8_t head[] = { 0, 0, 0, 0x7f };
	int fd = stranger();

	(void)state;
	assert_int_equal(send(fd, head, sizeof(head), 0), sizeof(head));
	wait_closed(fd);
}

/* They hold all places that strangers may have: the oldest of them makes room. */
static void strangers_that_say_nothing_stop_nobody(void **state)
{
	int fds[STRANGERS];
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < STRANGERS; i++)
		fds[i] = stranger();
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(list(i, t.port, &err), 0);
	for (int i = 0; i < STRANGERS; i++)
		(void)close(fds[i]);
}

/* They stay within the time that a first frame has: 40 come, 32 are kept, the first ones go. */
static void the_oldest_stranger_makes_room_for_the_next(void **state)
{
	int fds[40];
	char greeting;

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		fds[i] = stranger();
		assert_int_equal(recv(fds[i], &greeting, 1, 0), 1);
	}
	for (size_t i = 0; i < 8; i++)
		wait_closed(fds[i]);
	for (size_t i = 39; i >= 36; i--) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		assert_int_equal(poll(&p, 1, 0), 0);
	}
	for (size_t i = 8; i < 40; i++)
		(void)close(fds[i]);
}

int main(int argc, char **argv)
{
#define TEST(f, setup) cmocka_unit_test_setup_teardown(f, setup, end)
	const struct CMUnitTest tests[] = {
		TEST(many_threads_get_each_their_own_answer, with_peer),
		TEST(a_large_question_passes_between_small_ones, with_peer),
		TEST(an_error_of_the_peer_comes_back, with_peer),
		TEST(capacity_is_one_for_lines_and_socket, with_single_peer),
		TEST(a_peer_that_dies_leaves_the_outcome_unknown, with_peer),
		TEST(bytes_without_a_seal_end_the_connection, with_peer),
		TEST(a_length_above_the_ceiling_ends_the_connection, with_peer),
		TEST(strangers_that_say_nothing_stop_nobody, with_peer),
		TEST(the_oldest_stranger_makes_room_for_the_next, with_peer),
	};

	int failed;

	if (argc != 2 || crypto_start() < 0)
		return 2;
	peer_process.path = argv[1];
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	/* Buses that were stopped keep sockets and a thread in nng: leave as the services do. */
	(void)fflush(NULL);
	_exit(failed == 0 ? 0 : 1);
}
