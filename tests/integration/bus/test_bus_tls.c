/*
 * The bus on tls+tcp:// addresses: this process is a gateway, bus_test_peer is the registry.  The
 * certificates are made by the openssl command for each run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>

#include "bus.h"
#include "crypto.h"
#include "mem.h"
#include "peer_process.h"
#include "test_keys.h"

#define PATIENCE_MS  20000 /* for events that must come; nothing waits this long */
#define IMPATIENT_MS 500   /* for what must not come */

static struct {
	char dir[64];
	struct bus *bus;
	struct keys *keys; /* of the gateway */
} t;

/* ---- certificates --------------------------------------------------------------------------- */

/* member: what a service has.  foreign: the same of another CA.  misnamed: of the CA, for something else. */
static const char certificates[] =
	"set -e\n"
	"key() { openssl ecparam -genkey -name prime256v1 -noout -out $1.key; }\n"
	"ca() { key $1; openssl req -x509 -new -key $1.key -subj /CN=$1 -days 2 -out $1.pem; }\n"
	"cert() {\n"
	"	key $1\n"
	"	openssl req -new -key $1.key -subj /CN=$1 -out $1.csr\n"
	"	echo subjectAltName=DNS:$3 >ext\n"
	"	openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2"
	" -extfile ext -out $1.crt\n"
	"	cat $1.crt $1.key >$1.pem\n"
	"}\n"
	"umask 077\n"
	"ca ca; ca other-ca\n"
	"cert member ca mcpbox-bus\n"
	"cert foreign other-ca mcpbox-bus\n"
	"cert misnamed ca elsewhere\n"
	"echo nothing >nonsense.pem\n"
	"cp member.pem open.pem; chmod 644 open.pem\n";

static char *pem(const char *name)
{
	return name ? mem_printf("%s/%s.pem", t.dir, name) : NULL;
}

static int make_certificates(void **state)
{
	BOX_CLEANUP(mem_freep) char *command = NULL;

	(void)state;
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/mcpbox-bus-tls-XXXXXX");
	if (!mkdtemp(t.dir))
		return -1;
	command = mem_printf("cd %s && { %s} 2>openssl.log", t.dir, certificates);
	return system(command);
}

static int remove_certificates(void **state)
{
	BOX_CLEANUP(mem_freep) char *command = mem_printf("rm -r %s", t.dir);

	(void)state;
	return system(command);
}

static int load(const char *cert, const char *ca, struct bus_tls **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *cert_file = pem(cert);
	BOX_CLEANUP(mem_freep) char *ca_file = pem(ca);

	return bus_tls_load(cert_file, ca_file, ret, err);
}

/* ---- both sides ----------------------------------------------------------------------------- */

static void peer_start_as(const char *cert)
{
	BOX_CLEANUP(mem_freep) char *cert_file = pem(cert);
	BOX_CLEANUP(mem_freep) char *ca_file = pem("ca");

	assert_int_equal(setenv("MCPBOX_BUS_TLS_CERT", cert_file, 1), 0);
	assert_int_equal(setenv("MCPBOX_BUS_TLS_CA", ca_file, 1), 0);
	peer_start("4");
}

static int bus_make(const char *addrs, struct bus_tls *tls, struct err *err)
{
	const struct bus_config config = { .keys = t.keys,
					   .instance = "gateway-test",
					   .registry_addrs = addrs,
					   .slots = 4,
					   .tls = tls };

	return bus_new(&config, &t.bus, err);
}

static void join_as(const char *cert)
{
	struct bus_tls *tls;
	struct err err = { 0 };
	char addr[64];

	(void)snprintf(addr, sizeof(addr), "tls+tcp://127.0.0.1:%u", peer_process.port);
	assert_int_equal(load(cert, "ca", &tls, &err), 0);
	assert_int_equal(bus_make(addr, tls, &err), 0);
}

static int end(void **state)
{
	(void)state;
	bus_stop(t.bus);
	peer_kill();
	return 0;
}

static int list(uint32_t timeout_ms)
{
	const struct bus_call_opts opts = { .timeout_ms = timeout_ms, .repeatable = true };
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };
	int r;

	request.page = 7;
	r = bus_ask_registry(t.bus, MSG_LIST_SERVERS, &request.base, &opts, &reply, &err);
	if (r == 0)
		assert_int_equal(((PB(ListServersReply) *)reply)->page, 7);
	err_done(&err);
	return r;
}

static void set_state(const char *seq)
{
	const struct bus_call_opts opts = { .timeout_ms = PATIENCE_MS };
	struct bus_target to = { .role = ROLE_REGISTRY };
	PB(StartServerRequest) request = MCPBOX__V1__START_SERVER_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	char url[BUS_ADDR_SIZE];
	struct err err = { 0 };

	bus_registry_url(t.bus, 0, BUS_PORT_CONTROL, url);
	to.addr = url;
	request.server_id = (char *)(uintptr_t)seq;
	assert_int_equal(bus_call(t.bus, &to, MSG_START_SERVER, &request.base, &opts, &reply, &err),
			 0);
}

