/*
 * A registry for tests of the gateway: keeps a map of tools as it is told, leases, and what was shipped.
 *
 *	gateway_registry ROOT_KEY_FILE ADDRESS
 *
 * Commands on standard input, one JSON object a line:
 *	{"map":{"servers":[...],"tools":[...]}}   GetToolMapReply without permits and hashes, which are made here
 *	{"revoke":"TOOL_ID"}                      revoke the permit of that tool
 * Facts on standard output, one JSON object a line: {"ready":true}, {"asked":"MSG","request":{...}},
 * {"record":{...}}.  Ends with its standard input.
 */
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

#define MAX 32

struct fake {
	struct keys *keys;
	struct bus *bus;
	uint8_t epoch[16];    /* of this start */
	pthread_mutex_t lock; /* guards all below */
	uint64_t state_seq;
	PB(GetToolMapReply) * map;
	PB(Blob) blobs[2 * MAX];
	size_t blob_count;
	ProtobufCMessage *leases[MAX]; /* RenewLeaseRequest */
	char *revoked[MAX];
	size_t revoked_count;
};

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *key, const char *name, const ProtobufCMessage *m)
{
	struct buf line = BUF_INIT(8u * 1024 * 1024);

	buf_add_char(&line, '{');
	if (name)
		buf_printf(&line, "\"asked\":\"%s\",", name);
	buf_printf(&line, "\"%s\":", key);
	if (m)
		msg_to_json(m, 0, &line);
	else
		buf_add_str(&line, "true");
	buf_add_str(&line, "}\n");
	(void)pthread_mutex_lock(&out_lock);
	(void)fputs(buf_str(&line), stdout);
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&out_lock);
	buf_done(&line);
}

/* ---- permits and blobs ---- */

/* Bytes that stand for a spec or grant; remembered by hash. */
static ProtobufCBinaryData add_blob(struct fake *f, const char *text)
{
	uint8_t *hash = mem_alloc(CRYPTO_HASH_SIZE);
	PB(Blob) *b = &f->blobs[f->blob_count++ % (2 * MAX)];

	crypto_hash(text, strlen(text), hash);
	*b = (PB(Blob))MCPBOX__V1__BLOB__INIT;
	b->hash = pb_bytes(hash, CRYPTO_HASH_SIZE);
	b->data = pb_bytes(mem_strdup(text), strlen(text));
	return pb_bytes(mem_dup(hash, CRYPTO_HASH_SIZE), CRYPTO_HASH_SIZE);
}

static PB(SignedPermit) *
	make_permit(const struct fake *f, const PB(MapTool) * t, PB(Permit__Purpose) purpose)
{
	PB(SignedPermit) *s = mem_alloc(sizeof(*s));
	PB(Permit) p = MCPBOX__V1__PERMIT__INIT;
	PB(Role) audience[] = { MCPBOX__V1__ROLE__ROLE_GATEWAY, MCPBOX__V1__ROLE__ROLE_EXECUTOR };
	BOX_CLEANUP(mem_freep) char *id = mem_printf("permit-%s-%u", t->tool_id, t->version);
	uint8_t *signature = mem_alloc(CRYPTO_SIGN_SIZE);
	uint8_t *packed;
	size_t len;

	p.permit_id = id;
	p.server_id = t->server_id;
	p.tool_id = t->tool_id;
	p.version = t->version;
	p.spec_hash = t->spec_hash;
	p.grant_hash = t->grant_hash;
	p.audience = audience;
	p.n_audience = ARRAY_LEN(audience);
	p.purpose = purpose;
	p.not_after_unix_ms = clock_unix_ms() + 600000;
	packed = msg_pack(&p.base, &len);
	*s = (PB(SignedPermit))MCPBOX__V1__SIGNED_PERMIT__INIT;
	s->permit = pb_bytes(packed, len);
	crypto_sign(keys_sign(f->keys, &s->key_id), "mcpbox permit", packed, len, signature);
	s->signature = pb_bytes(signature, CRYPTO_SIGN_SIZE);
	return s;
}

static void complete_tool(struct fake *f, PB(MapTool) * t, PB(Permit__Purpose) purpose)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "spec %s %u", t->tool_id, t->version);
	t->spec_hash = add_blob(f, text);
	(void)snprintf(text, sizeof(text), "grant %s", t->server_id);
	t->grant_hash = add_blob(f, text);
	t->permit = make_permit(f, t, purpose);
}

/* ---- status ---- */

