/*
 * A registry for tests of those who ask it: speaks the bus, publishes Status, holds no data.
 *
 *	fake_registry ROOT_KEY_FILE ADDRESS
 *
 * Each question is a JSON line on stdout ({"msg","kind","secret","remote","request"}) and is
 *answered by the canned answer of its row, else by an empty reply.  "READY" comes first.  Ends with
 *its standard input.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bus.h"
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "parse.h"

#define GOOD_TOKEN "good-token"

struct fake {
	struct keys *keys;
	struct bus *bus;
	char work_addr[64], control_addr[64];
	const char *answers;
	uint64_t state_seq;
};

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- what was asked ---- */

static void report(const struct bus_request *rq)
{
	struct buf line = BUF_INIT(4u * 1024 * 1024);

	buf_printf(&line, "{\"msg\":\"%s\",\"kind\":%d,\"secret\":", msg_row(rq->msg)->name,
		   (int)rq->principal->kind);
	json_add_string(&line, rq->principal->secret.data, rq->principal->secret.len);
	buf_add_str(&line, ",\"remote\":");
	json_add_string(&line, rq->principal->remote, strlen(rq->principal->remote));
	buf_add_str(&line, ",\"request\":");
	msg_to_json(rq->in, 0, &line);
	buf_add_str(&line, "}\n");
	(void)pthread_mutex_lock(&out_lock);
	(void)fputs(buf_str(&line), stdout);
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&out_lock);
	buf_done(&line);
}

/* ---- what is answered ---- */

/* The answers file anew for each question, so that a test may change its mind.  NULL: no row. */
static json_t *answer_of(const struct fake *f, const char *name)
{
	json_t *all = json_load_file(f->answers, 0, NULL);
	json_t *row = json_incref(json_object_get(all, name));

	json_decref(all);
	return row;
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

/* By number or by name. */
static enum err_code code_of(const json_t *code)
{
	const char *name = json_string_value(code);

	if (!name)
		return (enum err_code)json_integer_value(code);
	for (int i = ERR_OK + 1; i < ERR_CODE_COUNT; i++)
		if (strcmp(err_row((enum err_code)i)->name, name) == 0)
			return (enum err_code)i;
	(void)fprintf(stderr, "fake_registry: no error '%s'\n", name);
	exit(2);
}

static int answer_error(const json_t *error, struct err *err)
{
	const json_t *current = json_object_get(error, "current");
	enum err_code code = code_of(json_object_get(error, "code"));
	size_t len;

	(void)err_set_field(err, code, text_of(error, "field"), text_of(error, "hint"), "%s",
			    text_of(error, "text"));
	if (current)
		err->current_json = json_dump(current, &len);
	return -(int)code;
}

static int answer_row(struct bus_request *rq, const json_t *row, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;
	int r;

	if (json_object_get(row, "error!"))
		return answer_error(json_object_get(row, "error!"), err);
	text = row ? json_dump(row, &len) : mem_strdup("{}");
	r = json_to_msg(msg_row(rq->msg)->reply, text, strlen(text), NULL, &reply, err);
	if (r == 0)
		bus_answer(rq, reply);
	return r;
}

static bool has_session(const struct bus_request *rq)
{
	static const uint16_t open[] = { MSG_LOGIN, MSG_AUTH_STATUS, MSG_SETUP, MSG_REFRESH };
	const ProtobufCBinaryData *secret = &rq->principal->secret;

	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (open[i] == rq->msg)
			return true;
	if (rq->principal->kind == MCPBOX__V1__PRINCIPAL__KIND__KIND_OWNER && rq->from == ROLE_OPS)
		return true;
	return secret->len == strlen(GOOD_TOKEN) &&
	       memcmp(secret->data, GOOD_TOKEN, secret->len) == 0;
}

static int answer(struct bus_request *rq, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *row = NULL;

	report(rq);
	if (!has_session(rq))
		return err_set(err, ERR_UNAUTHENTICATED, "the session has ended");
	row = answer_of(rq->service, msg_row(rq->msg)->name);
	return answer_row(rq, row, err);
}

/* ---- status ---- */

static void sign_status(struct fake *f, struct buf *packed, uint8_t signature[CRYPTO_SIGN_SIZE],
			uint32_t *ret_key_id)
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	uint8_t epoch[16] = { 1 };
	size_t len;

	status.epoch = pb_bytes(epoch, sizeof(epoch));
	status.state_seq = f->state_seq;
	status.registry_unix_ms = clock_unix_ms();
	len = protobuf_c_message_get_packed_size(&status.base);
	packed->len = protobuf_c_message_pack(&status.base, buf_grow(packed, len));
	crypto_sign(keys_sign(f->keys, ret_key_id), "mcpbox status", packed->data, packed->len,
		    signature);
}

