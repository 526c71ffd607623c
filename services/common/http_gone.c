/* Is the client still there, and whom to tell when it is not. */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "http_internal.h"
#include "parse.h"

void http_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

void gone_call_run(struct gone_call *g, pthread_mutex_t *lock, pthread_cond_t *changed)
{
	void (*fn)(void *arg) = g->fn;

	if (!fn)
		return;
	g->fn = NULL;
	g->is_running = true;
	g->runner = pthread_self();
	pthread_mutex_unlock(lock);
	fn(g->arg);
	pthread_mutex_lock(lock);
	g->is_running = false;
	pthread_cond_broadcast(changed);
}

void gone_call_clear(struct gone_call *g, pthread_mutex_t *lock, pthread_cond_t *changed)
{
	g->fn = NULL;
	while (g->is_running && !pthread_equal(g->runner, pthread_self()))
		pthread_cond_wait(changed, lock);
}

static bool address_is(const struct sockaddr_in *a, const char *ip, uint16_t port)
{
	char text[INET_ADDRSTRLEN];

	return a->sin_family == AF_INET && ntohs(a->sin_port) == port &&
	       (!ip ||
		(inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text)) && strcmp(text, ip) == 0));
}

static bool fd_is_of(int fd, const struct http_request *rq)
{
	struct sockaddr_in peer = { 0 }, own = { 0 };
	socklen_t peer_len = sizeof(peer), own_len = sizeof(own);

	return getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
	       getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
	       address_is(&peer, rq->remote, rq->remote_port) &&
	       address_is(&own, NULL, rq->server_port);
}

/* civetweb does not give its descriptor away, so it is looked up by its two ends.  It is only
 * polled and shut down: the connection's thread holds it open as long as the request lives. */
static int find_fd(const struct http_request *rq)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int found = -2;

	if (!dir)
		return found;
	while (found < 0 && (entry = readdir(dir))) {
		uint64_t fd;

		if (parse_u64(entry->d_name, 0, INT32_MAX, &fd) == 0 && fd_is_of((int)fd, rq))
			found = (int)fd;
	}
	closedir(dir);
	return found;
}

int http_socket(struct http_request *rq)
{
	int fd = atomic_load(&rq->fd);

	if (fd == -1) {
		fd = find_fd(rq);
		atomic_store(&rq->fd, fd);
	}
	return fd;
}

bool http_socket_is_gone(struct http_request *rq)
{
	struct pollfd p = { .fd = http_socket(rq), .events = POLLRDHUP };

	return p.fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}
