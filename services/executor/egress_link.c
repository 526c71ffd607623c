#include "egress_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "cleanup.h"
#include "log.h"

#define OPEN_MAX_MS   5000u
#define FRAME_MAX_LEN (512u * 1024) /* a grant, with the secrets sealed in it */

static int away(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE,
		       "the egress-proxy does not answer: tools have no network at the moment");
}

static int connect_socket(const char *path, uint32_t timeout_ms)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = timeout_ms / 1000,
				 .tv_usec = (timeout_ms % 1000) * 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

static int send_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return -EPIPE;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, uint8_t *ret, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, ret, len, 0);

		if (n <= 0)
			return -EPIPE;
		ret += n;
		len -= (size_t)n;
	}
	return 0;
}

/* u32 little-endian length and the frame, both ways (proto/egress.proto). */
static int exchange(int fd, const struct buf *question, struct buf *ret_answer)
{
	uint8_t head[4] = { (uint8_t)question->len, (uint8_t)(question->len >> 8),
			    (uint8_t)(question->len >> 16), (uint8_t)(question->len >> 24) };
	uint8_t *room;
	uint32_t len;

	if (send_all(fd, head, sizeof(head)) < 0 ||
	    send_all(fd, question->data, question->len) < 0 ||
	    receive_all(fd, head, sizeof(head)) < 0)
		return -EPIPE;
	len = (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
	      (uint32_t)head[3] << 24;
	room = buf_grow(ret_answer, len);
	if (!room || receive_all(fd, room, len) < 0)
		return -EPIPE;
	ret_answer->len += len;
	return 0;
}

/* The boot id of the proxy on that socket, if Status knows it already; else zeros, and the proxy
 * says. */
static void find_proxy(const struct egress_link *link, struct bus_target *ret)
{
	PB(Status) *status = bus_status(link->bus);

	*ret = (struct bus_target){ .role = ROLE_EGRESS };
	for (size_t i = 0; status && i < status->n_instances; i++) {
		const PB(Instance) *it = status->instances[i];

		if (it->role == MCPBOX__V1__ROLE__ROLE_EGRESS &&
		    strcmp(it->control_addr, link->socket_path) == 0 &&
		    it->boot_id.len == BOOT_ID_SIZE)
			memcpy(ret->boot_id, it->boot_id.data, BOOT_ID_SIZE);
	}
	if (status)
		msg_free(&status->base);
}

/* Asks over a connected socket.  On -ERR_STALE_PEER `to` holds the right boot id. */
static int ask(const struct egress_link *link, int fd, struct bus_target *to,
	       const PB(OpenRequest) * request, uint32_t timeout_ms, struct err *err)
{
	BOX_CLEANUP(buf_done) struct buf question = BUF_INIT(FRAME_MAX_LEN);
	BOX_CLEANUP(buf_done) struct buf answer = BUF_INIT(FRAME_MAX_LEN);
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct bus_call_opts opts = { .timeout_ms = timeout_ms };
	struct bus_question q;
	int r = bus_question_seal(link->bus, to, MSG_OPEN, &request->base, &opts, &q, &question,
				  err);

	if (r < 0)
		return r;
	if (exchange(fd, &question, &answer) < 0)
		return away(err);
	r = bus_question_open(link->bus, &q, answer.data, answer.len, &reply, err);
	*to = q.to;
	return r;
}

/* One connection, one Open. */
static int open_once(const struct egress_link *link, struct bus_target *to,
		     const PB(OpenRequest) * request, uint32_t timeout_ms, struct err *err)
{
	int fd = connect_socket(link->socket_path, timeout_ms);
	int r = fd < 0 ? away(err) : ask(link, fd, to, request, timeout_ms, err);

	if (r < 0)
		fd_closep(&fd);
	return r < 0 ? r : fd;
}

/* The timeouts were for the opening; the sandbox waits as long as its call may. */
static int release(int fd)
{
	struct timeval none = { 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return fd;
}

int egress_link_open(const struct egress_link *link, const struct call_egress *who,
		     uint32_t remaining_ms, struct err *err)
{
	PB(OpenRequest) request = MCPBOX__V1__OPEN_REQUEST__INIT;
	uint32_t timeout_ms = remaining_ms < OPEN_MAX_MS ? remaining_ms : OPEN_MAX_MS;
	struct bus_target to;
	int r;

	if (!link->socket_path)
		return err_set(err, ERR_UNAVAILABLE,
			       "this executor has no egress-proxy: tools have no network");
	request.call_id = (char *)(uintptr_t)who->call_id;
	request.tool_name = (char *)(uintptr_t)who->tool_name;
	request.permit = (PB(SignedPermit) *)(uintptr_t)who->permit;
	request.grant = pb_bytes(who->grant.data, who->grant.len);
	request.mode = MCPBOX__V1__OPEN_REQUEST__MODE__MODE_FORWARD;
	request.deadline_ms = remaining_ms;
	find_proxy(link, &to);
	r = open_once(link, &to, &request, timeout_ms ? timeout_ms : 1, err);
	if (r == -ERR_STALE_PEER)
		r = open_once(link, &to, &request, timeout_ms ? timeout_ms : 1, err);
	if (r < 0)
		log_warn("egress.open_failed", F_STR("call", who->call_id), F_ERR(err));
	return r < 0 ? r : release(r);
}
