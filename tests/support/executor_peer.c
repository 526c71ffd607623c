/*
 * The executor's neighbours for tests, one role a process, keys of test_keys.h:
 *
 *	executor_peer registry DIRECTORY ADDRESS    writes DIRECTORY/executor.key; publishes Status
 *	executor_peer gateway ADDRESS               asks executors
 *
 * Commands are JSON lines on stdin, each with "id"; answers are JSON lines with the same id, in any order.
 * registry:
 *	{"sign":{"permit":{...},"spec":{...},"grant":{...}}}  ->  {"permit","spec","grant"}  base64; hashes are filled in
 *	{"revoke":"PERMIT_ID"}                               ->  {}
 *	{"inspect":{"addr","code",...}}                         ->  {"reply":{...}} or {"error":{"code","text"}}
 * and unasked {"lease":{...}} whenever an instance renews with other facts.
 * gateway:
 *	{"execute":{"addr","call_id","permit","blobs":[...],"arguments","wants_progress","log_level"}}, {"wait":{...}},
 *	{"cancel":{...}}, {"ping":{...}}                     ->  {"reply":{...}} or {"error":{...}}
 * {"ready":true} comes first.  Ends with its standard input.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bus.h"
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "parse.h"
#include "test_keys.h"

#define REVOKED_MAX    16
#define LINE_MAX_BYTES (16u * 1024 * 1024)

struct peer {
	struct keys *keys;
	struct bus *bus;
	pthread_mutex_t lock; /* guards all below */
	uint64_t state_seq;
	char *revoked[REVOKED_MAX];
	size_t revoked_count;
	char *last_lease;
};

static struct peer peer = { .state_seq = 1, .lock = PTHREAD_MUTEX_INITIALIZER };
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

static void say(struct buf *line)
{
	buf_add_char(line, '\n');
	(void)pthread_mutex_lock(&out_lock);
	(void)fwrite(line->data, 1, line->len, stdout);
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&out_lock);
	buf_done(line);
}

static const char *text_of(const json_t *tree, const char *key)
{
	const char *text = json_string_value(json_object_get(tree, key));

	return text ? text : "";
}

static void begin(struct buf *line, const json_t *command)
{
	*line = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	buf_add_str(line, "{\"id\":");
	json_add_string(line, text_of(command, "id"), strlen(text_of(command, "id")));
}

/* ---- registry: status ---- */

static void sign_status(PB(SignedStatus) * ret, struct buf *packed,
			uint8_t signature[CRYPTO_SIGN_SIZE])
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	uint8_t epoch[16] = { 1 };

	(void)pthread_mutex_lock(&peer.lock);
	status.epoch = pb_bytes(epoch, sizeof(epoch));
	status.state_seq = peer.state_seq;
	status.registry_unix_ms = clock_unix_ms();
	status.revoked_permit_ids = peer.revoked;
	status.n_revoked_permit_ids = peer.revoked_count;
	packed->len = protobuf_c_message_pack(
		&status.base, buf_grow(packed, protobuf_c_message_get_packed_size(&status.base)));
	(void)pthread_mutex_unlock(&peer.lock);
	crypto_sign(keys_sign(peer.keys, &ret->key_id), "mcpbox status", packed->data, packed->len,
		    signature);
	ret->status = pb_bytes(packed->data, packed->len);
	ret->signature = pb_bytes(signature, CRYPTO_SIGN_SIZE);
}

static void report_lease(const struct bus_request *rq)
{
	const PB(RenewLeaseRequest) *in = (const PB(RenewLeaseRequest) *)rq->in;
	struct buf facts = BUF_INIT(65536), line = BUF_INIT(65536);
	bool is_new;

	msg_to_json(&in->instance->base, 0, &facts);
	(void)pthread_mutex_lock(&peer.lock);
	is_new = !peer.last_lease || strcmp(peer.last_lease, buf_str(&facts)) != 0;
	if (is_new) {
		free(peer.last_lease);
		peer.last_lease = mem_strdup(buf_str(&facts));
	}
	(void)pthread_mutex_unlock(&peer.lock);
	if (is_new) {
		buf_printf(&line, "{\"lease\":%s}", buf_str(&facts));
		say(&line);
	}
	buf_done(&facts);
}

