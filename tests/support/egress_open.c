/*
 * Opens a stream of the egress-proxy as an executor does, on a socket that is already connected.
 *
 *	egress_open KEY_FILE FD
 *
 * stdin: {"call_id","permit":BASE64,"grant":BASE64,"deadline_ms","tool_name","mode":1|2}
 * stdout: {"code":0,"text":"","tries":N}; the descriptor can then be spoken to by whoever shares
 *it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bus.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"
#include "parse.h"

static uint8_t *bytes_of(const json_t *root, const char *key, size_t *ret_len)
{
	const char *text = json_string_value(json_object_get(root, key));
	uint8_t *data = NULL;

	*ret_len = 0;
	if (text && parse_base64(text, strlen(text), &data, ret_len) < 0)
		_exit(2);
	return data;
}

static bool transfer(int fd, void *data, size_t len, bool is_write)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = is_write ? write(fd, (uint8_t *)data + done, len - done)
				     : read(fd, (uint8_t *)data + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* One frame out, one back; false when the peer closes. */
static bool ask(int fd, const struct buf *frame, struct buf *ret_reply)
{
	uint32_t len = (uint32_t)frame->len;

	if (!transfer(fd, &len, sizeof(len), true) ||
	    !transfer(fd, frame->data, frame->len, true) || !transfer(fd, &len, sizeof(len), false))
		return false;
	buf_clear(ret_reply);
	ret_reply->len = len;
	return buf_grow(ret_reply, 0) && transfer(fd, ret_reply->data, len, false);
}

static int open_stream(struct bus *b, int fd, const PB(OpenRequest) * open, unsigned *ret_tries,
		       struct err *err)
{
	struct bus_target to = { .role = ROLE_EGRESS };
	const struct bus_call_opts opts = { .timeout_ms = 5000 };
	int r = -ERR_STALE_PEER;

	for (*ret_tries = 0; r == -ERR_STALE_PEER && *ret_tries < 3; (*ret_tries)++) {
		BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
		struct buf frame = BUF_INIT(65536);
		struct buf answer = BUF_INIT(65536);
		struct bus_question q;

		r = bus_question_seal(b, &to, MSG_OPEN, &open->base, &opts, &q, &frame, err);
		(void)buf_grow(&answer, 65000);
		if (r == 0 && !ask(fd, &frame, &answer))
			r = err_set(err, ERR_UNKNOWN_OUTCOME, "closed without an answer");
		else if (r == 0)
			r = bus_question_open(b, &q, answer.data, answer.len, &reply, err);
		memcpy(to.boot_id, q.to.boot_id, BOOT_ID_SIZE);
		buf_done(&frame);
		buf_done(&answer);
	}
	return r;
}

static struct bus *start_bus(const char *key_file, struct err *err)
{
	struct bus_config config = { .instance = "executor-test",
				     .registry_addrs = "127.0.0.1:1",
				     .slots = 4 };
	struct keys *keys = NULL;
	struct bus *bus = NULL;

	if (keys_load(key_file, &keys, err) == 0) {
		config.keys = keys;
		if (bus_new(&config, &bus, err) == 0)
			return bus;
	}
	(void)fprintf(stderr, "egress_open: %s\n", err->text);
	_exit(2);
}

int main(int argc, char **argv)
{
	static char text[1024u * 1024];
	size_t text_len = fread(text, 1, sizeof(text), stdin);
	BOX_CLEANUP(json_decrefp) json_t *root = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *permit = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *permit_bytes = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *grant_bytes = NULL;
	PB(OpenRequest) open = MCPBOX__V1__OPEN_REQUEST__INIT;
	struct err err = { 0 };
	unsigned tries = 0;
	uint64_t fd;
	size_t len;
	int r;

	if (argc != 3 || crypto_start() < 0 || parse_u64(argv[2], 0, 1024, &fd) < 0 ||
	    json_load(text, text_len, &root, &err) < 0)
		return 2;
	permit_bytes = bytes_of(root, "permit", &len);
	if (msg_unpack(&mcpbox__v1__signed_permit__descriptor, permit_bytes, len, &permit) < 0)
		return 2;
	grant_bytes = bytes_of(root, "grant", &len);
	open.grant = pb_bytes(grant_bytes, len);
	open.permit = (PB(SignedPermit) *)permit;
	open.call_id = (char *)(uintptr_t)json_string_value(json_object_get(root, "call_id"));
	open.tool_name = (char *)(uintptr_t)json_string_value(json_object_get(root, "tool_name"));
	open.mode = (PB(OpenRequest__Mode))json_integer_value(json_object_get(root, "mode"));
	open.deadline_ms = (uint32_t)json_integer_value(json_object_get(root, "deadline_ms"));
	r = open_stream(start_bus(argv[1], &err), (int)fd, &open, &tries, &err);
	(void)printf("{\"code\":%d,\"text\":\"%s\",\"tries\":%u}\n", -r, r ? err.text : "", tries);
	(void)fflush(stdout);
	_exit(0);
}
