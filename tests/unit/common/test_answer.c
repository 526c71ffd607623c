/* A question and its answer as bytes in memory: a gateway asks, a registry answers, no sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <pthread.h>
#include <cmocka.h>

#include "bus.h"
#include "bus_internal.h"
#include "clock.h"
#include "crypto.h"
#include "test_keys.h"

static struct {
	struct keys *gateway_keys, *registry_keys;
	struct bus *gateway, *registry;
	uint32_t runs, authorized, finished;
	PB(Principal__Kind) principal;
	uint32_t right;
	bool is_denied;
	struct bus_question question; /* the last one sealed */
	struct buf frame, reply;
} t;

static int list_servers(struct bus_request *rq, struct err *err)
{
	PB(ListServersReply) reply = MCPBOX__V1__LIST_SERVERS_REPLY__INIT;

	(void)err;
	t.runs++;
	t.principal = rq->principal->kind;
	reply.page = ((const PB(ListServersRequest) *)rq->in)->page;
	bus_answer(rq, &reply.base);
	return 0;
}

/* More than a frame can carry. */
static int get_blobs(struct bus_request *rq, struct err *err)
{
	PB(GetBlobsReply) reply = MCPBOX__V1__GET_BLOBS_REPLY__INIT;
	PB(Blob) blob = MCPBOX__V1__BLOB__INIT, *blobs[] = { &blob };
	size_t len = ((const PB(GetBlobsRequest) *)rq->in)->n_hashes ? FRAME_MAX - 140 : FRAME_MAX;
	uint8_t *data = calloc(1, len);

	(void)err;
	blob.data = pb_bytes(data, len);
	reply.n_blobs = 1;
	reply.blobs = blobs;
	bus_answer(rq, &reply.base);
	free(data);
	return 0;
}

static int authorize(struct bus_request *rq, uint32_t right, struct err *err)
{
	t.authorized++;
	t.right = right;
	rq->auth = &t;
	return t.is_denied ? err_set(err, ERR_DENIED, "not you") : 0;
}

static void finished(struct bus_request *rq)
{
	assert_ptr_equal(rq->auth, &t);
	t.finished++;
}

static const struct bus_route routes[] = {
	{ MSG_LIST_SERVERS, FROM(ROLE_GATEWAY), 3, list_servers },
	{ MSG_GET_BLOBS, FROM(ROLE_GATEWAY), 0, get_blobs },
	{ MSG_DELETE_SERVER, FROM(ROLE_ADMIN), 0, list_servers },
};
static const struct bus_server server = {
	.routes = routes,
	.route_count = ARRAY_LEN(routes),
	.authorize = authorize,
	.finished = finished,
};

static struct bus *make_bus(struct keys *keys)
{
	struct bus_config config = {
		.keys = keys, .instance = "test", .registry_addrs = "127.0.0.1:1", .slots = 4
	};
	struct bus *b = NULL;
	struct err err = { 0 };

	assert_int_equal(bus_new(&config, &b, &err), 0);
	return b;
}

static int setup(void **state)
{
	(void)state;
	t.gateway = make_bus(t.gateway_keys);
	t.registry = make_bus(t.registry_keys);
	t.runs = t.authorized = t.finished = 0;
	t.is_denied = false;
	t.frame = t.reply = (struct buf)BUF_INIT(FRAME_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bus_stop(t.gateway);
	bus_stop(t.registry);
	buf_done(&t.frame);
	buf_done(&t.reply);
	return 0;
}

static void seal_message(uint16_t msg, const ProtobufCMessage *request,
			 const struct bus_call_opts *opts, bool is_boot_known)
{
	struct bus_target to = { .role = ROLE_REGISTRY };
	struct err err = { 0 };

	if (is_boot_known)
		memcpy(to.boot_id, bus_boot_id(t.registry), BOOT_ID_SIZE);
	buf_clear(&t.frame);
	assert_int_equal(
		bus_question_seal(t.gateway, &to, msg, request, opts, &t.question, &t.frame, &err),
		0);
}

static void seal_list(const struct bus_call_opts *opts)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;

	request.page = 7;
	seal_message(MSG_LIST_SERVERS, &request.base, opts, true);
}

