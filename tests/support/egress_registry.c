/*
 * A registry for tests of the egress-proxy: publishes Status, takes records, signs what it is told
 *to.
 *
 *	egress_registry DIRECTORY ADDRESS
 *
 * Makes a root key and writes DIRECTORY/egress.key and executor.key.  JSON lines on stdin, one
 *answer each:
 *	{"permit":{...},"grant":{...}}  ->  {"permit":BASE64,"grant":BASE64}   (grant_hash is filled
 *in)
 *	{"revoke":"PERMIT_ID"}          ->  {"revoked":"PERMIT_ID"}
 * Records come on stdout as {"record":{...}} when they are shipped.  "READY" comes first.
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

#define REVOKED_MAX 16

struct fake {
	struct keys *keys;
	struct bus *bus;
	char work_addr[64], control_addr[64];
	pthread_mutex_t lock;
	uint64_t state_seq;         /* lock */
	char *revoked[REVOKED_MAX]; /* lock */
	size_t revoked_count;       /* lock */
};

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *line)
{
	(void)pthread_mutex_lock(&out_lock);
	(void)puts(line);
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&out_lock);
}

/* ---- status ---- */

static void sign_status(struct fake *f, PB(SignedStatus) * ret, struct buf *packed,
			uint8_t signature[CRYPTO_SIGN_SIZE])
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	uint8_t epoch[16] = { 1 };
	size_t len;

	(void)pthread_mutex_lock(&f->lock);
	status.epoch = pb_bytes(epoch, sizeof(epoch));
	status.state_seq = f->state_seq;
	status.registry_unix_ms = clock_unix_ms();
	status.revoked_permit_ids = f->revoked;
	status.n_revoked_permit_ids = f->revoked_count;
	len = protobuf_c_message_get_packed_size(&status.base);
	packed->len = protobuf_c_message_pack(&status.base, buf_grow(packed, len));
	(void)pthread_mutex_unlock(&f->lock);
	crypto_sign(keys_sign(f->keys, &ret->key_id), "mcpbox status", packed->data, packed->len,
		    signature);
	ret->status = pb_bytes(packed->data, packed->len);
	ret->signature = pb_bytes(signature, CRYPTO_SIGN_SIZE);
}

static int answer_status(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	PB(SignedStatus) reply = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(65536);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(rq->service, &reply, &packed, signature);
	bus_answer(rq, &reply.base);
	buf_done(&packed);
	return 0;
}

static void publish_status(struct fake *f)
{
	PB(SignedStatus) news = MCPBOX__V1__SIGNED_STATUS__INIT;
	struct buf packed = BUF_INIT(65536);
	uint8_t signature[CRYPTO_SIGN_SIZE];

	sign_status(f, &news, &packed, signature);
	bus_publish(f->bus, NEWS_STATUS, &news.base);
	buf_done(&packed);
}

static void *publish_always(void *arg)
{
	for (;;) {
		publish_status(arg);
		clock_sleep_ms(500);
	}
	return NULL;
}

/* ---- questions ---- */

static int answer_ship(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	const PB(ShipRecordsRequest) *in = (const PB(ShipRecordsRequest) *)rq->in;
	PB(ShipRecordsReply) reply = MCPBOX__V1__SHIP_RECORDS_REPLY__INIT;

	for (size_t i = 0; i < in->n_records; i++) {
		struct buf line = BUF_INIT(1024u * 1024);

		buf_add_str(&line, "{\"record\":");
		msg_to_json(&in->records[i]->base, 0, &line);
		buf_add_char(&line, '}');
		say(buf_str(&line));
		reply.committed_no = in->records[i]->no;
		buf_done(&line);
	}
	bus_answer(rq, &reply.base);
	return 0;
}

static int answer_empty(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	static const PB(Empty) reply = MCPBOX__V1__EMPTY__INIT;

	bus_answer(rq, &reply.base);
	return 0;
}

static const struct bus_route routes[] = {
	{ MSG_RENEW_LEASE, FROM(ROLE_EGRESS), 0, answer_status },
	{ MSG_GET_STATUS, FROM(ROLE_EGRESS), 0, answer_status },
	{ MSG_SHIP_RECORDS, FROM(ROLE_EGRESS), 0, answer_ship },
	{ MSG_REPORT_EVENT, FROM(ROLE_EGRESS), 0, answer_empty },
	{ MSG_LEAVE, FROM(ROLE_EGRESS), 0, answer_empty },
};

/* ---- commands ---- */

static uint8_t *pack_json(const ProtobufCMessageDescriptor *type, const json_t *tree,
			  size_t *ret_len, const uint8_t grant_hash[CRYPTO_HASH_SIZE])
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	size_t len;
	BOX_CLEANUP(mem_freep) char *text = json_dump(tree, &len);
	struct err err = { 0 };
	uint8_t *packed;

	if (json_to_msg(type, text, len, NULL, &m, &err) < 0) {
		(void)fprintf(stderr, "egress_registry: %s\n", err.text);
		_exit(1);
	}
	if (grant_hash && ((PB(Permit) *)m)->grant_hash.len == 0) {
		PB(Permit) copy = *(PB(Permit) *)m;

		copy.grant_hash = pb_bytes(grant_hash, CRYPTO_HASH_SIZE);
		return msg_pack(&copy.base, ret_len);
	}
	packed = msg_pack(m, ret_len);
	return packed;
}