static int answer_status(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	PB(SignedStatus) reply = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(65536);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	if (rq->msg == MSG_RENEW_LEASE)
		report_lease(rq);
	sign_status(&reply, &packed, signature);
	bus_answer(rq, &reply.base);
	buf_done(&packed);
	return 0;
}

static int answer_empty(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	static const PB(Empty) reply = MCPBOX__V1__EMPTY__INIT;

	bus_answer(rq, &reply.base);
	return 0;
}

static void publish_status(void)
{
	PB(SignedStatus) news = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(65536);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(&news, &packed, signature);
	bus_publish(peer.bus, NEWS_STATUS, &news.base);
	buf_done(&packed);
}

static void *publish_always(void *arg)
{
	for (;;) {
		publish_status();
		clock_sleep_ms(500);
	}
	return arg;
}

static const struct bus_route routes[] = {
	{ MSG_RENEW_LEASE, FROM(ROLE_EXECUTOR), 0, answer_status },
	{ MSG_GET_STATUS, FROM(ROLE_EXECUTOR) | FROM(ROLE_GATEWAY), 0, answer_status },
	{ MSG_REPORT_EVENT, FROM(ROLE_EXECUTOR) | FROM(ROLE_GATEWAY), 0, answer_empty },
	{ MSG_LEAVE, FROM(ROLE_EXECUTOR), 0, answer_empty },
};

static void serve(enum bus_port port, bool is_control)
{
	static char addr[64];
	char url[BUS_ADDR_SIZE];
	struct bus_server server = { .listen = url,
				     .is_control = is_control,
				     .capacity = 4,
				     .routes = routes,
				     .route_count = ARRAY_LEN(routes) };
	struct err err = { 0 };

	bus_registry_url(peer.bus, 0, port, url);
	if (bus_serve_start(peer.bus, &server, addr, sizeof(addr), &err) < 0)
		box_bug("%s", err.text);
}

static void start_registry(const char *directory)
{
	struct secret *root = secret_new(TEST_ROOT_KEY, 32);
	char *path = mem_printf("%s/executor.key", directory);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char news[BUS_ADDR_SIZE];
	struct err err = { 0 };
	pthread_t publisher;

	if (fd < 0 || keys_write_role(root, ROLE_EXECUTOR, 1, fd, &err) < 0)
		box_bug("no key file: %s", err.text);
	close(fd);
	free(path);
	secret_free(root);
	bus_registry_url(peer.bus, 0, BUS_PORT_NEWS, news);
	if (bus_publish_start(peer.bus, news, &err) < 0)
		box_bug("%s", err.text);
	serve(BUS_PORT_WORK, false);
	serve(BUS_PORT_CONTROL, true);
	if (pthread_create(&publisher, NULL, publish_always, NULL) != 0)
		box_bug("no thread");
}

/* ---- registry: commands ---- */

static ProtobufCMessage *from_json(const ProtobufCMessageDescriptor *type, const json_t *tree)
{
	ProtobufCMessage *m = NULL;
	size_t len;
	char *text = json_dump(tree, &len);
	struct err err = { 0 };

	if (json_to_msg(type, text, len, NULL, &m, &err) < 0)
		box_bug("%s: %s", err.field, err.text);
	free(text);
	return m;
}

/* Packs tree as type, appends it as base64, gives its hash. */
static void add_blob(struct buf *line, const char *key, const ProtobufCMessageDescriptor *type,
		     const json_t *tree, uint8_t ret_hash[CRYPTO_HASH_SIZE])
{
	ProtobufCMessage *m = from_json(type, tree);
	size_t len;
	uint8_t *packed = msg_pack(m, &len);
	char *text = format_base64(packed, len);

	crypto_hash(packed, len, ret_hash);
	buf_printf(line, ",\"%s\":\"%s\"", key, text);
	free(text);
	free(packed);
	msg_free(m);
}

