/*
 * The asking side's sockets.  A slot is a REQ socket, opened at start and given to one address at a time; a
 * channel is a context of a slot, used by one call at a time.  The manager thread alone creates and closes
 * dialers.
 */
#include "bus_slots.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "bus_tls.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define IDLE_RETIRE_MS   5000 /* a peer that is down and not asked for is no longer redialled */
#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 500

enum slot_state { SLOT_FREE, SLOT_WANTED, SLOT_OPEN, SLOT_RETIRING };

struct channel {
	nng_ctx ctx;
	nng_aio *aio;
	struct channel *next;
};

struct slot {
	struct slots *slots;
	nng_socket socket;
	nng_dialer dialer;
	bool has_dialer;
	enum slot_state state;
	char addr[BUS_ADDR_SIZE];
	uint32_t in_flight;
	uint32_t pipes; /* connections that stand */
	uint64_t used_ms;
	uint8_t boot_id[BOOT_ID_SIZE]; /* of the peer, learned; zero: not known */
	struct channel *idle;
};

struct slots {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a slot's state or its connection */
	struct slot *slot;      /* `count` of them; guarded by lock, but for socket */
	uint32_t count;
	bool is_stopping;
	bool was_away; /* the manager let go of the lock during its round */
	const struct bus_tls *tls;
	pthread_t manager;
};

static bool boot_is_known(const uint8_t boot_id[BOOT_ID_SIZE])
{
	static const uint8_t zero_boot[BOOT_ID_SIZE];

	return memcmp(boot_id, zero_boot, BOOT_ID_SIZE) != 0;
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* On a thread of nng: counts, and nothing else (closing or opening here deadlocks). */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct slot *slot = arg;

	(void)pipe;
	(void)pthread_mutex_lock(&slot->slots->lock);
	if (event == NNG_PIPE_EV_ADD_POST)
		slot->pipes++;
	else if (slot->pipes > 0)
		slot->pipes--;
	(void)pthread_cond_broadcast(&slot->slots->changed);
	(void)pthread_mutex_unlock(&slot->slots->lock);
}

static struct slot *slot_find(struct slots *all, const char *addr)
{
	for (uint32_t i = 0; i < all->count; i++) {
		struct slot *slot = &all->slot[i];

		if ((slot->state == SLOT_WANTED || slot->state == SLOT_OPEN) &&
		    strcmp(slot->addr, addr) == 0)
			return slot;
	}
	return NULL;
}

static struct slot *slot_assign(struct slots *all, const char *addr)
{
	for (uint32_t i = 0; i < all->count; i++) {
		struct slot *slot = &all->slot[i];

		if (slot->state != SLOT_FREE)
			continue;
		slot->state = SLOT_WANTED;
		(void)snprintf(slot->addr, sizeof(slot->addr), "%s", addr);
		memset(slot->boot_id, 0, sizeof(slot->boot_id));
		(void)pthread_cond_broadcast(&all->changed);
		return slot;
	}
	return NULL;
}

/* The longest unused slot makes room.  False when all are in use. */
static bool slot_retire_one(struct slots *all)
{
	struct slot *oldest = NULL;

	for (uint32_t i = 0; i < all->count; i++) {
		struct slot *slot = &all->slot[i];

		if (slot->state == SLOT_RETIRING)
			return true;
		if (slot->state == SLOT_OPEN && slot->in_flight == 0 &&
		    (!oldest || slot->used_ms < oldest->used_ms))
			oldest = slot;
	}
	if (!oldest)
		return false;
	oldest->state = SLOT_RETIRING;
	(void)pthread_cond_broadcast(&all->changed);
	return true;
}

/*
 * The slot of an address with a standing connection, counted in flight.  Waiting for the connection
 * before sealing keeps the counters of frames in the order in which they leave.
 */
int slot_take(struct slots *all, const char *addr, uint64_t until_ms, struct slot **ret)
{
	struct slot *slot = NULL;
	int r = -ERR_UNAVAILABLE;

	(void)pthread_mutex_lock(&all->lock);
	while (!all->is_stopping) {
		uint32_t left = bus_remaining_ms(until_ms);

		slot = slot_find(all, addr);
		if (!slot)
			slot = slot_assign(all, addr);
		if (slot)
			slot->used_ms = clock_mono_ms();
		if (slot && slot->pipes > 0) {
			slot->in_flight++;
			r = 0;
			break;
		}
		if (!slot && !slot_retire_one(all)) {
			r = -ERR_BUSY;
			break;
		}
		if (left == 0)
			break;
		bus_sync_wait(&all->lock, &all->changed, left);
	}
	(void)pthread_mutex_unlock(&all->lock);
	if (r == 0)
		*ret = slot;
	return r;
}