static int answer(void)
{
	buf_clear(&t.reply);
	return bus_answer_frame(t.registry, &server, t.frame.data, t.frame.len, "test:1", &t.reply);
}

static int open_reply(ProtobufCMessage **ret, struct err *err)
{
	return bus_question_open(t.gateway, &t.question, t.reply.data, t.reply.len, ret, err);
}

/* The code that the answer to the sealed question carries. */
static int answered(void)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	assert_int_equal(answer(), 0);
	return open_reply(&reply, &err);
}

static void a_question_is_answered(void **state)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	(void)state;
	seal_list(NULL);
	assert_int_equal(answer(), 0);
	assert_int_equal(open_reply(&reply, &err), 0);
	assert_int_equal(((PB(ListServersReply) *)reply)->page, 7);
	assert_int_equal(t.right, 3);
	assert_int_equal(t.finished, 1);
	assert_int_equal(t.principal, MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM);
}

static void the_principal_travels(void **state)
{
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	struct bus_call_opts opts = { .principal = &principal };

	(void)state;
	principal.kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL;
	seal_list(&opts);
	assert_int_equal(answered(), 0);
	assert_int_equal(t.principal, MCPBOX__V1__PRINCIPAL__KIND__KIND_LOCAL);
}

static void an_unknown_boot_id_is_told_and_nothing_is_done(void **state)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	struct bus_target learned;

	(void)state;
	seal_message(MSG_LIST_SERVERS, &request.base, NULL, false);
	assert_int_equal(answered(), -ERR_STALE_PEER);
	assert_int_equal(t.runs, 0);
	assert_int_equal(t.authorized, 0);
	learned = t.question.to;
	assert_memory_equal(learned.boot_id, bus_boot_id(t.registry), BOOT_ID_SIZE);
}

static void a_frame_runs_once(void **state)
{
	(void)state;
	seal_list(NULL);
	assert_int_equal(answer(), 0);
	assert_int_equal(answer(), -ERR_DENIED);
	assert_int_equal(t.reply.len, 0);
	assert_int_equal(t.runs, 1);
	assert_true(bus_refused(t.registry, REFUSED_REPLAY) == 1);
}

/* A frame of this start of the gateway, counted as another. */
static void seal_of_start(uint32_t start, enum bus_role from, struct keys *keys)
{
	struct frame_header h = { .kind = FRAME_REQUEST,
				  .msg = MSG_LIST_SERVERS,
				  .key_generation = 1,
				  .from = from,
				  .to = ROLE_REGISTRY,
				  .counter = 1 };

	memcpy(h.from_boot, &start, sizeof(start));
	memcpy(h.to_boot, bus_boot_id(t.registry), BOOT_ID_SIZE);
	buf_clear(&t.frame);
	assert_int_equal(frame_seal(keys, &h, "", 0, &t.frame), 0);
}

/* More starts of one role than are remembered: nobody is refused, and what other roles sent stays known. */
static void a_flood_of_starts_costs_its_own_role_alone(void **state)
{
	struct keys *admin_keys = test_keys(ROLE_ADMIN, 1);

	(void)state;
	seal_of_start(1, ROLE_ADMIN, admin_keys);
	assert_int_equal(answer(), 0);
	for (uint32_t start = 1; start <= 5000; start++) {
		seal_of_start(start, ROLE_GATEWAY, t.gateway_keys);
		assert_int_equal(answer(), 0);
	}
	assert_int_equal(answer(), -ERR_DENIED);
	seal_of_start(1, ROLE_ADMIN, admin_keys);
	assert_int_equal(answer(), -ERR_DENIED);
	assert_true(bus_refused(t.registry, REFUSED_REPLAY) == 2);
	seal_list(NULL);
	assert_int_equal(answered(), 0);
	keys_free(admin_keys);
}

