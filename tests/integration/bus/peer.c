/*
 * A small registry for the tests of the bus: its own process, so that it can be killed.
 *
 *	bus_test_peer <port> <capacity>
 *	bus_test_peer spool <directory>     another process: records two calls and kills itself
 *	bus_test_peer dial <port>           another: connects and kills itself
 *
 * Prints "ready" when it listens on port (work), port+1 (news), port+2 (control); over TLS when
 * MCPBOX_BUS_TLS_CERT and _CA are set.  What it can be
 *told: LIST_SERVERS{page}          echoes page; total = how often CREATE_SERVER ran
 *	GET_SERVER{server_id}       tool_count = refusals of the cause of that name; "lines": the port of its lines
 *	CREATE_SERVER{name}         "die": ends the process at once.  "hold": returns after
 *STOP_SERVER. "stale": fails with everything an error can carry.  Else counts. STOP_SERVER
 *(control)       lets the held ones go START_SERVER{server_id: N}  (control) Status becomes
 *state_seq N and is published UPDATE_SERVER{server_id: N} (control) the same, but the news of it is
 *lost on the way
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "bus.h"
#include "clock.h"
#include "crypto.h"
#include "spool.h"
#include "test_keys.h"

struct origin {
	char name[64];
	uint64_t last_no;
};

static struct {
	struct bus *bus;
	struct keys *keys;
	uint8_t epoch[16];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t runs; /* guarded by lock, like all below */
	bool is_released;
	uint64_t state_seq;
	uint32_t records, unknown_ends;
	struct origin origins[8];
} peer = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static int list_servers(struct bus_request *rq, struct err *err)
{
	const PB(ListServersRequest) *in = (const PB(ListServersRequest) *)rq->in;
	PB(ListServersReply) reply = MCPBOX__V1__LIST_SERVERS_REPLY__INIT;

	(void)err;
	reply.page = in->page;
	pthread_mutex_lock(&peer.lock);
	reply.total = peer.runs;
	pthread_mutex_unlock(&peer.lock);
	bus_answer(rq, &reply.base);
	return 0;
}

static int get_server(struct bus_request *rq, struct err *err)
{
	const PB(GetServerRequest) *in = (const PB(GetServerRequest) *)rq->in;
	PB(GetServerReply) reply = MCPBOX__V1__GET_SERVER_REPLY__INIT;
	PB(Server) server = MCPBOX__V1__SERVER__INIT;

	for (int cause = 0; cause < REFUSED_COUNT; cause++)
		if (strcmp(bus_refusal_name((enum bus_refusal)cause), in->server_id) == 0)
			server.tool_count =
				(uint32_t)bus_refused(peer.bus, (enum bus_refusal)cause);
	if (strcmp(in->server_id, "lines") == 0)
		server.tool_count = bus_line_port(peer.bus);
	reply.server = &server;
	(void)err;
	bus_answer(rq, &reply.base);
	return 0;
}

static int fail_in_full(struct err *err)
{
	int r = err_set_field(err, ERR_STALE, "revision", "read it again", "it has moved on");

	err->current_json = strdup("{\"revision\":7}");
	return r;
}

static void hold(void)
{
	while (!peer.is_released)
		pthread_cond_wait(&peer.changed, &peer.lock);
}

static int create_server(struct bus_request *rq, struct err *err)
{
	const PB(CreateServerRequest) *in = (const PB(CreateServerRequest) *)rq->in;
	PB(CreateServerReply) reply = MCPBOX__V1__CREATE_SERVER_REPLY__INIT;

	if (strcmp(in->name, "die") == 0)
		_exit(9);
	if (strcmp(in->name, "stale") == 0)
		return fail_in_full(err);
	pthread_mutex_lock(&peer.lock);
	peer.runs++;
	pthread_cond_broadcast(&peer.changed);
	if (strcmp(in->name, "hold") == 0)
		hold();
	pthread_mutex_unlock(&peer.lock);
	reply.success = true;
	reply.name = in->name;
	bus_answer(rq, &reply.base);
	return 0;
}

static int stop_server(struct bus_request *rq, struct err *err)
{
	PB(ServerStateReply) reply = MCPBOX__V1__SERVER_STATE_REPLY__INIT;

	(void)err;
	pthread_mutex_lock(&peer.lock);
	/* Nobody can be let go before it has come. */
	while (peer.runs == 0)
		pthread_cond_wait(&peer.changed, &peer.lock);
	peer.is_released = true;
	pthread_cond_broadcast(&peer.changed);
	pthread_mutex_unlock(&peer.lock);
	bus_answer(rq, &reply.base);
	return 0;
}