static void sign_status(struct fake *f, struct buf *packed, uint8_t signature[CRYPTO_SIGN_SIZE],
			uint32_t *ret_key_id)
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	PB(Instance) * instances[MAX];
	size_t len;

	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < MAX; i++) {
		if (f->leases[i])
			instances[status.n_instances++] =
				((PB(RenewLeaseRequest) *)f->leases[i])->instance;
	}
	status.instances = instances;
	status.epoch = pb_bytes(f->epoch, sizeof(f->epoch));
	status.state_seq = f->state_seq;
	status.registry_unix_ms = clock_unix_ms();
	status.revoked_permit_ids = f->revoked;
	status.n_revoked_permit_ids = f->revoked_count;
	len = protobuf_c_message_get_packed_size(&status.base);
	packed->len = protobuf_c_message_pack(&status.base, buf_grow(packed, len));
	(void)pthread_mutex_unlock(&f->lock);
	crypto_sign(keys_sign(f->keys, ret_key_id), "mcpbox status", packed->data, packed->len,
		    signature);
}

static void publish(struct fake *f)
{
	PB(SignedStatus) news = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(65536);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(f, &packed, signature, &news.key_id);
	news.status = pb_bytes(packed.data, packed.len);
	news.signature = pb_bytes(signature, sizeof(signature));
	bus_publish(f->bus, NEWS_STATUS, &news.base);
	buf_done(&packed);
}

static int answer_status(struct bus_request *rq)
{
	PB(SignedStatus) reply = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(65536);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(rq->service, &packed, signature, &reply.key_id);
	reply.status = pb_bytes(packed.data, packed.len);
	reply.signature = pb_bytes(signature, sizeof(signature));
	bus_answer(rq, &reply.base);
	buf_done(&packed);
	return 0;
}

/* ---- answers ---- */

static int answer_json(struct bus_request *rq, const char *text, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r = json_to_msg(msg_row(rq->msg)->reply, text, strlen(text), NULL, &reply, err);

	if (r == 0)
		bus_answer(rq, reply);
	return r;
}

static int renew(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	struct fake *f = rq->service;
	const PB(RenewLeaseRequest) *in = (const PB(RenewLeaseRequest) *)rq->in;
	ProtobufCMessage *copy = NULL;
	bool is_new = true;

	if (msg_unpack(rq->in->descriptor, rq->in_bytes, rq->in_len, &copy) < 0)
		return -ERR_INVALID;
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < MAX && copy; i++) {
		PB(RenewLeaseRequest) *held = (PB(RenewLeaseRequest) *)f->leases[i];

		if (held && strcmp(held->instance->instance, in->instance->instance) != 0)
			continue;
		if (held) {
			msg_free(f->leases[i]);
			is_new = false;
		}
		f->leases[i] = copy;
		copy = NULL;
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (is_new)
		publish(f);
	return answer_status(rq);
}

static int get_status(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	return answer_status(rq);
}

static int get_map(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	struct fake *f = rq->service;

	(void)pthread_mutex_lock(&f->lock);
	f->map->epoch = pb_bytes(f->epoch, sizeof(f->epoch));
	f->map->state_seq = f->state_seq;
	bus_answer(rq, &f->map->base);
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

static int get_blobs(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	struct fake *f = rq->service;
	const PB(GetBlobsRequest) *in = (const PB(GetBlobsRequest) *)rq->in;
	PB(GetBlobsReply) reply = MCPBOX__V1__GET_BLOBS_REPLY__INIT;
	PB(Blob) * found[2 * MAX];

	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < in->n_hashes; i++) {
		for (size_t k = 0; k < 2 * MAX && k < f->blob_count; k++) {
			if (memcmp(f->blobs[k].hash.data, in->hashes[i].data, CRYPTO_HASH_SIZE) ==
				    0 &&
			    reply.n_blobs < 2 * MAX) {
				found[reply.n_blobs++] = &f->blobs[k];
				break;
			}
		}
	}
	reply.blobs = found;
	bus_answer(rq, &reply.base);
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

static int ship(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	const PB(ShipRecordsRequest) *in = (const PB(ShipRecordsRequest) *)rq->in;
	PB(ShipRecordsReply) reply = MCPBOX__V1__SHIP_RECORDS_REPLY__INIT;

	for (size_t i = 0; i < in->n_records; i++) {
		say("record", NULL, &in->records[i]->base);
		reply.committed_no = in->records[i]->no;
	}
	bus_answer(rq, &reply.base);
	return 0;
}

/* Start and stop change the map at once, and the answer comes before the news. */
static int set_running(struct bus_request *rq, const char *id, bool running, struct err *err)
{
	struct fake *f = rq->service;

	say("request", msg_row(rq->msg)->name, rq->in);
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->map->n_servers; i++) {
		if (strcmp(f->map->servers[i]->id, id) == 0)
			f->map->servers[i]->running = running;
	}
	f->state_seq++;
	(void)pthread_mutex_unlock(&f->lock);
	return answer_json(rq,
			   running ? "{\"success\":true,\"status\":\"running\"}"
				   : "{\"success\":true,\"status\":\"stopped\"}",
			   err);
}