/* Asking with an unknown boot id again and again is answered and remembered by nobody. */
static void a_stale_question_may_be_asked_again(void **state)
{
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;

	(void)state;
	seal_message(MSG_LIST_SERVERS, &request.base, NULL, false);
	for (int i = 0; i < 3; i++) {
		BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
		struct err err = { 0 };

		assert_int_equal(answer(), 0);
		assert_int_equal(open_reply(&reply, &err), -ERR_STALE_PEER);
		memset(t.question.to.boot_id, 0, BOOT_ID_SIZE);
	}
	assert_int_equal(t.runs, 0);
	assert_true(bus_refused(t.registry, REFUSED_REPLAY) == 0);
}

static void a_refused_right_is_not_run(void **state)
{
	(void)state;
	t.is_denied = true;
	seal_list(NULL);
	assert_int_equal(answered(), -ERR_DENIED);
	assert_int_equal(t.runs, 0);
	assert_int_equal(t.finished, 1);
}

static void a_role_outside_the_row_is_refused_and_counted(void **state)
{
	PB(DeleteServerRequest) request = MCPBOX__V1__DELETE_SERVER_REQUEST__INIT;

	(void)state;
	seal_message(MSG_DELETE_SERVER, &request.base, NULL, true);
	assert_int_equal(answered(), -ERR_DENIED);
	assert_int_equal(t.authorized, 0);
	assert_true(bus_refused(t.registry, REFUSED_ROLE) == 1);
}

/* As a lease would. */
static void tell_gateway_the_time(void)
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	PB(SignedStatus) s = MCPBOX__V1__SIGNED_STATUS__INIT;
	const uint8_t *key = keys_sign(t.registry_keys, &s.key_id);
	uint8_t signature[CRYPTO_SIGN_SIZE];
	uint8_t *packed;
	size_t len;

	status.registry_unix_ms = clock_unix_ms();
	packed = msg_pack(&status.base, &len);
	crypto_sign(key, "mcpbox status", packed, len, signature);
	s.status = pb_bytes(packed, len);
	s.signature = pb_bytes(signature, sizeof(signature));
	assert_int_equal(news_take_reply(t.gateway, &s), 0);
	signature[0] ^= 1;
	assert_int_equal(news_take_reply(t.gateway, &s), -ERR_DENIED);
	free(packed);
}

static void a_frame_that_lay_beyond_its_deadline_is_not_started(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = 1000 };

	(void)state;
	tell_gateway_the_time();
	seal_list(&opts);
	clock_test_advance(5000);
	assert_int_equal(answered(), -ERR_DEADLINE);
	clock_test_advance(-5000);
	assert_int_equal(t.runs, 0);
	seal_list(&opts);
	assert_int_equal(answered(), 0);
}

static void without_the_registrys_time_the_rest_counts_from_arrival(void **state)
{
	struct bus_call_opts opts = { .timeout_ms = 1000 };

	(void)state;
	seal_list(&opts);
	clock_test_advance(5000);
	assert_int_equal(answered(), 0);
	clock_test_advance(-5000);
}

static void an_answer_to_another_question_is_refused(void **state)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	(void)state;
	seal_list(NULL);
	assert_int_equal(answer(), 0);
	t.question.counter++;
	assert_int_equal(open_reply(&reply, &err), -ERR_UNKNOWN_OUTCOME);
	t.question.counter--;
	t.question.request_id[3] ^= 1;
	assert_int_equal(open_reply(&reply, &err), -ERR_UNKNOWN_OUTCOME);
	t.question.request_id[3] ^= 1;
	t.question.msg = MSG_GET_SERVER;
	assert_int_equal(open_reply(&reply, &err), -ERR_UNKNOWN_OUTCOME);
	t.question.msg = MSG_LIST_SERVERS;
	assert_int_equal(open_reply(&reply, &err), 0);
}

