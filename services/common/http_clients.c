/*
 * civetweb neither lets a connection be refused nor says whose it is before its head was read.  So connections without
 * a request are only counted; when they hold more than half of the threads, a thread looks at the sockets themselves
 * and shuts what one address has too many of.
 */
#include "http_clients.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "mem.h"
#include "parse.h"

#define PAUSE_MS 20u /* between two looks, each of which reads /proc */

static uint32_t max_waiting(const struct http_server *s)
{
	return s->config.threads / 2 > 0 ? s->config.threads / 2 : 1;
}

/* ---- streams ---- */

static struct http_client **find(struct http_clients *all, const char *address)
{
	struct http_client **at = &all->first;

	while (*at && strcmp((*at)->address, address) != 0)
		at = &(*at)->next;
	return at;
}

bool http_client_take_stream(struct http_server *s, const char *address)
{
	struct http_clients *all = &s->clients;
	struct http_client **at;
	bool may;

	pthread_mutex_lock(&all->lock);
	at = find(all, address);
	if (!*at) {
		*at = mem_alloc(sizeof(**at));
		(void)snprintf((*at)->address, sizeof((*at)->address), "%s", address);
	}
	may = (*at)->streams < s->config.max_streams - s->config.max_streams / 4;
	(*at)->streams += may;
	pthread_mutex_unlock(&all->lock);
	return may;
}

void http_client_end_stream(struct http_server *s, const char *address)
{
	struct http_clients *all = &s->clients;
	struct http_client **at, *client;

	pthread_mutex_lock(&all->lock);
	at = find(all, address);
	client = *at;
	box_assert(client && client->streams > 0);
	if (--client->streams == 0) {
		*at = client->next;
		free(client);
	}
	pthread_mutex_unlock(&all->lock);
}

/* ---- connections ---- */

void http_client_waits(struct http_server *s)
{
	struct http_clients *all = &s->clients;

	if (atomic_fetch_add(&all->waiting, 1) < max_waiting(s))
		return;
	pthread_mutex_lock(&all->lock);
	all->is_due = true;
	pthread_cond_signal(&all->changed);
	pthread_mutex_unlock(&all->lock);
}

void http_client_waits_no_more(struct http_server *s)
{
	atomic_fetch_sub(&s->clients.waiting, 1);
}

/* The other end of a connection to our port; false for any other descriptor. */
static bool peer_of(const struct http_server *s, int fd, struct sockaddr_in *ret)
{
	struct sockaddr_in own = { 0 };
	socklen_t own_len = sizeof(own), len = sizeof(*ret);

	return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
	       own.sin_family == AF_INET && ntohs(own.sin_port) == s->port &&
	       getpeername(fd, (struct sockaddr *)ret, &len) == 0 && ret->sin_family == AF_INET;
}

/* The server's lock held: none begins meanwhile. */
static bool is_served(const struct http_server *s, const struct sockaddr_in *peer)
{
	char address[INET_ADDRSTRLEN];

	if (!inet_ntop(AF_INET, &peer->sin_addr, address, sizeof(address)))
		return true;
	for (const struct http_request *rq = s->served; rq; rq = rq->next_served)
		if (rq->remote_port == ntohs(peer->sin_port) && strcmp(rq->remote, address) == 0)
			return true;
	return false;
}

struct crowd {
	struct {
		in_addr_t address;
		uint32_t count;
	} rows[1024];
	uint32_t row_count;
};

/* How many waiting connections of this address were met, with this one. */
static uint32_t crowd_add(struct crowd *crowd, in_addr_t address)
{
	uint32_t i = 0;

	while (i < crowd->row_count && crowd->rows[i].address != address)
		i++;
	if (i == ARRAY_LEN(crowd->rows))
		return 0; /* so many addresses that none has too many */
	if (i == crowd->row_count) {
		crowd->rows[i].address = address;
		crowd->rows[i].count = 0;
		crowd->row_count++;
	}
	return ++crowd->rows[i].count;
}

static uint32_t thin_out(struct http_server *s, DIR *descriptors, struct crowd *crowd)
{
	const struct dirent *entry;
	uint32_t shut = 0;

	while ((entry = readdir(descriptors))) {
		struct sockaddr_in peer = { 0 };
		uint64_t fd;

		if (parse_u64(entry->d_name, 0, INT32_MAX, &fd) < 0 || !peer_of(s, (int)fd, &peer))
			continue;
		pthread_mutex_lock(&s->lock);
		if (!is_served(s, &peer) &&
		    crowd_add(crowd, peer.sin_addr.s_addr) > max_waiting(s)) {
			(void)shutdown((int)fd, SHUT_RDWR);
			shut++;
		}
		pthread_mutex_unlock(&s->lock);
	}
	return shut;
}

static void look(struct http_server *s)
{
	BOX_CLEANUP(mem_freep) struct crowd *crowd = mem_alloc(sizeof(*crowd));
	DIR *descriptors = opendir("/proc/self/fd");
	uint32_t shut = descriptors ? thin_out(s, descriptors, crowd) : 0;

	if (descriptors)
		closedir(descriptors);
	if (shut)
		log_warn("http.connections_shut", F_UINT("count", shut),
			 F_STR("reason", "one address held half of the threads without a request"));
}

static void *watch(void *arg)
{
	struct http_server *s = arg;
	struct http_clients *all = &s->clients;
	struct timespec until;

	pthread_mutex_lock(&all->lock);
	while (!all->is_over) {
		if (!all->is_due) {
			pthread_cond_wait(&all->changed, &all->lock);
			continue;
		}
		all->is_due = false;
		pthread_mutex_unlock(&all->lock);
		look(s);
		clock_abs_after(PAUSE_MS, &until);
		pthread_mutex_lock(&all->lock);
		if (!all->is_over)
			(void)pthread_cond_timedwait(&all->changed, &all->lock, &until);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

int http_clients_start(struct http_server *s, struct err *err)
{
	struct http_clients *all = &s->clients;

	pthread_mutex_init(&all->lock, NULL);
	http_cond_init(&all->changed);
	if (pthread_create(&all->thread, NULL, watch, s) != 0)
		return err_set(err, ERR_UNAVAILABLE, "no thread to watch connections with");
	all->has_thread = true;
	return 0;
}

void http_clients_stop(struct http_server *s)
{
	struct http_clients *all = &s->clients;

	if (!all->has_thread)
		return;
	pthread_mutex_lock(&all->lock);
	all->is_over = true;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	(void)pthread_join(all->thread, NULL);
	box_assert(!all->first);
	pthread_mutex_destroy(&all->lock);
	pthread_cond_destroy(&all->changed);
}
