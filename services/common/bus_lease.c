/* Announcing this instance: RenewLease every 2 s; the answer is the newest Status. */
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus_internal.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define RENEW_EVERY_MS   2000
#define RENEW_TIMEOUT_MS 1500
#define RETRY_MS         500 /* while the registry is away */

struct lease {
	struct bus *bus;
	void (*fill)(void *arg, PB(Instance) * instance);
	void *arg;
	int64_t since_unix_ms;
	char host_id[64];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_stopping; /* guarded by lock */
	pthread_t thread;
};

/* Containers on one host share the kernel's boot id, and two hosts never do. */
static void host_id_read(char *ret, size_t size)
{
	BOX_CLEANUP(fd_closep)
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* The own address on the way to the registry: what its host would call this one. */
static int own_host(const struct bus *b, char *ret, size_t size)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found = NULL;
	BOX_CLEANUP(fd_closep) int fd = -1;
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);
	char url[BUS_ADDR_SIZE];
	char *host, *port;
	int r = -1;

	bus_registry_url(b, atomic_load(&b->place), BUS_PORT_WORK, url);
	host = strstr(url, "://") + 3;
	port = strrchr(host, ':');
	*port++ = '\0';
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -ERR_UNAVAILABLE;
	fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* Connecting a datagram socket sends nothing; it only chooses the route. */
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
	    getsockname(fd, (struct sockaddr *)&own, &len) == 0)
		r = getnameinfo((struct sockaddr *)&own, len, ret, (socklen_t)size, NULL, 0,
				NI_NUMERICHOST);
	freeaddrinfo(found);
	return r == 0 ? 0 : -ERR_UNAVAILABLE;
}

/* A listener on all addresses (containers) is announced by one that others can dial. */
static void make_diallable(const struct bus *b, char addr[BUS_ADDR_SIZE])
{
	static const char any[] = "://0.0.0.0:";
	BOX_CLEANUP(mem_freep) char *made = NULL;
	const char *at = strstr(addr, any);
	char host[64];

	if (!at || own_host(b, host, sizeof(host)) < 0)
		return;
	made = mem_printf("%.*s://%s:%s", (int)(at - addr), addr, host, at + strlen(any));
	if (strlen(made) < BUS_ADDR_SIZE)
		memcpy(addr, made, strlen(made) + 1);
}

static int lease_renew(struct lease *l, struct err *err)
{
	struct bus *b = l->bus;
	struct bus_call_opts opts = { .timeout_ms = RENEW_TIMEOUT_MS, .repeatable = true };
	PB(RenewLeaseRequest) request = MCPBOX__V1__RENEW_LEASE_REQUEST__INIT;
	PB(Instance) instance = MCPBOX__V1__INSTANCE__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	char control[BUS_ADDR_SIZE], work[BUS_ADDR_SIZE];
	int r;

	servers_addrs(b, control, work);
	make_diallable(b, control);
	make_diallable(b, work);
	instance.role = (PB(Role))b->self;
	instance.instance = b->instance;
	instance.boot_id = pb_bytes(b->boot_id, BOOT_ID_SIZE);
	instance.control_addr = control;
	instance.work_addr = work;
	instance.version = (char *)BOX_VERSION;
	instance.since_unix_ms = l->since_unix_ms;
	instance.host_id = l->host_id;
	if (l->fill)
		l->fill(l->arg, &instance);
	request.instance = &instance;
	r = bus_ask_registry(b, MSG_RENEW_LEASE, &request.base, &opts, &reply, err);
	if (r < 0)
		return r;
	r = news_take_reply(b, (const PB(SignedStatus) *)reply);
	return r < 0 ? err_set(err, ERR_DENIED, "the registry's status is not signed by it") : 0;
}

static void *lease_run(void *arg)
{
	struct lease *l = arg;
	struct err err = { 0 };
	bool is_lost = false;

	(void)pthread_mutex_lock(&l->lock);
	while (!l->is_stopping) {
		int r;

		(void)pthread_mutex_unlock(&l->lock);
		r = lease_renew(l, &err);
		if (r < 0 && !is_lost)
			log_warn("bus.lease_not_renewed", F_ERR(&err));
		else if (r == 0 && is_lost)
			log_info("bus.lease_renewed_again");
		is_lost = r < 0;
		(void)pthread_mutex_lock(&l->lock);
		if (!l->is_stopping)
			bus_sync_wait(&l->lock, &l->changed, r < 0 ? RETRY_MS : RENEW_EVERY_MS);
	}
	(void)pthread_mutex_unlock(&l->lock);
	return NULL;
}

int bus_lease_start(struct bus *b, void (*fill)(void *arg, PB(Instance) * instance), void *arg,
		    struct err *err)
{
	struct lease *l;

	if (b->lease)
		return err_set(err, ERR_STATE, "this instance is announced already");
	l = mem_alloc(sizeof(*l));
	l->bus = b;
	l->fill = fill;
	l->arg = arg;
	l->since_unix_ms = clock_unix_ms();
	host_id_read(l->host_id, sizeof(l->host_id));
	bus_sync_init(&l->lock, &l->changed);
	b->lease = l;
	l->thread = bus_thread("bus-lease", lease_run, l);
	return 0;
}

void lease_stop(struct bus *b)
{
	struct lease *l = b->lease;

	(void)pthread_mutex_lock(&l->lock);
	l->is_stopping = true;
	(void)pthread_cond_broadcast(&l->changed);
	(void)pthread_mutex_unlock(&l->lock);
	(void)pthread_join(l->thread, NULL);
}
