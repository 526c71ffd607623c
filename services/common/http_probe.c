#include "http_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "crypto.h"
#include "log.h"
#include "parse.h"

#define ANSWER_SECONDS 2

enum probe_state { PROBE_OFF, PROBE_RUNNING };

/* The listen address as one can connect to it. */
static void probe_address(const struct http_server *s, struct sockaddr_in *ret)
{
	char host[INET_ADDRSTRLEN] = "";
	const char *colon = strrchr(s->config.listen, ':');

	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(s->port) };
	if (colon && (size_t)(colon - s->config.listen) < sizeof(host))
		memcpy(host, s->config.listen, (size_t)(colon - s->config.listen));
	if (inet_pton(AF_INET, host, &ret->sin_addr) != 1 || ret->sin_addr.s_addr == INADDR_ANY)
		ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static int probe_connect(const struct http_server *s)
{
	const struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_in address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	probe_address(s, &address);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
			connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0))
		fd_closep(&fd);
	return fd;
}

/* The verdict on a head with `extra` headers: '1' whole, '0' not, 0 when there was no answer. */
static char probe_ask(const struct http_server *s, unsigned extra)
{
	struct buf head BOX_CLEANUP(buf_done) = BUF_INIT(8192);
	BOX_CLEANUP(fd_closep) int fd = probe_connect(s);
	char verdict = 0;

	buf_printf(&head, "GET %s HTTP/1.1\r\nHost: probe\r\n", s->probe_path);
	for (unsigned i = 0; i < extra; i++)
		buf_printf(&head, "X-%u: 1\r\n", i);
	buf_add_str(&head, "\r\n");
	if (fd < 0 || send(fd, head.data, head.len, MSG_NOSIGNAL) != (ssize_t)head.len ||
	    recv(fd, &verdict, 1, 0) != 1)
		return 0;
	return verdict;
}

bool http_probe(struct http_server *s)
{
	uint8_t token[16];
	char whole, cut;

	crypto_random(token, sizeof(token));
	s->probe_path[0] = '/';
	format_hex(token, sizeof(token), s->probe_path + 1);
	atomic_store(&s->probe, PROBE_RUNNING);
	whole = probe_ask(s, 1);
	cut = probe_ask(s, HTTP_PAIRS_MAX + 2);
	atomic_store(&s->probe, PROBE_OFF);
	log_debug("http.parser_probed", F_UINT("whole", whole), F_UINT("cut", cut));
	return whole == '1' && cut == '0';
}

bool http_probe_answer(struct http_server *s, struct http_request *rq, const char *uri)
{
	if (atomic_load(&s->probe) != PROBE_RUNNING || strcmp(uri, s->probe_path) != 0)
		return false;
	rq->must_close = true;
	(void)http_write(rq, http_head_is_whole(rq->headers, rq->header_count) ? "1" : "0", 1);
	return true;
}
