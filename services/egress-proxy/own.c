#include "own.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include "mem.h"
#include "target.h"

#define INTERFACE_MAX 256
#define LISTENER_MAX  512
#define REFRESH_US    (10u * 1000 * 1000)

struct listener_at {
	struct address address;
	uint16_t port;
};

struct own {
	struct loop *loop;
	struct bus *bus;
	struct loop_timer timer;
	struct address interfaces[INTERFACE_MAX];
	size_t interface_count;
	struct listener_at listeners[LISTENER_MAX];
	size_t listener_count;
};

static void read_interfaces(struct own *o)
{
	struct ifaddrs *list = NULL;
	uint16_t port;

	/* When they cannot be read the ones known before stay in force. */
	if (getifaddrs(&list) != 0)
		return;
	o->interface_count = 0;
	for (const struct ifaddrs *i = list; i && o->interface_count < INTERFACE_MAX;
	     i = i->ifa_next) {
		socklen_t len = sizeof(struct sockaddr_in6);

		if (i->ifa_addr &&
		    address_from_sockaddr(i->ifa_addr, len, &o->interfaces[o->interface_count],
					  &port) == 0)
			o->interface_count++;
	}
	freeifaddrs(list);
}

/* "tcp://127.0.0.1:41234"; names are left out: a service announces what it is bound to. */
static void add_listener(struct own *o, const char *url)
{
	const char *scheme = strstr(url, "://");
	struct target t;

	if (!scheme || o->listener_count == LISTENER_MAX ||
	    target_parse_authority(scheme + 3, strlen(scheme + 3), &t, NULL) < 0 ||
	    t.host.kind == HOST_IS_NAME)
		return;
	o->listeners[o->listener_count++] = (struct listener_at){ t.host.address, t.port };
}

static void add_registry(struct own *o)
{
	static const enum bus_port ports[] = { BUS_PORT_WORK, BUS_PORT_NEWS, BUS_PORT_CONTROL };
	char url[BUS_ADDR_SIZE];

	for (size_t i = 0; o->bus && i < ARRAY_LEN(ports); i++) {
		bus_registry_url(o->bus, 0, ports[i], url);
		add_listener(o, url);
	}
}

void own_update(struct own *o, const PB(Status) * status)
{
	o->listener_count = 0;
	add_registry(o);
	for (size_t i = 0; i < status->n_instances; i++) {
		add_listener(o, status->instances[i]->control_addr);
		add_listener(o, status->instances[i]->work_addr);
	}
}

static void on_refresh(void *arg)
{
	struct own *o = arg;

	read_interfaces(o);
	loop_timer_set(o->loop, &o->timer, REFRESH_US, on_refresh, o);
}

struct own *own_new(struct loop *l, struct bus *b)
{
	struct own *o = mem_alloc(sizeof(*o));

	o->loop = l;
	o->bus = b;
	add_registry(o);
	on_refresh(o);
	return o;
}

void own_free(struct own *o)
{
	if (!o)
		return;
	loop_timer_clear(o->loop, &o->timer);
	free(o);
}

bool own_has_address(const struct own *o, const struct address *a)
{
	for (size_t i = 0; i < o->interface_count; i++)
		if (address_equal(&o->interfaces[i], a))
			return true;
	return false;
}

bool own_has_listener(const struct own *o, const struct address *a, uint16_t port)
{
	for (size_t i = 0; i < o->listener_count; i++)
		if (o->listeners[i].port == port && address_equal(&o->listeners[i].address, a))
			return true;
	return false;
}
