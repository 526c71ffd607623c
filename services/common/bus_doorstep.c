#include "bus_doorstep.h"

#include <string.h>

static bool is_same_address(const struct doorstep_row *a, const struct doorstep_row *b)
{
	return a->family == b->family && memcmp(a->host, b->host, sizeof(a->host)) == 0;
}

static void forget_row(struct doorstep *d, uint32_t i)
{
	uint32_t count = atomic_load(&d->count) - 1;

	memmove(&d->rows[i], &d->rows[i + 1], (count - i) * sizeof(d->rows[0]));
	atomic_store(&d->count, count);
}

static void forget_pipe(struct doorstep *d, uint32_t pipe)
{
	(void)pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < atomic_load(&d->count); i++) {
		if (d->rows[i].pipe == pipe) {
			forget_row(d, i);
			break;
		}
	}
	(void)pthread_mutex_unlock(&d->lock);
}

/* The oldest of those that are too many: of its own address, or of all; DOORSTEP_MAX: there is room. */
static uint32_t find_leaver(const struct doorstep *d, const struct doorstep_row *row)
{
	uint32_t count = atomic_load(&d->count), same = 0, oldest = 0;

	for (uint32_t i = count; i-- > 0;) {
		if (is_same_address(&d->rows[i], row)) {
			same++;
			oldest = i;
		}
	}
	if (same >= DOORSTEP_PER_ADDRESS)
		return oldest;
	return count == DOORSTEP_MAX ? 0 : DOORSTEP_MAX;
}

uint32_t doorstep_admit(struct doorstep *d, const struct doorstep_row *row)
{
	uint32_t leaver, pipe = 0;

	(void)pthread_mutex_lock(&d->lock);
	leaver = find_leaver(d, row);
	if (leaver != DOORSTEP_MAX) {
		pipe = d->rows[leaver].pipe;
		forget_row(d, leaver);
	}
	d->rows[atomic_load(&d->count)] = *row;
	atomic_fetch_add(&d->count, 1);
	(void)pthread_mutex_unlock(&d->lock);
	return pipe;
}

static struct doorstep_row row_of(nng_pipe pipe)
{
	struct doorstep_row row = { .pipe = (uint32_t)nng_pipe_id(pipe) };
	nng_sockaddr sa;

	if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) != 0)
		return row;
	row.family = sa.s_family;
	if (sa.s_family == NNG_AF_INET)
		memcpy(row.host, &sa.s_in.sa_addr, sizeof(sa.s_in.sa_addr));
	else if (sa.s_family == NNG_AF_INET6)
		memcpy(row.host, sa.s_in6.sa_addr, sizeof(row.host));
	return row;
}

/* On a thread of nng. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct doorstep *d = arg;
	struct doorstep_row row;
	uint32_t leaver;

	if (event == NNG_PIPE_EV_REM_POST) {
		doorstep_prove(d, pipe);
		return;
	}
	row = row_of(pipe);
	leaver = doorstep_admit(d, &row);
	if (leaver != 0)
		(void)nng_pipe_close((nng_pipe){ leaver });
}

int doorstep_watch(struct doorstep *d, nng_socket socket)
{
	int r;

	(void)pthread_mutex_init(&d->lock, NULL);
	r = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, on_pipe, d);
	return r == 0 ? nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, on_pipe, d) : r;
}

void doorstep_prove(struct doorstep *d, nng_pipe pipe)
{
	if (atomic_load(&d->count) > 0)
		forget_pipe(d, (uint32_t)nng_pipe_id(pipe));
}