static int start_server(struct bus_request *rq, struct err *err)
{
	return set_running(rq, ((const PB(StartServerRequest) *)rq->in)->server_id, true, err);
}

static int stop_server(struct bus_request *rq, struct err *err)
{
	return set_running(rq, ((const PB(StopServerRequest) *)rq->in)->server_id, false, err);
}

static int get_server(struct bus_request *rq, struct err *err)
{
	if (strcmp(((const PB(GetServerRequest) *)rq->in)->server_id, "s1") != 0)
		return err_set_field(err, ERR_NOT_FOUND, "server_id",
				     "list them with mcpbox_list_servers", "server x not found");
	return answer_json(
		rq, "{\"server\":{\"id\":\"s1\",\"name\":\"demo\",\"status\":\"running\"}}", err);
}

static int get_tool(struct bus_request *rq, struct err *err)
{
	return answer_json(rq, "{\"tool\":{\"id\":\"t-echo\",\"name\":\"echo\"}}", err);
}

static int validate(struct bus_request *rq, struct err *err)
{
	const PB(ValidateCodeRequest) *in = (const PB(ValidateCodeRequest) *)rq->in;

	if (memmem(in->code.data, in->code.len, "def main", 8))
		return answer_json(rq, "{\"valid\":true,\"has_main\":true}", err);
	return answer_json(rq, "{\"valid\":false,\"error\":\"line 1: invalid syntax\"}", err);
}

static int prepare_test(struct bus_request *rq, struct err *err)
{
	struct fake *f = rq->service;
	const char *id = ((const PB(PrepareTestRequest) *)rq->in)->tool_id;
	PB(PrepareTestReply) reply = MCPBOX__V1__PREPARE_TEST_REPLY__INIT;
	PB(MapTool) copy;

	for (size_t i = 0; i < f->map->n_tools; i++) {
		if (strcmp(f->map->tools[i]->tool_id, id) != 0)
			continue;
		copy = *f->map->tools[i];
		(void)pthread_mutex_lock(&f->lock);
		complete_tool(f, &copy, MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST);
		(void)pthread_mutex_unlock(&f->lock);
		reply.tool = &copy;
		bus_answer(rq, &reply.base);
		return 0;
	}
	return err_set(err, ERR_STATE, "the tool is a draft; tests need approval");
}

/* It knows "mcpbox.SCOPE" of user SCOPE; all but "read" may call. */
static int check_token(struct bus_request *rq, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *token =
		mem_strndup((const char *)rq->principal->secret.data, rq->principal->secret.len);
	PB(CheckTokenReply) reply = MCPBOX__V1__CHECK_TOKEN_REPLY__INIT;

	if (rq->principal->kind != MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN ||
	    (strcmp(token, "mcpbox.read") != 0 && strcmp(token, "mcpbox.call") != 0))
		return err_set(err, ERR_UNAUTHENTICATED, "unknown");
	reply.token_id = token;
	reply.username = token + strlen("mcpbox.");
	reply.may_call = strcmp(token, "mcpbox.call") == 0;
	bus_answer(rq, &reply.base);
	return 0;
}

static int answer_empty(struct bus_request *rq, struct err *err)
{
	say("request", msg_row(rq->msg)->name, rq->in);
	return answer_json(rq, "{}", err);
}

static const struct {
	uint16_t msg;
	bus_handler *handler;
} answers[] = {
	{ MSG_RENEW_LEASE, renew },       { MSG_GET_STATUS, get_status },
	{ MSG_GET_TOOL_MAP, get_map },    { MSG_GET_BLOBS, get_blobs },
	{ MSG_SHIP_RECORDS, ship },       { MSG_START_SERVER, start_server },
	{ MSG_STOP_SERVER, stop_server }, { MSG_GET_SERVER, get_server },
	{ MSG_VALIDATE_CODE, validate },  { MSG_PREPARE_TEST, prepare_test },
	{ MSG_GET_TOOL, get_tool },       { MSG_CHECK_TOKEN, check_token },
};

static struct bus_route routes[128];

static size_t fill_routes(void)
{
	size_t count = 0;

	for (uint16_t msg = 1; msg < 120; msg++) {
		if (!msg_row(msg))
			continue;
		routes[count] = (struct bus_route){ msg, ~0u, 0, answer_empty };
		for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
			if (answers[i].msg == msg)
				routes[count].handler = answers[i].handler;
		}
		count++;
	}
	return count;
}