static void an_answer_that_does_not_fit_says_so(void **state)
{
	PB(GetBlobsRequest) request = MCPBOX__V1__GET_BLOBS_REQUEST__INIT;
	ProtobufCBinaryData hash = pb_bytes("0123456789abcdef0123456789abcdef", 32);

	(void)state;
	seal_message(MSG_GET_BLOBS, &request.base, NULL, true);
	assert_int_equal(answered(), -ERR_TOO_LARGE);
	/* It fits the buffer, but not together with what surrounds it. */
	request.n_hashes = 1;
	request.hashes = &hash;
	seal_message(MSG_GET_BLOBS, &request.base, NULL, true);
	assert_int_equal(answered(), -ERR_TOO_LARGE);
}

/* ---- reports of refusals ---------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t reports; /* guarded by lock, like all below */
	uint64_t total;
	enum bus_refusal cause;
	char remote[32];
} told = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static bool on_refused(void *arg, enum bus_refusal cause, const char *remote, uint64_t count)
{
	assert_ptr_equal(arg, &told);
	(void)pthread_mutex_lock(&told.lock);
	told.reports++;
	told.total += count;
	told.cause = cause;
	(void)snprintf(told.remote, sizeof(told.remote), "%s", remote);
	(void)pthread_cond_broadcast(&told.changed);
	(void)pthread_mutex_unlock(&told.lock);
	return true;
}

static void send_forged(int count)
{
	seal_list(NULL);
	t.frame.data[t.frame.len - 1] ^= 1;
	for (int i = 0; i < count; i++)
		assert_int_equal(answer(), -ERR_DENIED);
}

static void wait_told(uint64_t total)
{
	(void)pthread_mutex_lock(&told.lock);
	while (told.total < total)
		(void)pthread_cond_wait(&told.changed, &told.lock);
	(void)pthread_mutex_unlock(&told.lock);
}

static void refusals_are_told_once_a_minute_with_their_number(void **state)
{
	(void)state;
	bus_on_refused(t.registry, on_refused, &told);
	send_forged(1);
	wait_told(1);
	send_forged(40);
	/* Nothing of those is told before the minute is over; then all of them, at once. */
	clock_test_advance(61000);
	wait_told(41);
	clock_test_advance(-61000);
	assert_int_equal(told.reports, 2);
	assert_int_equal(told.cause, REFUSED_SEAL);
	assert_string_equal(told.remote, "test");
	assert_true(bus_refused(t.registry, REFUSED_SEAL) == 41);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_question_is_answered),
		TEST(the_principal_travels),
		TEST(an_unknown_boot_id_is_told_and_nothing_is_done),
		TEST(a_frame_runs_once),
		TEST(a_flood_of_starts_costs_its_own_role_alone),
		TEST(a_stale_question_may_be_asked_again),
		TEST(a_refused_right_is_not_run),
		TEST(a_role_outside_the_row_is_refused_and_counted),
		TEST(a_frame_that_lay_beyond_its_deadline_is_not_started),
		TEST(without_the_registrys_time_the_rest_counts_from_arrival),
		TEST(an_answer_to_another_question_is_refused),
		TEST(an_answer_that_does_not_fit_says_so),
		TEST(refusals_are_told_once_a_minute_with_their_number),
	};
	int failed;

	if (crypto_start() < 0)
		return 2;
	t.gateway_keys = test_keys(ROLE_GATEWAY, 1);
	t.registry_keys = test_keys(ROLE_REGISTRY, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	keys_free(t.gateway_keys);
	keys_free(t.registry_keys);
	/* Stopped buses leave their sockets to the end of the process, as in the services. */
	(void)fflush(NULL);
	_exit(failed == 0 ? 0 : 1);
}
