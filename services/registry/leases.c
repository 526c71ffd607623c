#include "leases.h"

#include <pthread.h>
#include <string.h>
#include "err.h"
#include "frame.h"
#include "mem.h"

struct lease {
	PB(Instance) * instance;
	uint64_t renewed_ms;
};

struct leases {
	pthread_mutex_t lock; /* guards all below */
	uint64_t started_ms;
	size_t count;
	struct lease rows[LEASES_MAX];
};

struct leases *leases_new(uint64_t now_mono_ms)
{
	struct leases *l = mem_alloc(sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	l->started_ms = now_mono_ms;
	return l;
}

void leases_free(struct leases *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->count; i++)
		msg_free((ProtobufCMessage *)l->rows[i].instance);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static PB(Instance) * copy(const PB(Instance) * instance)
{
	size_t len;
	BOX_CLEANUP(mem_freep) uint8_t *packed = msg_pack(&instance->base, &len);
	ProtobufCMessage *m = NULL;

	if (msg_unpack(&mcpbox__v1__instance__descriptor, packed, len, &m) < 0)
		box_bug("an instance does not survive packing");
	return (PB(Instance) *)m;
}

static struct lease *find(struct leases *l, const uint8_t *boot_id)
{
	for (size_t i = 0; i < l->count; i++)
		if (memcmp(l->rows[i].instance->boot_id.data, boot_id, BOOT_ID_SIZE) == 0)
			return &l->rows[i];
	return NULL;
}

static PB(Instance) * take_out(struct leases *l, struct lease *row)
{
	PB(Instance) *instance = row->instance;

	l->count--;
	memmove(row, row + 1, (size_t)(&l->rows[l->count] - row) * sizeof(*row));
	return instance;
}

/* Does anything that others steer by differ?  Load alone travels with the next tick. */
static bool is_changed(const PB(Instance) * a, const PB(Instance) * b)
{
	return a->draining != b->draining || a->capacity != b->capacity || a->stale != b->stale ||
	       strcmp(a->work_addr, b->work_addr) != 0 ||
	       strcmp(a->control_addr, b->control_addr) != 0;
}

static enum lease_news renew(struct leases *l, PB(Instance) * fresh, uint64_t now_mono_ms,
			     int64_t now_unix_ms)
{
	struct lease *row = find(l, fresh->boot_id.data);
	enum lease_news news;

	if (!row && l->count == LEASES_MAX) {
		msg_free(&fresh->base);
		return LEASE_FULL;
	}
	if (row) {
		news = is_changed(row->instance, fresh) ? LEASE_CHANGED : LEASE_KNOWN;
		fresh->since_unix_ms = row->instance->since_unix_ms;
		msg_free(&row->instance->base);
	} else {
		news = LEASE_JOINED;
		fresh->since_unix_ms = now_unix_ms;
		row = &l->rows[l->count++];
	}
	*row = (struct lease){ fresh, now_mono_ms };
	return news;
}

enum lease_news lease_renew(struct leases *l, const PB(Instance) * instance, uint64_t now_mono_ms,
			    int64_t now_unix_ms)
{
	PB(Instance) *fresh = copy(instance);
	enum lease_news news;

	pthread_mutex_lock(&l->lock);
	news = renew(l, fresh, now_mono_ms, now_unix_ms);
	pthread_mutex_unlock(&l->lock);
	return news;
}

PB(Instance) * lease_leave(struct leases *l, const uint8_t *boot_id)
{
	PB(Instance) *gone = NULL;
	struct lease *row;

	pthread_mutex_lock(&l->lock);
	row = find(l, boot_id);
	if (row)
		gone = take_out(l, row);
	pthread_mutex_unlock(&l->lock);
	return gone;
}

PB(Instance) * lease_expire(struct leases *l, uint64_t now_mono_ms)
{
	PB(Instance) *gone = NULL;

	pthread_mutex_lock(&l->lock);
	if (now_mono_ms - l->started_ms >= LEASE_GRACE_MS)
		for (size_t i = 0; !gone && i < l->count; i++)
			if (now_mono_ms - l->rows[i].renewed_ms >= LEASE_LOST_MS)
				gone = take_out(l, &l->rows[i]);
	pthread_mutex_unlock(&l->lock);
	return gone;
}

static ProtobufCBinaryData bytes_into(struct arena *arena, ProtobufCBinaryData b)
{
	return (ProtobufCBinaryData){ .len = b.len, .data = arena_dup(arena, b.data, b.len) };
}

static PB(Instance) * copy_into(struct arena *arena, const PB(Instance) * from)
{
	PB(Instance) *to = arena_dup(arena, from, sizeof(*from));

	to->instance = arena_str(arena, from->instance);
	to->boot_id = bytes_into(arena, from->boot_id);
	to->control_addr = arena_str(arena, from->control_addr);
	to->work_addr = arena_str(arena, from->work_addr);
	to->layers_json = bytes_into(arena, from->layers_json);
	to->missing_json = bytes_into(arena, from->missing_json);
	to->version = arena_str(arena, from->version);
	to->host_id = arena_str(arena, from->host_id);
	return to;
}

PB(Instance) * *lease_list(struct leases *l, struct arena *arena, size_t *ret_count)
{
	PB(Instance) * *list;

	pthread_mutex_lock(&l->lock);
	list = arena_pointers(arena, l->count);
	for (size_t i = 0; i < l->count; i++)
		list[i] = copy_into(arena, l->rows[i].instance);
	*ret_count = l->count;
	pthread_mutex_unlock(&l->lock);
	return list;
}
