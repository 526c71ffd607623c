#include "dns.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "cleanup.h"
#include "crypto.h"
#include "target.h"

#define LOOKUP_MS      1900
#define TRY_MS         600
#define DEFAULT_PORT   53
#define TCP_ANSWER_MAX 16384

int dns_parse_server(const char *text, struct dns_server *ret, struct err *err)
{
	struct dns_server s = { .port = DEFAULT_PORT };
	struct target t;
	struct host h;

	if (!text) {
		*ret = (struct dns_server){ 0 };
		return 0;
	}
	if (target_parse_authority(text, strlen(text), &t, NULL) == 0) {
		h = t.host;
		s.port = t.port;
	} else if (host_parse(text, strlen(text), &h, NULL) < 0) {
		return err_set(err, ERR_INVALID, "MCPBOX_EGRESS_DNS: '%s' is not address[:port]",
			       text);
	}
	if (h.kind == HOST_IS_NAME)
		return err_set(err, ERR_INVALID, "MCPBOX_EGRESS_DNS: '%s' is not address[:port]",
			       text);
	s.address = h.address;
	*ret = s;
	return 0;
}

/* ---- one socket ---- */

static int connect_to(const struct dns_server *server, int type)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(server->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(server->port) };
	bool is_v6 = server->address.len == 16;
	int fd = socket(is_v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -1;
	memcpy(is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr, server->address.bytes,
	       server->address.len);
	r = is_v6 ? connect(fd, (const struct sockaddr *)(const void *)&v6, sizeof(v6))
		  : connect(fd, (const struct sockaddr *)(const void *)&v4, sizeof(v4));
	if (r == 0 || errno == EINPROGRESS)
		return fd;
	(void)close(fd);
	return -1;
}

/* False when the time is over first. */
static bool wait_for(int fd, short events, uint64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = clock_mono_ms();

	return now < until_ms && poll(&p, 1, (int)(until_ms - now)) == 1;
}

/* ---- UDP ---- */

/* Waits for the answer to q; strays and forgeries are passed over until the time is over. */
static enum dns_verdict receive_udp(int fd, const struct dns_question *q, uint64_t until_ms,
				    struct dns_answer *answer)
{
	uint8_t data[DNS_UDP_MAX];

	while (wait_for(fd, POLLIN, until_ms)) {
		ssize_t n = recv(fd, data, sizeof(data), 0);
		enum dns_verdict v;

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return DNS_FAILED;
		if (n < 0)
			continue;
		v = dns_read_answer(q, data, (size_t)n, answer);
		if (v != DNS_NOT_OURS)
			return v;
	}
	return DNS_FAILED;
}

/* A new socket for each try: another source port to guess. */
static enum dns_verdict ask_udp(const struct dns_server *server, const struct dns_question *q,
				const struct buf *packed, uint64_t until_ms,
				struct dns_answer *answer)
{
	BOX_CLEANUP(fd_closep) int fd = connect_to(server, SOCK_DGRAM);

	if (fd < 0 || send(fd, packed->data, packed->len, 0) != (ssize_t)packed->len)
		return DNS_FAILED;
	return receive_udp(fd, q, until_ms, answer);
}

/* ---- TCP ---- */

static bool receive_all(int fd, uint8_t *ret, size_t len, uint64_t until_ms)
{
	for (size_t done = 0; done < len;) {
		ssize_t n;

		if (!wait_for(fd, POLLIN, until_ms))
			return false;
		n = recv(fd, ret + done, len - done, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n > 0)
			done += (size_t)n;
	}
	return true;
}

static enum dns_verdict ask_tcp(const struct dns_server *server, const struct dns_question *q,
				const struct buf *packed, uint64_t until_ms,
				struct dns_answer *answer)
{
	BOX_CLEANUP(fd_closep) int fd = connect_to(server, SOCK_STREAM);
	uint8_t out[2 + 512];
	uint8_t data[TCP_ANSWER_MAX];
	size_t len = packed->len;

	if (fd < 0 || len > 512 || !wait_for(fd, POLLOUT, until_ms))
		return DNS_FAILED;
	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	memcpy(out + 2, packed->data, len);
	if (send(fd, out, len + 2, MSG_NOSIGNAL) != (ssize_t)len + 2 ||
	    !receive_all(fd, data, 2, until_ms))
		return DNS_FAILED;
	len = (size_t)data[0] << 8 | data[1];
	if (len > sizeof(data) || !receive_all(fd, data, len, until_ms))
		return DNS_FAILED;
	return dns_read_answer(q, data, len, answer);
}

/* ---- a lookup ---- */

static enum dns_verdict ask(const struct dns_server *server, const char *name, enum dns_type type,
			    uint64_t until_ms, struct dns_answer *answer)
{
	struct dns_question q = { .type = type, .name = name };
	struct buf packed = BUF_INIT(512);
	enum dns_verdict v = DNS_FAILED;

	crypto_random(&q.id, sizeof(q.id));
	if (dns_write_question(&q, &packed) == 0) {
		v = ask_udp(server, &q, &packed, until_ms, answer);
		if (v == DNS_TRUNCATED)
			v = ask_tcp(server, &q, &packed, until_ms, answer);
	}
	buf_done(&packed);
	return v;
}

/* Until an answer or until_ms; a datagram may be lost, so each try has less. */
static enum dns_verdict ask_repeatedly(const struct dns_server *server, const char *name,
				       enum dns_type type, uint64_t until_ms,
				       struct dns_answer *answer)
{
	enum dns_verdict v = DNS_FAILED;
	uint64_t now;

	while (v != DNS_ANSWERED && v != DNS_NO_NAME && (now = clock_mono_ms()) < until_ms) {
		uint64_t try_ms = now + TRY_MS < until_ms ? now + TRY_MS : until_ms;

		v = ask(server, name, type, try_ms, answer);
		/* Refused at once: not again in the same breath. */
		if (v == DNS_FAILED && clock_mono_ms() < now + 50)
			clock_sleep_ms(50);
	}
	return v;
}

int dns_look_up(const struct dns_server *server, const char *name, struct dns_answer *answer,
		struct err *err)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA };
	uint64_t until_ms = clock_mono_ms() + LOOKUP_MS;

	answer->ttl_s = UINT32_MAX;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		enum dns_verdict v = ask_repeatedly(server, name, types[i], until_ms, answer);

		if (v == DNS_NO_NAME)
			return err_set(err, ERR_NOT_FOUND, "the name does not resolve");
		if (v != DNS_ANSWERED)
			return err_set(err, ERR_UNAVAILABLE, "the resolver does not answer");
	}
	if (answer->count == 0)
		return err_set(err, ERR_NOT_FOUND, "the name has no address");
	return 0;
}