static void add_permit(struct buf *line, PB(Permit) * permit)
{
	PB(SignedPermit) s = MCPBOX__V1__SIGNED_PERMIT__INIT;
	uint8_t signature[CRYPTO_SIGN_SIZE];
	size_t len;
	uint8_t *packed = msg_pack(&permit->base, &len), *signed_permit;
	char *text;

	crypto_sign(keys_sign(peer.keys, &s.key_id), "mcpbox permit", packed, len, signature);
	s.permit = pb_bytes(packed, len);
	s.signature = pb_bytes(signature, sizeof(signature));
	signed_permit = msg_pack(&s.base, &len);
	text = format_base64(signed_permit, len);
	buf_printf(line, ",\"permit\":\"%s\"", text);
	free(text);
	free(signed_permit);
	free(packed);
}

static void sign(const json_t *what, struct buf *line)
{
	PB(Permit) *permit = (PB(Permit) *)from_json(&mcpbox__v1__permit__descriptor,
						     json_object_get(what, "permit"));
	PB(Permit) copy = *permit;
	uint8_t spec[CRYPTO_HASH_SIZE], grant[CRYPTO_HASH_SIZE];

	add_blob(line, "spec", &mcpbox__v1__tool_spec__descriptor, json_object_get(what, "spec"),
		 spec);
	copy.spec_hash = pb_bytes(spec, sizeof(spec));
	if (json_object_get(what, "grant")) {
		add_blob(line, "grant", &mcpbox__v1__grant__descriptor,
			 json_object_get(what, "grant"), grant);
		copy.grant_hash = pb_bytes(grant, sizeof(grant));
	}
	add_permit(line, &copy);
	msg_free(&permit->base);
}

static void revoke_permit(const char *permit_id)
{
	(void)pthread_mutex_lock(&peer.lock);
	if (peer.revoked_count < REVOKED_MAX)
		peer.revoked[peer.revoked_count++] = mem_strdup(permit_id);
	peer.state_seq++;
	(void)pthread_mutex_unlock(&peer.lock);
	publish_status();
}

/* ---- questions to the executor ---- */

static void ask(const json_t *what, uint16_t msg, const ProtobufCMessage *question,
		struct buf *line)
{
	struct bus_target to = { .role = ROLE_EXECUTOR, .addr = text_of(what, "addr") };
	struct bus_call_opts opts = { .timeout_ms = 20000 };
	ProtobufCMessage *reply = NULL;
	struct err err = { 0 };

	if (bus_call(peer.bus, &to, msg, question, &opts, &reply, &err) == 0) {
		buf_add_str(line, ",\"reply\":");
		msg_to_json(reply, 0, line);
		msg_free(reply);
		return;
	}
	buf_printf(line, ",\"error\":{\"code\":\"%s\",\"text\":", err_row(err.code)->name);
	json_add_string(line, err.text, strlen(err.text));
	buf_add_char(line, '}');
	err_done(&err);
}

static void ask_inspect(const json_t *what, struct buf *line)
{
	PB(InspectRequest) q = MCPBOX__V1__INSPECT_REQUEST__INIT;

	q.python_code = pb_text(text_of(what, "code"));
	q.input_schema_json = pb_text(text_of(what, "input_schema"));
	q.output_schema_json = pb_text(text_of(what, "output_schema"));
	ask(what, MSG_INSPECT, &q.base, line);
}

#define BLOBS_MAX 2
struct blob_store {
	PB(Blob) blobs[BLOBS_MAX];
	PB(Blob) * list[BLOBS_MAX];
	uint8_t hashes[BLOBS_MAX][CRYPTO_HASH_SIZE];
	size_t count;
};

static uint8_t *from_base64(const char *text, size_t *ret_len)
{
	uint8_t *data = NULL;

	if (parse_base64(text, strlen(text), &data, ret_len) < 0)
		box_bug("bad base64");
	return data;
}

static void read_blobs(const json_t *what, struct blob_store *b)
{
	const json_t *text;
	size_t i;

	json_array_foreach(json_object_get(what, "blobs"), i, text)
	{
		PB(Blob) *blob = &b->blobs[b->count];

		if (b->count == BLOBS_MAX)
			break;
		mcpbox__v1__blob__init(blob);
		blob->data.data = from_base64(json_string_value(text), &blob->data.len);
		crypto_hash(blob->data.data, blob->data.len, b->hashes[b->count]);
		blob->hash = pb_bytes(b->hashes[b->count], CRYPTO_HASH_SIZE);
		b->list[b->count++] = blob;
	}
}