void slot_release(struct slot *slot)
{
	(void)pthread_mutex_lock(&slot->slots->lock);
	slot->in_flight--;
	slot->used_ms = clock_mono_ms();
	if (slot->state == SLOT_RETIRING)
		(void)pthread_cond_broadcast(&slot->slots->changed);
	(void)pthread_mutex_unlock(&slot->slots->lock);
}

void slot_get_boot(struct slot *slot, uint8_t boot_id[BOOT_ID_SIZE])
{
	(void)pthread_mutex_lock(&slot->slots->lock);
	if (boot_is_known(slot->boot_id))
		memcpy(boot_id, slot->boot_id, BOOT_ID_SIZE);
	(void)pthread_mutex_unlock(&slot->slots->lock);
}

void slot_set_boot(struct slot *slot, const uint8_t boot_id[BOOT_ID_SIZE])
{
	(void)pthread_mutex_lock(&slot->slots->lock);
	memcpy(slot->boot_id, boot_id, BOOT_ID_SIZE);
	(void)pthread_mutex_unlock(&slot->slots->lock);
}

static struct channel *channel_take(struct slot *slot)
{
	struct channel *channel;

	(void)pthread_mutex_lock(&slot->slots->lock);
	channel = slot->idle;
	if (channel)
		slot->idle = channel->next;
	(void)pthread_mutex_unlock(&slot->slots->lock);
	if (channel)
		return channel;
	channel = mem_alloc(sizeof(*channel));
	if (nng_ctx_open(&channel->ctx, slot->socket) != 0 ||
	    nng_aio_alloc(&channel->aio, NULL, NULL) != 0)
		box_bug("no context for a bus call");
	/* Else nng sends again by itself: after 60 s, and at once when the connection breaks. */
	if (nng_ctx_set_ms(channel->ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) != 0)
		box_bug("nng resends and cannot be told not to");
	return channel;
}

static void channel_release(struct slot *slot, struct channel *channel)
{
	(void)pthread_mutex_lock(&slot->slots->lock);
	channel->next = slot->idle;
	slot->idle = channel;
	(void)pthread_mutex_unlock(&slot->slots->lock);
}

/* ---- exchanging ------------------------------------------------------------------------------ */

/* Hand the frame over.  After success it counts as sent, whatever becomes of the connection. */
static int channel_send(struct channel *channel, const struct buf *frame, uint32_t timeout_ms)
{
	nng_msg *m;
	int r;

	if (nng_msg_alloc(&m, 0) != 0)
		box_bug("no memory for a message");
	if (nng_msg_append(m, frame->data, frame->len) != 0)
		box_bug("no memory for a message");
	nng_aio_set_timeout(channel->aio, (nng_duration)timeout_ms);
	nng_aio_set_msg(channel->aio, m);
	nng_ctx_send(channel->ctx, channel->aio);
	nng_aio_wait(channel->aio);
	r = nng_aio_result(channel->aio);
	if (r != 0) /* still ours */
		nng_msg_free(m);
	return r;
}

static int channel_receive(struct channel *channel, uint32_t timeout_ms, nng_msg **ret)
{
	int r;

	nng_aio_set_timeout(channel->aio, (nng_duration)timeout_ms);
	/* Only after the send finished: cancelling a receive before that crashes (nng#1702). */
	nng_ctx_recv(channel->ctx, channel->aio);
	nng_aio_wait(channel->aio);
	r = nng_aio_result(channel->aio);
	if (r == 0)
		*ret = nng_aio_get_msg(channel->aio);
	return r;
}

enum exchange slot_exchange(struct slot *slot, const struct buf *question, uint32_t send_ms,
			    uint64_t deadline_ms, struct slot_answer *ret)
{
	struct channel *channel = channel_take(slot);
	nng_msg *answer = NULL;
	int r = channel_send(channel, question, send_ms);
	bool is_sent = r == 0;

	if (is_sent)
		r = channel_receive(channel, bus_remaining_ms(deadline_ms) + 1, &answer);
	channel_release(slot, channel);
	if (!is_sent)
		return EXCHANGE_NOT_SENT;
	if (r != 0)
		return r == NNG_ETIMEDOUT ? EXCHANGE_LATE : EXCHANGE_BROKEN;
	*ret = (struct slot_answer){ nng_msg_body(answer), nng_msg_len(answer), answer };
	return EXCHANGE_ANSWERED;
}

void slot_answer_done(struct slot_answer *answer)
{
	if (answer->owner)
		nng_msg_free(answer->owner);
}

