#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "parse.h"
#include "spool_journal.h"

#define BATCH_RECORDS   2000
#define BATCH_BYTES     (2u * 1024 * 1024)
#define SHIP_TIMEOUT_MS 5000
#define LINGER_MS       50 /* lets the start and the end of a quick call travel together */
#define BATCH_EVERY_MS \
	250 /* under steady load: a batch costs about 5 ms of processor time, however small */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define ADOPT_EVERY_MS 5000

struct spool {
	struct spool_config config;
	struct journal_kinds kinds;
	struct journal *journal;
	pthread_mutex_t lock;
	pthread_cond_t to_sync, to_ship; /* for the one thread that says below that it waits */
	pthread_cond_t stopping;
	pthread_cond_t synced;
	bool sync_waits, ship_waits; /* guarded by lock, like all below */
	bool is_dirty;
	uint64_t synced_no;
	bool is_stopping;
	pthread_t shipper, syncer, adopter;
};

static void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	box_assert(pthread_condattr_init(&attr) == 0);
	box_assert(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	box_assert(pthread_cond_init(cond, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
}

/* Sleeps, but not beyond the stop.  True while not stopping. */
static bool spool_pause(struct spool *s, uint32_t ms)
{
	struct timespec until;
	bool goes_on;

	clock_abs_after(ms, &until);
	(void)pthread_mutex_lock(&s->lock);
	while (!s->is_stopping &&
	       pthread_cond_timedwait(&s->stopping, &s->lock, &until) != ETIMEDOUT)
		;
	goes_on = !s->is_stopping;
	(void)pthread_mutex_unlock(&s->lock);
	return goes_on;
}

/* ---- shipping ------------------------------------------------------------------------------- */

/* Sends one batch.  0 also when there was nothing to send. */
static int ship_once(struct spool *s, struct journal *j, uint32_t timeout_ms, struct err *err)
{
	struct bus_call_opts opts = { .timeout_ms = timeout_ms, .repeatable = true };
	PB(ShipRecordsRequest) request = MCPBOX__V1__SHIP_RECORDS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct journal_batch batch;
	int r = journal_read(j, BATCH_RECORDS, BATCH_BYTES, &batch);

	if (r < 0)
		return err_set(err, ERR_UNAVAILABLE, "the spool cannot be read");
	if (batch.count == 0)
		return 0;
	request.origin = (char *)(uintptr_t)journal_origin(j);
	request.records = batch.records;
	request.n_records = batch.count;
	r = bus_ask_registry(s->config.bus, MSG_SHIP_RECORDS, &request.base, &opts, &reply, err);
	if (r == 0)
		journal_commit(j, ((PB(ShipRecordsReply) *)reply)->committed_no);
	if (r == 0 && ((PB(ShipRecordsReply) *)reply)->committed_no < batch.last_no)
		r = err_set(err, ERR_STATE, "the registry did not commit the whole batch");
	journal_batch_done(&batch);
	return r;
}

/* Ships all there is, with ever longer pauses while the registry is away.  False when stopping. */
static bool ship_all(struct spool *s, struct journal *j)
{
	uint32_t backoff_ms = BACKOFF_MIN_MS;
	struct err err = { 0 };

	while (journal_pending(j) > 0) {
		if (ship_once(s, j, SHIP_TIMEOUT_MS, &err) == 0) {
			backoff_ms = BACKOFF_MIN_MS;
			if (journal_pending(j) > 0 && journal_pending(j) < BATCH_RECORDS &&
			    !spool_pause(s, BATCH_EVERY_MS))
				return false;
			continue;
		}
		if (backoff_ms == BACKOFF_MIN_MS)
			log_warn("spool.not_shipped", F_STR("origin", journal_origin(j)),
				 F_UINT("pending", journal_pending(j)), F_ERR(&err));
		err_done(&err);
		if (!spool_pause(s, backoff_ms))
			return false;
		backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
	}
	return true;
}

static void *shipper_run(void *arg)
{
	struct spool *s = arg;
	bool goes_on = true;

	while (goes_on) {
		(void)pthread_mutex_lock(&s->lock);
		s->ship_waits = true;
		while (!s->is_stopping && journal_pending(s->journal) == 0)
			(void)pthread_cond_wait(&s->to_ship, &s->lock);
		s->ship_waits = false;
		(void)pthread_mutex_unlock(&s->lock);
		goes_on = spool_pause(s, LINGER_MS) && ship_all(s, s->journal);
	}
	return NULL;
}

/* ---- fdatasync ------------------------------------------------------------------------------ */

static void *syncer_run(void *arg)
{
	struct spool *s = arg;

	(void)pthread_mutex_lock(&s->lock);
	while (!s->is_stopping || s->is_dirty) {
		uint64_t no;

		if (!s->is_dirty) {
			s->sync_waits = true;
			(void)pthread_cond_wait(&s->to_sync, &s->lock);
			s->sync_waits = false;
			continue;
		}
		(void)pthread_mutex_unlock(&s->lock);
		if (s->config.sync_ms > 0)
			(void)spool_pause(s, s->config.sync_ms);
		(void)pthread_mutex_lock(&s->lock);
		s->is_dirty = false;
		(void)pthread_mutex_unlock(&s->lock);
		no = journal_sync(s->journal);
		(void)pthread_mutex_lock(&s->lock);
		s->synced_no = no;
		(void)pthread_cond_broadcast(&s->synced);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- orphans -------------------------------------------------------------------------------- */

/* What is there goes first: the answers tell which numbers are free for the ends. */
static int ship_orphan(struct spool *s, struct journal *orphan, struct err *err)
{
	int r = 0;

	if (ship_all(s, orphan)) {
		r = journal_end_open(orphan, err);
		(void)journal_sync(orphan);
		if (r == 0 && ship_all(s, orphan))
			return 0;
	}
	return r < 0 ? r : err_set(err, ERR_CANCELLED, "this process is stopping");
}

static void adopt(struct spool *s, const char *origin)
{
	struct journal *orphan;
	struct err err = { 0 };
	int r = journal_adopt(s->config.root, origin, &s->kinds, &orphan, &err);

	if (r < 0) /* alive, or another process was quicker */
		return;
	log_info("spool.adopted", F_STR("origin", origin),
		 F_UINT("pending", journal_pending(orphan)),
		 F_UINT("open_starts", journal_open_starts(orphan)));
	if (ship_orphan(s, orphan, &err) == 0) {
		journal_remove(orphan);
		return;
	}
	log_warn("spool.orphan_kept", F_STR("origin", origin), F_ERR(&err));
	err_done(&err);
	journal_free(orphan);
}

static void adopt_all(struct spool *s)
{
	DIR *dir = opendir(s->config.root);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && strlen(e->d_name) < JOURNAL_ORIGIN_SIZE &&
		    strcmp(e->d_name, journal_origin(s->journal)) != 0)
			adopt(s, e->d_name);
	(void)closedir(dir);
}

static void *adopter_run(void *arg)
{
	struct spool *s = arg;

	do
		adopt_all(s);
	while (spool_pause(s, ADOPT_EVERY_MS));
	return NULL;
}

/* ---- appending ------------------------------------------------------------------------------ */

static void wait_synced(struct spool *s, uint64_t no)
{
	(void)pthread_mutex_lock(&s->lock);
	while (s->synced_no < no)
		(void)pthread_cond_wait(&s->synced, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
}

/* Both threads pause before they work, so under load they are woken a few times a second, not at each record. */
static void note_appended(struct spool *s)
{
	bool wake_sync, wake_ship;

	(void)pthread_mutex_lock(&s->lock);
	s->is_dirty = true;
	wake_sync = s->sync_waits;
	wake_ship = s->ship_waits;
	(void)pthread_mutex_unlock(&s->lock);
	/* Behind the lock: who is woken would else only wait for it. */
	if (wake_sync)
		(void)pthread_cond_signal(&s->to_sync);
	if (wake_ship)
		(void)pthread_cond_signal(&s->to_ship);
}

static bool has_room(const struct spool *s, const PB(Record) * record)
{
	uint64_t max = s->config.max_bytes;

	if ((int)record->kind == s->config.end_kind)
		max += max / 8;
	return journal_bytes(s->journal) < max;
}

int spool_append(struct spool *s, PB(Record) * record, struct err *err)
{
	int r;

	if (!has_room(s, record))
		return err_set_field(err, ERR_UNAVAILABLE, NULL,
				     "try again when the registry takes records again",
				     "records cannot be kept: the spool is full, the registry does "
				     "not take them; nothing was started");
	r = journal_append(s->journal, record, err);
	if (r < 0)
		return r;
	note_appended(s);
	if (s->config.sync_ms == 0)
		wait_synced(s, record->no);
	return 0;
}

uint64_t spool_pending(const struct spool *s)
{
	return journal_pending(s->journal);
}

/* ---- life ----------------------------------------------------------------------------------- */

static pthread_t spool_thread(const char *name, void *(*run)(void *), struct spool *s)
{
	pthread_attr_t attr;
	pthread_t thread;

	box_assert(pthread_attr_init(&attr) == 0);
	box_assert(pthread_attr_setstacksize(&attr, 2u * 1024 * 1024) ==
		   0); /* records are unpacked */
	if (pthread_create(&thread, &attr, run, s) != 0)
		box_bug("no thread for %s", name);
	(void)pthread_setname_np(thread, name);
	(void)pthread_attr_destroy(&attr);
	return thread;
}

int spool_start(const struct spool_config *config, struct spool **ret, struct err *err)
{
	char origin[JOURNAL_ORIGIN_SIZE], boot[2 * BOOT_ID_SIZE + 1];
	struct journal_kinds kinds = { config->start_kind, config->end_kind };
	struct journal *journal;
	struct spool *s;
	int r;

	if (mkdir(config->root, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_UNAVAILABLE, "the spool's directory cannot be made: %s",
			       strerrordesc_np(errno));
	format_hex(bus_boot_id(config->bus), BOOT_ID_SIZE, boot);
	(void)snprintf(origin, sizeof(origin), "%s-%s", role_name(bus_self(config->bus)), boot);
	r = journal_create(config->root, origin, &kinds, &journal, err);
	if (r < 0)
		return r;
	s = mem_alloc(sizeof(*s));
	s->config = *config;
	s->config.root = mem_strdup(config->root);
	s->kinds = kinds;
	s->journal = journal;
	journal_bound(journal, config->max_bytes);
	(void)pthread_mutex_init(&s->lock, NULL);
	cond_init(&s->to_sync);
	cond_init(&s->to_ship);
	cond_init(&s->stopping);
	cond_init(&s->synced);
	s->shipper = spool_thread("spool-ship", shipper_run, s);
	s->syncer = spool_thread("spool-sync", syncer_run, s);
	s->adopter = spool_thread("spool-adopt", adopter_run, s);
	*ret = s;
	return 0;
}

/* After the threads have gone: what is left, until the time is over. */
static void ship_rest(struct spool *s, uint32_t timeout_ms)
{
	uint64_t until = clock_mono_ms() + timeout_ms;
	struct err err = { 0 };

	while (journal_pending(s->journal) > 0) {
		uint64_t now = clock_mono_ms();

		if (now >= until || ship_once(s, s->journal, (uint32_t)(until - now), &err) < 0)
			break;
	}
	err_done(&err);
}

void spool_stop(struct spool *s, uint32_t timeout_ms)
{
	if (!s)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	(void)pthread_cond_signal(&s->to_sync);
	(void)pthread_cond_signal(&s->to_ship);
	(void)pthread_cond_broadcast(&s->stopping);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->shipper, NULL);
	(void)pthread_join(s->adopter, NULL);
	(void)pthread_join(s->syncer, NULL);
	ship_rest(s, timeout_ms);
	/* What could not be shipped, or is still open, is for the next process to adopt. */
	if (journal_pending(s->journal) == 0 && journal_open_starts(s->journal) == 0)
		journal_remove(s->journal);
	else
		journal_free(s->journal);
	(void)pthread_cond_destroy(&s->to_sync);
	(void)pthread_cond_destroy(&s->to_ship);
	(void)pthread_cond_destroy(&s->stopping);
	(void)pthread_cond_destroy(&s->synced);
	(void)pthread_mutex_destroy(&s->lock);
	free((char *)(uintptr_t)s->config.root);
	free(s);
}