static int answer_get_status(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	PB(SignedStatus) reply = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(4096);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(rq->service, &packed, signature, &reply.key_id);
	reply.status = pb_bytes(packed.data, packed.len);
	reply.signature = pb_bytes(signature, sizeof(signature));
	bus_answer(rq, &reply.base);
	buf_done(&packed);
	return 0;
}

static void publish_status(struct fake *f)
{
	PB(SignedStatus) news = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(4096);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(f, &packed, signature, &news.key_id);
	news.status = pb_bytes(packed.data, packed.len);
	news.signature = pb_bytes(signature, sizeof(signature));
	bus_publish(f->bus, NEWS_STATUS, &news.base);
	buf_done(&packed);
}

static void *publish_always(void *arg)
{
	for (;;) {
		publish_status(arg);
		clock_sleep_ms(200);
	}
	return NULL;
}

/* ---- start ---- */

static struct bus_route routes[128];

static size_t fill_routes(void)
{
	size_t count = 0;

	for (uint16_t msg = 1; msg < 120; msg++)
		if (msg_row(msg))
			routes[count++] = (struct bus_route){
				msg, ~0u, 0, msg == MSG_GET_STATUS ? answer_get_status : answer
			};
	return count;
}

static int serve(struct fake *f, const char *listen, bool is_control, char ret_addr[64],
		 struct err *err)
{
	const struct bus_server server = {
		.listen = listen,
		.is_control = is_control,
		.capacity = 4,
		.routes = routes,
		.route_count = fill_routes(),
		.service = f,
	};

	return bus_serve_start(f->bus, &server, ret_addr, 64, err);
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

/* address: "127.0.0.1:P"; work at P, news at P+1, control at P+2. */
static int start(struct fake *f, const char *root, const char *address, struct err *err)
{
	const struct bus_config config = { .instance = "registry-fake",
					   .registry_addrs = address,
					   .slots = 4 };
	struct bus_config with_keys = config;
	const char *colon = strrchr(address, ':');
	char urls[3][64];
	uint64_t port;
	int r = load_root(root, &f->keys, err);

	if (r < 0)
		return r;
	if (!colon || parse_u64(colon + 1, 1, 65533, &port) < 0)
		return err_set(err, ERR_INVALID, "no port in %s", address);
	for (unsigned i = 0; i < 3; i++)
		(void)snprintf(urls[i], sizeof(urls[i]), "tcp://127.0.0.1:%u", (unsigned)port + i);
	with_keys.keys = f->keys;
	r = bus_new(&with_keys, &f->bus, err);
	if (r == 0)
		r = bus_publish_start(f->bus, urls[1], err);
	if (r == 0)
		r = serve(f, urls[0], false, f->work_addr, err);
	if (r == 0)
		r = serve(f, urls[2], true, f->control_addr, err);
	return r;
}

int main(int argc, char **argv)
{
	static struct fake fake = { .state_seq = 1 };
	pthread_t publisher;
	struct err err = { 0 };
	char c;

	if (argc != 4 || crypto_start() < 0)
		return 2;
	fake.answers = argv[3];
	json_start();
	if (start(&fake, argv[1], argv[2], &err) < 0) {
		(void)fprintf(stderr, "fake_registry: %s\n", err.text);
		return 1;
	}
	(void)pthread_create(&publisher, NULL, publish_always, &fake);
	(void)puts("READY");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	_exit(0);
}