/* ---- the manager ---------------------------------------------------------------------------- */

static int dialer_open(struct slot *slot)
{
	int r = tls_dialer_create(slot->slots->tls, slot->socket, slot->addr, &slot->dialer);

	if (r != 0)
		return r;
	slot->has_dialer = true;
	(void)nng_dialer_set_ms(slot->dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	(void)nng_dialer_set_ms(slot->dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	(void)nng_dialer_set_bool(slot->dialer, NNG_OPT_TCP_NODELAY, true);
	(void)nng_dialer_set_bool(slot->dialer, NNG_OPT_TCP_KEEPALIVE, true);
	return nng_dialer_start(slot->dialer, NNG_FLAG_NONBLOCK);
}

/* Called and returns with the lock held; lets go of it around nng. */
static void slot_open(struct slots *all, struct slot *slot)
{
	int r;

	(void)pthread_mutex_unlock(&all->lock);
	r = dialer_open(slot);
	if (r != 0)
		log_warn("bus.dial_failed", F_STR("addr", slot->addr),
			 F_STR("reason", nng_strerror(r)));
	(void)pthread_mutex_lock(&all->lock);
	all->was_away = true;
	slot->state = r == 0 ? SLOT_OPEN : SLOT_RETIRING;
	(void)pthread_cond_broadcast(&all->changed);
}

/* The old peer's connection is gone for certain before the next address may use the slot. */
static void slot_close(struct slots *all, struct slot *slot)
{
	if (slot->has_dialer) {
		(void)pthread_mutex_unlock(&all->lock);
		(void)nng_dialer_close(slot->dialer);
		(void)pthread_mutex_lock(&all->lock);
		all->was_away = true;
		slot->has_dialer = false;
	}
	if (slot->pipes > 0)
		return;
	slot->state = SLOT_FREE;
	slot->addr[0] = '\0';
	(void)pthread_cond_broadcast(&all->changed);
}

static void slot_manage(struct slots *all, struct slot *slot)
{
	if (slot->state == SLOT_OPEN && slot->pipes == 0 && slot->in_flight == 0 &&
	    clock_mono_ms() > slot->used_ms + IDLE_RETIRE_MS)
		slot->state = SLOT_RETIRING;
	if (slot->state == SLOT_WANTED)
		slot_open(all, slot);
	if (slot->state == SLOT_RETIRING && slot->in_flight == 0)
		slot_close(all, slot);
}

static void *manager_run(void *arg)
{
	struct slots *all = arg;

	(void)pthread_mutex_lock(&all->lock);
	while (!all->is_stopping) {
		all->was_away = false;
		for (uint32_t i = 0; i < all->count; i++)
			slot_manage(all, &all->slot[i]);
		/* A change that was signalled while nng had this thread woke nobody: look again. */
		if (!all->was_away && !all->is_stopping)
			bus_sync_wait(&all->lock, &all->changed, 1000);
	}
	(void)pthread_mutex_unlock(&all->lock);
	return NULL;
}

static int slot_start(struct slots *all, struct slot *slot, struct err *err)
{
	int r;

	slot->slots = all;
	r = nng_req0_open(&slot->socket);
	if (r == 0)
		r = nng_socket_set_size(slot->socket, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX);
	if (r == 0)
		r = nng_socket_set_ms(slot->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	if (r == 0)
		r = nng_pipe_notify(slot->socket, NNG_PIPE_EV_ADD_POST, on_pipe, slot);
	if (r == 0)
		r = nng_pipe_notify(slot->socket, NNG_PIPE_EV_REM_POST, on_pipe, slot);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "the bus cannot open its sockets: %s",
			       nng_strerror(r));
	return 0;
}

int slots_start(uint32_t count, const struct bus_tls *tls, struct slots **ret, struct err *err)
{
	struct slots *all = mem_alloc(sizeof(*all));

	bus_sync_init(&all->lock, &all->changed);
	all->slot = mem_alloc_array(count, sizeof(*all->slot));
	all->count = count;
	all->tls = tls;
	for (uint32_t i = 0; i < count; i++) {
		int r = slot_start(all, &all->slot[i], err);

		if (r < 0)
			return r; /* sockets that were opened stay open until the process ends */
	}
	all->manager = bus_thread("bus-dial", manager_run, all);
	*ret = all;
	return 0;
}

void slots_stop(struct slots *all)
{
	(void)pthread_mutex_lock(&all->lock);
	all->is_stopping = true;
	(void)pthread_cond_broadcast(&all->changed);
	(void)pthread_mutex_unlock(&all->lock);
	(void)pthread_join(all->manager, NULL);
}