static void count_news(void *arg, const PB(Status) * status)
{
	(void)status;
	(*(_Atomic uint32_t *)arg)++;
}

static void news_start(void)
{
	static _Atomic uint32_t heard;
	const struct bus_news news = { .on_status = count_news, .arg = (void *)&heard };
	struct err err = { 0 };

	assert_int_equal(bus_news_start(t.bus, &news, &err), 0);
}

static void everything_works(void)
{
	assert_int_equal(list(PATIENCE_MS), 0);
	news_start();
	set_state("41");
	assert_int_equal(bus_wait_state(t.bus, 41, PATIENCE_MS), 0);
}

/* ---- what works ----------------------------------------------------------------------------- */

static void calls_control_and_news_travel_over_tls(void **state)
{
	(void)state;
	peer_start_as("member");
	join_as("member");
	everything_works();
}

/* Without the sealed channel's own questions: only what was published gets here. */
static void a_subscriber_hears_the_news_itself(void **state)
{
	BOX_CLEANUP(mem_freep) char *cert = pem("member");
	BOX_CLEANUP(mem_freep) char *ca = pem("ca");
	char url[BUS_ADDR_SIZE];
	nng_dialer dialer;
	nng_socket sub;
	nng_msg *m;

	(void)state;
	peer_start_as("member");
	join_as("member");
	bus_registry_url(t.bus, 0, BUS_PORT_NEWS, url);
	assert_int_equal(nng_sub0_open(&sub), 0);
	assert_int_equal(nng_socket_set(sub, NNG_OPT_SUB_SUBSCRIBE, "", 0), 0);
	assert_int_equal(nng_socket_set_ms(sub, NNG_OPT_RECVTIMEO, 200), 0);
	assert_int_equal(nng_dialer_create(&dialer, sub, url), 0);
	assert_int_equal(nng_dialer_set_string(dialer, NNG_OPT_TLS_CERT_KEY_FILE, cert), 0);
	assert_int_equal(nng_dialer_set_string(dialer, NNG_OPT_TLS_CA_FILE, ca), 0);
	assert_int_equal(nng_dialer_set_string(dialer, NNG_OPT_TLS_SERVER_NAME, "mcpbox-bus"), 0);
	assert_int_equal(nng_dialer_start(dialer, 0), 0);
	/* The publisher may learn of its subscriber later than the subscriber of it. */
	do {
		set_state("6");
	} while (nng_recvmsg(sub, &m, 0) != 0);
	nng_msg_free(m);
}

static void a_listener_announces_its_scheme(void **state)
{
	const struct bus_server server = { .listen = "tls+tcp://127.0.0.1:0", .capacity = 1 };
	char addr[BUS_ADDR_SIZE];
	struct err err = { 0 };

	(void)state;
	peer_start_as("member");
	join_as("member");
	assert_int_equal(bus_serve_start(t.bus, &server, addr, sizeof(addr), &err), 0);
	assert_int_equal(strncmp(addr, "tls+tcp://127.0.0.1:", 20), 0);
	assert_true(atoi(addr + 20) > 0);
}

/* ---- strangers ------------------------------------------------------------------------------ */

/* Connects once and says how that went; never with success. */
static void assert_kept_out(const char *scheme, const char *cert, uint16_t port)
{
	BOX_CLEANUP(mem_freep) char *cert_file = pem(cert);
	BOX_CLEANUP(mem_freep) char *ca_file = pem("ca");
	char url[BUS_ADDR_SIZE];
	nng_dialer dialer;
	nng_socket socket;

	(void)snprintf(url, sizeof(url), "%s127.0.0.1:%u", scheme, port);
	if (port == peer_process.port + BUS_PORT_NEWS)
		assert_int_equal(nng_sub0_open(&socket), 0);
	else
		assert_int_equal(nng_req0_open(&socket), 0);
	assert_int_equal(nng_dialer_create(&dialer, socket, url), 0);
	if (cert) {
		assert_int_equal(
			nng_dialer_set_string(dialer, NNG_OPT_TLS_CERT_KEY_FILE, cert_file), 0);
		assert_int_equal(
			nng_dialer_set_string(dialer, NNG_OPT_TLS_SERVER_NAME, "mcpbox-bus"), 0);
		assert_int_equal(nng_dialer_set_string(dialer, NNG_OPT_TLS_CA_FILE, ca_file), 0);
	}
	assert_int_not_equal(nng_dialer_start(dialer, 0), 0);
	assert_int_equal(nng_close(socket), 0);
}

static void strangers_get_nothing_and_the_listeners_survive(void **state)
{
	(void)state;
	peer_start_as("member");
	for (int i = 0; i < 30; i++) {
		uint16_t port = (uint16_t)(peer_process.port + i % 3);

		assert_kept_out("tls+tcp://", "foreign", port);
		assert_kept_out("tcp://", NULL, port);
	}
	join_as("member");
	everything_works();
}

static void a_bus_with_a_foreign_certificate_finds_no_registry(void **state)
{
	(void)state;
	peer_start_as("member");
	join_as("foreign");
	assert_int_equal(list(IMPATIENT_MS), -ERR_UNAVAILABLE);
}