/* The signed Status as it is now, with that instance if any; the packed bytes are the caller's. */
static void signed_status(PB(Instance) * instance, PB(SignedStatus) * ret,
			  uint8_t signature[CRYPTO_SIGN_SIZE])
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	const uint8_t *key = keys_sign(peer.keys, &ret->key_id);
	uint8_t *packed;
	size_t len;

	status.epoch = pb_bytes(peer.epoch, sizeof(peer.epoch));
	pthread_mutex_lock(&peer.lock);
	status.state_seq = peer.state_seq;
	pthread_mutex_unlock(&peer.lock);
	status.registry_unix_ms = clock_unix_ms();
	status.n_instances = instance ? 1 : 0;
	status.instances = &instance;
	packed = msg_pack(&status.base, &len);
	crypto_sign(key, "mcpbox status", packed, len, signature);
	ret->status = pb_bytes(packed, len);
	ret->signature = pb_bytes(signature, CRYPTO_SIGN_SIZE);
}

static int get_status(struct bus_request *rq, struct err *err)
{
	PB(SignedStatus) s = MCPBOX__V1__SIGNED_STATUS__INIT;
	uint8_t signature[CRYPTO_SIGN_SIZE];

	(void)err;
	signed_status(NULL, &s, signature);
	bus_answer(rq, &s.base);
	free(s.status.data);
	return 0;
}

static int renew_lease(struct bus_request *rq, struct err *err)
{
	const PB(RenewLeaseRequest) *in = (const PB(RenewLeaseRequest) *)rq->in;
	PB(SignedStatus) s = MCPBOX__V1__SIGNED_STATUS__INIT;
	uint8_t signature[CRYPTO_SIGN_SIZE];

	(void)err;
	signed_status(in->instance, &s, signature);
	bus_answer(rq, &s.base);
	free(s.status.data);
	return 0;
}

static void publish_status(void)
{
	PB(SignedStatus) s = MCPBOX__V1__SIGNED_STATUS__INIT;
	uint8_t signature[CRYPTO_SIGN_SIZE];

	signed_status(NULL, &s, signature);
	bus_publish(peer.bus, NEWS_STATUS, &s.base);
	free(s.status.data);
}

static void set_state(const char *seq)
{
	pthread_mutex_lock(&peer.lock);
	peer.state_seq = strtoull(seq, NULL, 10);
	pthread_mutex_unlock(&peer.lock);
}

static int start_server(struct bus_request *rq, struct err *err)
{
	PB(ServerStateReply) reply = MCPBOX__V1__SERVER_STATE_REPLY__INIT;

	(void)err;
	set_state(((const PB(StartServerRequest) *)rq->in)->server_id);
	publish_status();
	bus_answer(rq, &reply.base);
	return 0;
}

static int update_server(struct bus_request *rq, struct err *err)
{
	PB(GetServerReply) reply = MCPBOX__V1__GET_SERVER_REPLY__INIT;

	(void)err;
	set_state(((const PB(UpdateServerRequest) *)rq->in)->server_id);
	bus_answer(rq, &reply.base);
	return 0;
}

/* As the registry keeps them: in order, each number of an origin once.  Aborts on a gap. */
static int ship_records(struct bus_request *rq, struct err *err)
{
	const PB(ShipRecordsRequest) *in = (const PB(ShipRecordsRequest) *)rq->in;
	PB(ShipRecordsReply) reply = MCPBOX__V1__SHIP_RECORDS_REPLY__INIT;
	struct origin *o;

	(void)err;
	pthread_mutex_lock(&peer.lock);
	for (o = peer.origins; o->name[0] && strcmp(o->name, in->origin) != 0;)
		o++;
	(void)snprintf(o->name, sizeof(o->name), "%s", in->origin);
	for (size_t i = 0; i < in->n_records; i++) {
		const PB(Record) *record = in->records[i];

		if (record->no <= o->last_no)
			continue;
		if (record->no != o->last_no + 1)
			abort();
		o->last_no = record->no;
		peer.records++;
		peer.unknown_ends += record->call && strcmp(record->call->outcome, "unknown") == 0;
	}
	reply.committed_no = o->last_no;
	pthread_mutex_unlock(&peer.lock);
	bus_answer(rq, &reply.base);
	return 0;
}

static int list_tools(struct bus_request *rq, struct err *err)
{
	PB(ListToolsReply) reply = MCPBOX__V1__LIST_TOOLS_REPLY__INIT;

	(void)err;
	pthread_mutex_lock(&peer.lock);
	reply.total = peer.records;
	reply.page = peer.unknown_ends;
	pthread_mutex_unlock(&peer.lock);
	bus_answer(rq, &reply.base);
	return 0;
}

static int accept_leave(struct bus_request *rq, struct err *err)
{
	PB(Empty) reply = MCPBOX__V1__EMPTY__INIT;

	(void)err;
	bus_answer(rq, &reply.base);
	return 0;
}

#define ANYBODY (FROM(ROLE_GATEWAY) | FROM(ROLE_EXECUTOR) | FROM(ROLE_ADMIN))