static void ask_execute(const json_t *what, struct buf *line)
{
	PB(ExecuteRequest) q = MCPBOX__V1__EXECUTE_REQUEST__INIT;
	struct blob_store store = { 0 };
	ProtobufCMessage *permit = NULL;
	size_t len, arguments_len;
	uint8_t *packed = from_base64(text_of(what, "permit"), &len);
	char *arguments = json_dump(json_object_get(what, "arguments"), &arguments_len);

	if (msg_unpack(&mcpbox__v1__signed_permit__descriptor, packed, len, &permit) < 0)
		box_bug("bad permit");
	read_blobs(what, &store);
	q.call_id = (char *)(uintptr_t)text_of(what, "call_id");
	q.permit = (PB(SignedPermit) *)permit;
	q.arguments_json = pb_bytes(arguments, arguments_len);
	q.blobs = store.list;
	q.n_blobs = store.count;
	q.wants_progress = json_is_true(json_object_get(what, "wants_progress"));
	q.log_level = (char *)(uintptr_t)text_of(what, "log_level");
	ask(what, MSG_EXECUTE, &q.base, line);
	for (size_t i = 0; i < store.count; i++)
		free(store.blobs[i].data.data);
	msg_free(permit);
	free(packed);
	free(arguments);
}

static void ask_wait(const json_t *what, struct buf *line)
{
	PB(WaitRequest) q = MCPBOX__V1__WAIT_REQUEST__INIT;

	q.call_id = (char *)(uintptr_t)text_of(what, "call_id");
	q.after_seq = (uint32_t)json_integer_value(json_object_get(what, "after_seq"));
	ask(what, MSG_WAIT, &q.base, line);
}

static void ask_cancel(const json_t *what, struct buf *line)
{
	PB(CancelRequest) q = MCPBOX__V1__CANCEL_REQUEST__INIT;

	q.call_id = (char *)(uintptr_t)text_of(what, "call_id");
	q.reason = (char *)(uintptr_t) "test";
	ask(what, MSG_CANCEL, &q.base, line);
}

static void ask_ping(const json_t *what, struct buf *line)
{
	PB(PingRequest) q = MCPBOX__V1__PING_REQUEST__INIT;

	ask(what, MSG_PING, &q.base, line);
}

/* ---- commands ---- */

static const struct {
	const char *name;
	void (*obey)(const json_t *what, struct buf *line);
} commands[] = {
	{ "sign", sign },     { "inspect", ask_inspect }, { "execute", ask_execute },
	{ "wait", ask_wait }, { "cancel", ask_cancel },   { "ping", ask_ping },
};

static void *obey(void *arg)
{
	json_t *command = arg;
	struct buf line;

	begin(&line, command);
	if (json_object_get(command, "revoke"))
		revoke_permit(text_of(command, "revoke"));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const json_t *what = json_object_get(command, commands[i].name);

		if (what)
			commands[i].obey(what, &line);
	}
	buf_add_char(&line, '}');
	say(&line);
	json_decref(command);
	return NULL;
}

int main(int argc, char **argv)
{
	bool is_registry = argc == 4 && strcmp(argv[1], "registry") == 0;
	struct bus_config config = { .instance = is_registry ? "registry-test" : "gateway-test",
				     .slots = 16 };
	struct buf ready = BUF_INIT(64);
	struct err err = { 0 };
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	if (argc < 3 || crypto_start() < 0)
		return 2;
	json_start();
	peer.keys = test_keys(is_registry ? ROLE_REGISTRY : ROLE_GATEWAY, 1);
	config.keys = peer.keys;
	config.registry_addrs = argv[is_registry ? 3 : 2];
	if (bus_new(&config, &peer.bus, &err) < 0)
		box_bug("%s", err.text);
	if (is_registry)
		start_registry(argv[2]);
	buf_add_str(&ready, "{\"ready\":true}");
	say(&ready);
	while ((len = getline(&line, &room, stdin)) > 0) {
		json_t *command = NULL;
		pthread_t thread;

		if (json_load(line, (size_t)len, &command, &err) < 0)
			box_bug("bad line: %s", err.text);
		if (pthread_create(&thread, NULL, obey, command) != 0 ||
		    pthread_detach(thread) != 0)
			box_bug("no thread");
	}
	_exit(0);
}