static void sign_permit(struct fake *f, const json_t *command)
{
	PB(SignedPermit) s = MCPBOX__V1__SIGNED_PERMIT__INIT;
	uint8_t signature[CRYPTO_SIGN_SIZE];
	uint8_t hash[CRYPTO_HASH_SIZE];
	size_t len;
	BOX_CLEANUP(mem_freep)
	uint8_t *grant = pack_json(&mcpbox__v1__grant__descriptor,
				   json_object_get(command, "grant"), &len, NULL);
	BOX_CLEANUP(mem_freep) char *grant_text = format_base64(grant, len);
	BOX_CLEANUP(mem_freep) uint8_t *permit = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *packed = NULL;
	BOX_CLEANUP(mem_freep) char *permit_text = NULL;
	BOX_CLEANUP(mem_freep) char *line = NULL;

	crypto_hash(grant, len, hash);
	permit = pack_json(&mcpbox__v1__permit__descriptor, json_object_get(command, "permit"),
			   &len, hash);
	crypto_sign(keys_sign(f->keys, &s.key_id), "mcpbox permit", permit, len, signature);
	s.permit = pb_bytes(permit, len);
	s.signature = pb_bytes(signature, sizeof(signature));
	packed = msg_pack(&s.base, &len);
	permit_text = format_base64(packed, len);
	line = mem_printf("{\"permit\":\"%s\",\"grant\":\"%s\"}", permit_text, grant_text);
	say(line);
}

static void revoke_permit(struct fake *f, const char *id)
{
	BOX_CLEANUP(mem_freep) char *line = mem_printf("{\"revoked\":\"%s\"}", id);

	(void)pthread_mutex_lock(&f->lock);
	if (f->revoked_count < REVOKED_MAX)
		f->revoked[f->revoked_count++] = mem_strdup(id);
	f->state_seq++;
	(void)pthread_mutex_unlock(&f->lock);
	publish_status(f);
	say(line);
}

static void obey(struct fake *f, const char *text)
{
	BOX_CLEANUP(json_decrefp) json_t *command = NULL;
	const char *id;

	if (json_load(text, strlen(text), &command, NULL) < 0)
		return;
	id = json_string_value(json_object_get(command, "revoke"));
	if (id)
		revoke_permit(f, id);
	else
		sign_permit(f, command);
}

/* ---- start ---- */

static int write_keys(const struct secret *root, const char *directory, enum bus_role role,
		      struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s.key", directory, role_name(role));
	BOX_CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return keys_write_role(root, role, 1, fd, err);
}

static int make_keys(struct fake *f, const char *directory, struct err *err)
{
	BOX_CLEANUP(secret_freep) struct secret *root = secret_new(NULL, CRYPTO_KEY_SIZE);
	int r;

	crypto_random(root->data, root->len);
	r = write_keys(root, directory, ROLE_EGRESS, err);
	if (r == 0)
		r = write_keys(root, directory, ROLE_EXECUTOR, err);
	return r == 0 ? keys_from_root(root, 1, &f->keys, err) : r;
}

static int serve(struct fake *f, enum bus_port port, bool is_control, char ret_addr[64],
		 struct err *err)
{
	char url[BUS_ADDR_SIZE];
	const struct bus_server server = { .listen = url,
					   .is_control = is_control,
					   .capacity = 4,
					   .routes = routes,
					   .route_count = ARRAY_LEN(routes),
					   .service = f };

	bus_registry_url(f->bus, 0, port, url);
	return bus_serve_start(f->bus, &server, ret_addr, 64, err);
}

static int start(struct fake *f, const char *directory, const char *address, struct err *err)
{
	struct bus_config config = { .instance = "registry-fake",
				     .registry_addrs = address,
				     .slots = 4 };
	char news[BUS_ADDR_SIZE];
	int r = make_keys(f, directory, err);

	if (r < 0)
		return r;
	config.keys = f->keys;
	r = bus_new(&config, &f->bus, err);
	if (r < 0)
		return r;
	bus_registry_url(f->bus, 0, BUS_PORT_NEWS, news);
	r = bus_publish_start(f->bus, news, err);
	if (r == 0)
		r = serve(f, BUS_PORT_WORK, false, f->work_addr, err);
	return r == 0 ? serve(f, BUS_PORT_CONTROL, true, f->control_addr, err) : r;
}

int main(int argc, char **argv)
{
	static struct fake fake = { .state_seq = 1, .lock = PTHREAD_MUTEX_INITIALIZER };
	static char line[65536];
	pthread_t publisher;
	struct err err = { 0 };

	if (argc != 3 || crypto_start() < 0)
		return 2;
	json_start();
	if (start(&fake, argv[1], argv[2], &err) < 0) {
		(void)fprintf(stderr, "egress_registry: %s\n", err.text);
		return 1;
	}
	(void)pthread_create(&publisher, NULL, publish_always, &fake);
	say("READY");
	while (fgets(line, sizeof(line), stdin))
		obey(&fake, line);
	_exit(0);
}