static const struct bus_route work_routes[] = {
	{ MSG_LIST_SERVERS, ANYBODY, 0, list_servers },
	{ MSG_GET_SERVER, ANYBODY, 0, get_server },
	{ MSG_CREATE_SERVER, ANYBODY, 0, create_server },
	{ MSG_DELETE_SERVER, FROM(ROLE_ADMIN), 0, stop_server },
	{ MSG_SHIP_RECORDS, ANYBODY, 0, ship_records },
	{ MSG_LIST_TOOLS, ANYBODY, 0, list_tools },
};
/* One row per message; on the peer's control socket its test commands travel too. */
static const struct bus_route control_routes[] = {
	{ MSG_GET_STATUS, ANYBODY, 0, get_status },
	{ MSG_RENEW_LEASE, ANYBODY, 0, renew_lease },
	{ MSG_LEAVE, ANYBODY, 0, accept_leave },
	{ MSG_STOP_SERVER, ANYBODY, 0, stop_server },
	{ MSG_LIST_SERVERS, ANYBODY, 0, list_servers },
	{ MSG_START_SERVER, ANYBODY, 0, start_server },
	{ MSG_UPDATE_SERVER, ANYBODY, 0, update_server },
};

static int serve(uint32_t capacity, struct err *err)
{
	struct bus_server work = { .capacity = capacity,
				   .has_lines = true,
				   .routes = work_routes,
				   .route_count = ARRAY_LEN(work_routes) };
	struct bus_server control = { .is_control = true,
				      .capacity = 4,
				      .routes = control_routes,
				      .route_count = ARRAY_LEN(control_routes) };
	char url[BUS_ADDR_SIZE], bound[BUS_ADDR_SIZE];
	int r;

	bus_registry_url(peer.bus, 0, BUS_PORT_NEWS, url);
	r = bus_publish_start(peer.bus, url, err);
	if (r < 0)
		return r;
	bus_registry_url(peer.bus, 0, BUS_PORT_CONTROL, url);
	control.listen = url;
	r = bus_serve_start(peer.bus, &control, bound, sizeof(bound), err);
	if (r < 0)
		return r;
	bus_registry_url(peer.bus, 0, BUS_PORT_WORK, url);
	work.listen = url;
	return bus_serve_start(peer.bus, &work, bound, sizeof(bound), err);
}

static bool forget_refusal(void *arg, enum bus_refusal cause, const char *remote, uint64_t count)
{
	(void)arg;
	(void)cause;
	(void)remote;
	(void)count;
	return true;
}

/* A gateway that records one call and the start of another, and is killed.  Its registry is not there. */
static int die_with_open_call(const char *spool_root)
{
	struct bus_config config = { .instance = "gateway-killed",
				     .registry_addrs = "127.0.0.1:1",
				     .slots = 4 };
	struct spool_config spool_config = {
		.root = spool_root,
		.sync_ms = 50,
		.max_bytes = 1u << 20,
		.start_kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED,
		.end_kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED,
	};
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	struct spool *spool;
	struct err err = { 0 };

	config.keys = test_keys(ROLE_GATEWAY, 1);
	if (bus_new(&config, &spool_config.bus, &err) < 0 ||
	    spool_start(&spool_config, &spool, &err) < 0)
		return 2;
	record.call = &call;
	record.call_id = (char *)"whole";
	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED;
	if (spool_append(spool, &record, &err) < 0)
		return 2;
	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED;
	if (spool_append(spool, &record, &err) < 0)
		return 2;
	record.call_id = (char *)"open";
	record.kind = MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED;
	if (spool_append(spool, &record, &err) < 0)
		return 2;
	(void)raise(SIGKILL);
	return 2;
}

static int die_connected(const char *port)
{
	nng_socket socket;
	char url[64];

	(void)snprintf(url, sizeof(url), "tcp://127.0.0.1:%s", port);
	if (nng_req0_open(&socket) != 0)
		return 2;
	/* Fails on the news port, whose protocol is another: that, too, is a client to survive. */
	(void)nng_dial(socket, url, NULL, 0);
	(void)raise(SIGKILL);
	return 2;
}

int main(int argc, char **argv)
{
	struct bus_config config = { .instance = "registry-test", .slots = 4 };
	struct err err = { 0 };
	char addr[64];
	sigset_t signals;
	int signal_no;

	if (argc != 3 || crypto_start() < 0)
		return 2;
	if (strcmp(argv[1], "spool") == 0)
		return die_with_open_call(argv[2]);
	if (strcmp(argv[1], "dial") == 0)
		return die_connected(argv[2]);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	crypto_random(peer.epoch, sizeof(peer.epoch));
	if (bus_tls_load(getenv("MCPBOX_BUS_TLS_CERT"), getenv("MCPBOX_BUS_TLS_CA"), &config.tls,
			 &err) < 0)
		return 2;
	(void)snprintf(addr, sizeof(addr), "%s127.0.0.1:%s", config.tls ? "tls+tcp://" : "tcp://",
		       argv[1]);
	config.registry_addrs = addr;
	peer.keys = test_keys(ROLE_REGISTRY, 1);
	config.keys = peer.keys;
	if (bus_new(&config, &peer.bus, &err) < 0)
		return 2;
	bus_on_refused(peer.bus, forget_refusal, NULL);
	if (serve((uint32_t)atoi(argv[2]), &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 3; /* the port is taken; the test tries another */
	}
	(void)printf("ready\n");
	(void)fflush(stdout);
	(void)sigwait(&signals, &signal_no);
	bus_stop(peer.bus);
	_exit(0);
}