static void a_registry_with_a_foreign_certificate_is_not_asked(void **state)
{
	(void)state;
	peer_start_as("foreign");
	join_as("member");
	assert_int_equal(list(IMPATIENT_MS), -ERR_UNAVAILABLE);
}

static void a_certificate_for_something_else_is_no_registry(void **state)
{
	(void)state;
	peer_start_as("misnamed");
	join_as("member");
	assert_int_equal(list(IMPATIENT_MS), -ERR_UNAVAILABLE);
}

/* ---- settings ------------------------------------------------------------------------------- */

static void assert_names_both(const struct err *err)
{
	assert_non_null(strstr(err->text, "MCPBOX_BUS_TLS_CERT"));
	assert_non_null(strstr(err->text, "MCPBOX_BUS_TLS_CA"));
}

static void an_address_without_certificates_names_the_settings(void **state)
{
	const struct bus_server server = { .listen = "tls+tcp://127.0.0.1:0", .capacity = 1 };
	const struct bus_target to = { .role = ROLE_EXECUTOR, .addr = "tls+tcp://127.0.0.1:1" };
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	char addr[BUS_ADDR_SIZE];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(bus_make("127.0.0.1:1,tls+tcp://127.0.0.1:1", NULL, &err), -ERR_INVALID);
	assert_names_both(&err);
	err_done(&err);
	assert_int_equal(bus_make("127.0.0.1:1", NULL, &err), 0);
	assert_int_equal(bus_serve_start(t.bus, &server, addr, sizeof(addr), &err), -ERR_INVALID);
	assert_names_both(&err);
	err_done(&err);
	assert_int_equal(bus_publish_start(t.bus, server.listen, &err), -ERR_INVALID);
	assert_names_both(&err);
	err_done(&err);
	assert_int_equal(bus_call(t.bus, &to, MSG_LIST_SERVERS, &request.base, NULL, &reply, &err),
			 -ERR_INVALID);
	assert_names_both(&err);
	err_done(&err);
	bus_stop(t.bus);
}

static void half_of_the_settings_names_both(void **state)
{
	struct bus_tls *tls;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(load("member", NULL, &tls, &err), -ERR_INVALID);
	assert_names_both(&err);
	err_done(&err);
	assert_int_equal(load(NULL, "ca", &tls, &err), -ERR_INVALID);
	assert_names_both(&err);
	err_done(&err);
	assert_int_equal(load(NULL, NULL, &tls, &err), 0);
	assert_null(tls);
}

static const struct {
	const char *cert, *ca;
	int error; /* of loading, 0: of the bus */
	const char *setting;
} bad_files[] = {
	{ "absent", "ca", -ERR_UNAVAILABLE, "MCPBOX_BUS_TLS_CERT" },
	{ "member", "absent", -ERR_UNAVAILABLE, "MCPBOX_BUS_TLS_CA" },
	{ "open", "ca", -ERR_DENIED, "MCPBOX_BUS_TLS_CERT" },
	{ "nonsense", "ca", 0, "MCPBOX_BUS_TLS_CERT" },
	{ "ca", "ca", 0, "MCPBOX_BUS_TLS_CERT" }, /* a certificate without its key */
	{ "member", "nonsense", 0, "MCPBOX_BUS_TLS_CA" },
};

static void a_bad_file_is_named_at_the_start(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		struct bus_tls *tls;
		struct err err = { 0 };
		int r = load(bad_files[i].cert, bad_files[i].ca, &tls, &err);

		assert_int_equal(r, bad_files[i].error);
		if (r == 0)
			assert_int_equal(bus_make("tls+tcp://127.0.0.1:1", tls, &err),
					 -ERR_INVALID);
		assert_non_null(strstr(err.text, bad_files[i].setting));
		err_done(&err);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_control_and_news_travel_over_tls),
		TEST(a_subscriber_hears_the_news_itself),
		TEST(a_listener_announces_its_scheme),
		TEST(strangers_get_nothing_and_the_listeners_survive),
		TEST(a_bus_with_a_foreign_certificate_finds_no_registry),
		TEST(a_registry_with_a_foreign_certificate_is_not_asked),
		TEST(a_certificate_for_something_else_is_no_registry),
		cmocka_unit_test(an_address_without_certificates_names_the_settings),
		cmocka_unit_test(half_of_the_settings_names_both),
		cmocka_unit_test(a_bad_file_is_named_at_the_start),
	};
	int failed;

	if (argc < 2 || crypto_start() < 0)
		return 2;
	peer_process.path = argv[1];
	if (argc == 3)
		cmocka_set_test_filter(argv[2]);
	t.keys = test_keys(ROLE_GATEWAY, 1);
	failed = cmocka_run_group_tests(tests, make_certificates, remove_certificates);
	keys_free(t.keys);
	/* Buses that were stopped keep sockets and a thread in nng: leave as the services do. */
	(void)fflush(NULL);
	_exit(failed == 0 ? 0 : 1);
}