/* ---- commands ---- */

static void set_map(struct fake *f, const json_t *map)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	ProtobufCMessage *m = NULL;
	struct err err = { 0 };
	size_t len;

	text = json_dump(map, &len);
	if (json_to_msg(&mcpbox__v1__get_tool_map_reply__descriptor, text, len, NULL, &m, &err) <
	    0) {
		(void)fprintf(stderr, "map: %s\n", err.text);
		_exit(1);
	}
	(void)pthread_mutex_lock(&f->lock);
	f->map = (PB(GetToolMapReply) *)m; /* the older one is left to the end of the process */
	for (size_t i = 0; i < f->map->n_tools; i++)
		complete_tool(f, f->map->tools[i], MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_LIVE);
	f->state_seq++;
	(void)pthread_mutex_unlock(&f->lock);
}

static void revoke_permit(struct fake *f, const char *tool_id)
{
	(void)pthread_mutex_lock(&f->lock);
	f->revoked[f->revoked_count++] = mem_printf("permit-%s-1", tool_id);
	f->state_seq++;
	(void)pthread_mutex_unlock(&f->lock);
}

static void obey(struct fake *f, const char *line)
{
	BOX_CLEANUP(json_decrefp) json_t *command = NULL;

	if (json_load(line, strlen(line), &command, NULL) < 0)
		return;
	if (json_object_get(command, "map"))
		set_map(f, json_object_get(command, "map"));
	if (json_object_get(command, "revoke"))
		revoke_permit(f, json_string_value(json_object_get(command, "revoke")));
	publish(f);
}

static void *publish_always(void *arg)
{
	for (;;) {
		clock_sleep_ms(400);
		publish(arg);
	}
	return NULL;
}

/* ---- start ---- */

static int serve(struct fake *f, const char *listen, bool is_control, struct err *err)
{
	const struct bus_server server = { .listen = listen,
					   .is_control = is_control,
					   .capacity = 8,
					   .routes = routes,
					   .route_count = fill_routes(),
					   .service = f };
	char addr[64];

	return bus_serve_start(f->bus, &server, addr, sizeof(addr), err);
}

static int load_root(const char *path, struct keys **ret, struct err *err)
{
	BOX_CLEANUP(secret_freep) struct secret *root = secret_new(NULL, CRYPTO_KEY_SIZE);
	char text[2 * CRYPTO_KEY_SIZE + 1] = { 0 };
	FILE *f = fopen(path, "r");

	if (!f || fread(text, 1, sizeof(text) - 1, f) == 0 ||
	    parse_hex(text, root->data, root->len) < 0)
		return err_set(err, ERR_INVALID, "no root key in %s", path);
	(void)fclose(f);
	return keys_from_root(root, 1, ret, err);
}

static int start(struct fake *f, const char *root, const char *address, struct err *err)
{
	struct bus_config config = { .instance = "registry-fake",
				     .registry_addrs = address,
				     .slots = 4 };
	const char *colon = strrchr(address, ':');
	char urls[3][64];
	uint64_t port;
	int r = load_root(root, &f->keys, err);

	if (r < 0 || !colon || parse_u64(colon + 1, 1, 65533, &port) < 0)
		return err_set(err, ERR_INVALID, "bad root or address");
	for (unsigned i = 0; i < 3; i++)
		(void)snprintf(urls[i], sizeof(urls[i]), "tcp://127.0.0.1:%u", (unsigned)port + i);
	config.keys = f->keys;
	r = bus_new(&config, &f->bus, err);
	if (r == 0)
		r = bus_publish_start(f->bus, urls[1], err);
	if (r == 0)
		r = serve(f, urls[0], false, err);
	return r == 0 ? serve(f, urls[2], true, err) : r;
}

int main(int argc, char **argv)
{
	static struct fake fake = { .lock = PTHREAD_MUTEX_INITIALIZER, .state_seq = 1 };
	static char line[4 * 1024 * 1024];
	pthread_t publisher;
	struct err err = { 0 };

	if (argc != 3 || crypto_start() < 0)
		return 2;
	json_start();
	crypto_random(fake.epoch, sizeof(fake.epoch));
	fake.map = mem_alloc(sizeof(*fake.map));
	*fake.map = (PB(GetToolMapReply))MCPBOX__V1__GET_TOOL_MAP_REPLY__INIT;
	if (start(&fake, argv[1], argv[2], &err) < 0) {
		(void)fprintf(stderr, "gateway_registry: %s\n", err.text);
		return 1;
	}
	if (pthread_create(&publisher, NULL, publish_always, &fake) != 0)
		return 1;
	say("ready", NULL, NULL);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(&fake, line);
	}
	_exit(0);
}
