#include "wire_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int wire_send(int socket, const struct wire_message *m, const int *fds, size_t fd_count)
{
	uint8_t packet[WIRE_PACKET_MAX];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
	struct iovec iov = { .iov_base = packet, .iov_len = wire_pack(m, packet) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd_count > WIRE_FDS_MAX || iov.iov_len == 0)
		return -EINVAL;
	if (fd_count > 0) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	do
		n = sendmsg(socket, &h, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *h, int *ret_fds, size_t *ret_count)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret_fds + *ret_count, CMSG_DATA(c), n * sizeof(int));
		*ret_count += n;
	}
}

int wire_receive(int socket, struct wire_message *ret, int *ret_fds, size_t *ret_count)
{
	uint8_t packet[WIRE_PACKET_MAX];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
	struct iovec iov = { .iov_base = packet, .iov_len = sizeof(packet) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;

	*ret_count = 0;
	do
		n = recvmsg(socket, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	take_fds(&h, ret_fds, ret_count);
	if (n == 0)
		return -EPIPE;
	if ((h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || wire_unpack(packet, (size_t)n, ret) < 0) {
		for (size_t i = 0; i < *ret_count; i++)
			close(ret_fds[i]);
		*ret_count = 0;
		return -EPROTO;
	}
	return 0;
}
