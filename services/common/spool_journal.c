#include "spool_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "crypto.h"
#include "frame.h"
#include "log.h"
#include "mem.h"
#include "parse.h"

#define ENTRY_HEAD   12u                      /* length, then a short hash */
#define ENTRY_MAX    (FRAME_MAX - 64u * 1024) /* what can still be shipped in one frame */
#define HASH_SHORT   8
#define SEGMENT_NAME 32
#define ACK_NAME     "committed"

struct segment {
	uint64_t first_no;
	uint64_t last_no; /* first_no - 1 while empty */
	uint64_t size;
	uint32_t open_starts;
	bool is_dirty; /* written since the last fdatasync */
	int fd;
};

struct start {
	char *key;
	uint64_t segment_no; /* first_no of its segment */
	uint64_t offset;
};

struct cursor {
	uint64_t no; /* the entry at offset has this number or a later one */
	uint64_t segment_no;
	uint64_t offset;
};

struct journal {
	char origin[JOURNAL_ORIGIN_SIZE];
	struct journal_kinds kinds;
	char *root, *path;
	int dir_fd; /* holds the lock */
	uint64_t segment_max;

	pthread_mutex_t sync_lock; /* keeps a descriptor open during fdatasync; taken before lock */
	pthread_mutex_t lock;
	struct segment *segments; /* oldest first; guarded by lock, like all below */
	size_t segment_count;
	struct start *starts;
	size_t start_count, start_cap;
	uint64_t next_no, committed_no;
	uint64_t bytes;
	struct cursor next;     /* where reading goes on after the last commit */
	struct cursor read_end; /* behind the last batch that was read */
};

/* ---- entries -------------------------------------------------------------------------------- */

static void entry_hash(const void *data, size_t len, uint8_t ret[HASH_SHORT])
{
	uint8_t hash[CRYPTO_HASH_SIZE];

	crypto_hash(data, len, hash);
	memcpy(ret, hash, HASH_SHORT);
}

static void entry_build(const PB(Record) * record, struct buf *ret)
{
	size_t len = protobuf_c_message_get_packed_size(&record->base);
	uint8_t hash[HASH_SHORT];
	uint8_t *at;

	buf_add_u32le(ret, (uint32_t)len);
	buf_add(ret, (const uint8_t[HASH_SHORT]){ 0 }, HASH_SHORT);
	at = buf_grow(ret, len);
	if (!at)
		return;
	ret->len += protobuf_c_message_pack(&record->base, at);
	entry_hash(ret->data + ENTRY_HEAD, len, hash);
	memcpy(ret->data + 4, hash, HASH_SHORT);
}

static bool read_fully(int fd, void *to, size_t len, uint64_t offset)
{
	uint8_t *at = to;

	while (len > 0) {
		ssize_t n = pread(fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

/* Entries are read one after the other, so a piece of the segment is held. */
struct window {
	int fd;
	uint64_t end; /* of what is written in the segment */
	uint64_t offset;
	struct buf bytes; /* what stands at offset */
};
#define WINDOW_SIZE (256u * 1024)
#define WINDOW_OF(f, e)                                                           \
	{                                                                         \
		.fd = (f), .end = (e), .bytes = BUF_INIT(ENTRY_MAX + WINDOW_SIZE) \
	}

/* len bytes at offset, or NULL where the segment has not so many. */
static const uint8_t *window_at(struct window *w, uint64_t offset, size_t len)
{
	size_t more = len > WINDOW_SIZE ? len : WINDOW_SIZE;

	if (offset > w->end || w->end - offset < len)
		return NULL;
	if (offset >= w->offset && offset + len <= w->offset + w->bytes.len)
		return w->bytes.data + (offset - w->offset);
	if (more > w->end - offset)
		more = (size_t)(w->end - offset);
	buf_clear(&w->bytes);
	if (!buf_grow(&w->bytes, more) || !read_fully(w->fd, w->bytes.data, more, offset))
		return NULL;
	w->bytes.len = more;
	w->offset = offset;
	return w->bytes.data;
}

static void window_done(struct window *w)
{
	buf_done(&w->bytes);
}

/* The record at offset; -ERR_INVALID where there is no whole, sound entry. */
static int entry_read(struct window *w, uint64_t offset, PB(Record) * *ret, uint64_t *ret_size)
{
	const uint8_t *head = window_at(w, offset, ENTRY_HEAD), *entry;
	uint8_t hash[HASH_SHORT];
	ProtobufCMessage *m;
	uint32_t len;

	if (!head)
		return -ERR_INVALID;
	len = (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
	      (uint32_t)head[3] << 24;
	entry = len <= ENTRY_MAX ? window_at(w, offset, ENTRY_HEAD + (size_t)len) : NULL;
	if (!entry)
		return -ERR_INVALID;
	entry_hash(entry + ENTRY_HEAD, len, hash);
	if (memcmp(hash, entry + 4, HASH_SHORT) != 0 ||
	    msg_unpack(&mcpbox__v1__record__descriptor, entry + ENTRY_HEAD, len, &m) < 0)
		return -ERR_INVALID;
	*ret = (PB(Record) *)m;
	*ret_size = ENTRY_HEAD + (uint64_t)len;
	return 0;
}

/* ---- starts and ends ------------------------------------------------------------------------ */

/* What a start and its end have in common. */
static char *record_key(const PB(Record) * r)
{
	return mem_printf("%s/%s", r->call_id, r->egress ? r->egress->request_no : "");
}

static struct segment *segment_find(struct journal *j, uint64_t segment_no)
{
	for (size_t i = 0; i < j->segment_count; i++)
		if (j->segments[i].first_no == segment_no)
			return &j->segments[i];
	return NULL;
}

static void starts_add(struct journal *j, char *key, struct segment *segment, uint64_t offset)
{
	if (j->start_count == j->start_cap) {
		j->start_cap = j->start_cap ? j->start_cap * 2 : 64;
		j->starts = mem_realloc_array(j->starts, j->start_cap, sizeof(*j->starts));
	}
	j->starts[j->start_count++] = (struct start){ key, segment->first_no, offset };
	segment->open_starts++;
}

static void starts_remove(struct journal *j, const char *key)
{
	for (size_t i = 0; i < j->start_count; i++) {
		struct segment *segment;

		if (strcmp(j->starts[i].key, key) != 0)
			continue;
		segment = segment_find(j, j->starts[i].segment_no);
		if (segment)
			segment->open_starts--;
		free(j->starts[i].key);
		j->starts[i] = j->starts[--j->start_count];
		return;
	}
}

static void starts_note(struct journal *j, const PB(Record) * record, struct segment *segment,
			uint64_t offset)
{
	BOX_CLEANUP(mem_freep) char *key = NULL;

	if ((int)record->kind != j->kinds.start && (int)record->kind != j->kinds.end)
		return;
	key = record_key(record);
	if ((int)record->kind == j->kinds.start)
		starts_add(j, TAKE(key), segment, offset);
	else
		starts_remove(j, key);
}

/* ---- segments ------------------------------------------------------------------------------- */

static void segment_name(uint64_t first_no, char ret[SEGMENT_NAME])
{
	(void)snprintf(ret, SEGMENT_NAME, "%016llx.seg", (unsigned long long)first_no);
}

static struct segment *segment_push(struct journal *j, uint64_t first_no, int fd)
{
	j->segments = mem_realloc_array(j->segments, j->segment_count + 1, sizeof(*j->segments));
	j->segments[j->segment_count] =
		(struct segment){ .first_no = first_no, .last_no = first_no - 1, .fd = fd };
	return &j->segments[j->segment_count++];
}

static struct segment *segment_new(struct journal *j)
{
	char name[SEGMENT_NAME];
	int fd;

	segment_name(j->next_no, name);
	fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	(void)fsync(j->dir_fd); /* or a power cut could take the whole file */
	return segment_push(j, j->next_no, fd);
}

static struct segment *segment_for_append(struct journal *j, size_t len)
{
	struct segment *last = j->segment_count ? &j->segments[j->segment_count - 1] : NULL;

	if (last && (last->size == 0 || last->size + len <= j->segment_max))
		return last;
	return segment_new(j);
}

/* Everything in it is committed and no start in it waits.  The last one stays, it is being written.
 */
static bool segment_is_done(const struct journal *j, size_t i)
{
	return i + 1 < j->segment_count && j->segments[i].last_no <= j->committed_no &&
	       j->segments[i].open_starts == 0;
}

static void segments_drop_done(struct journal *j)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->segment_count; i++) {
		struct segment *s = &j->segments[i];
		char name[SEGMENT_NAME];

		if (!segment_is_done(j, i)) {
			j->segments[kept++] = *s;
			continue;
		}
		segment_name(s->first_no, name);
		(void)unlinkat(j->dir_fd, name, 0);
		(void)close(s->fd);
		j->bytes -= s->size;
	}
	j->segment_count = kept;
}

/* ---- appending ------------------------------------------------------------------------------ */

static bool write_entry(struct segment *s, const struct buf *entry)
{
	ssize_t n;

	do
		n = write(s->fd, entry->data, entry->len);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)entry->len)
		return true;
	log_error("spool.write_failed", F_STR("reason", n < 0 ? strerrorname_np(errno) : "short"));
	/* Half an entry would end the segment for every reader. */
	if (n > 0 && ftruncate(s->fd, (off_t)s->size) < 0)
		log_error("spool.cut_failed", F_STR("reason", strerrorname_np(errno)));
	return false;
}

static bool append_locked(struct journal *j, const PB(Record) * record, const struct buf *entry)
{
	struct segment *s = segment_for_append(j, entry->len);

	if (!s || !write_entry(s, entry))
		return false;
	starts_note(j, record, s, s->size);
	s->size += entry->len;
	s->last_no = j->next_no++;
	s->is_dirty = true;
	j->bytes += entry->len;
	return true;
}

int journal_append(struct journal *j, PB(Record) * record, struct err *err)
{
	struct buf entry = BUF_INIT(ENTRY_MAX + ENTRY_HEAD);
	bool is_kept = false, is_over;

	if (record->at_unix_ms == 0)
		record->at_unix_ms = clock_unix_ms();
	(void)pthread_mutex_lock(&j->lock);
	record->no = j->next_no;
	entry_build(record, &entry);
	is_over = entry.is_over;
	if (!is_over)
		is_kept = append_locked(j, record, &entry);
	(void)pthread_mutex_unlock(&j->lock);
	buf_done(&entry);
	if (is_over)
		return err_set(err, ERR_TOO_LARGE, "the record is too large to keep");
	return is_kept ? 0
		       : err_set(err, ERR_UNAVAILABLE,
				 "records cannot be kept; nothing is done without one");
}

uint64_t journal_sync(struct journal *j)
{
	uint64_t target;

	(void)pthread_mutex_lock(&j->sync_lock);
	(void)pthread_mutex_lock(&j->lock);
	target = j->next_no - 1;
	for (size_t i = 0; i < j->segment_count; i++) {
		int fd = j->segments[i].fd;

		if (!j->segments[i].is_dirty)
			continue;
		j->segments[i].is_dirty = false;
		(void)pthread_mutex_unlock(&j->lock);
		if (fdatasync(fd) < 0)
			log_error("spool.sync_failed", F_STR("reason", strerrorname_np(errno)));
		(void)pthread_mutex_lock(&j->lock);
	}
	(void)pthread_mutex_unlock(&j->lock);
	(void)pthread_mutex_unlock(&j->sync_lock);
	return target;
}

/* ---- reading and committing ----------------------------------------------------------------- */

/* Where the first record after the committed one is, or before it.  False when there is none. Needs
 * lock. */
static bool cursor_find(const struct journal *j, struct segment *ret_segment, struct cursor *ret)
{
	uint64_t from_no = j->committed_no + 1;

	for (size_t i = 0; i < j->segment_count; i++) {
		const struct segment *s = &j->segments[i];

		if (s->last_no < from_no)
			continue;
		*ret_segment = *s;
		*ret = (struct cursor){ .no = s->first_no, .segment_no = s->first_no };
		if (j->next.segment_no == s->first_no && j->next.no <= from_no)
			*ret = j->next;
		return true;
	}
	return false;
}

/* Reads on in one segment; entries before from_no are passed over. */
static int batch_fill(struct journal_batch *batch, struct window *w, struct cursor *c,
		      uint64_t from_no, size_t max_records, size_t max_bytes)
{
	uint64_t bytes = 0;

	while (c->offset < w->end &&
	       (batch->count == 0 || (batch->count < max_records && bytes < max_bytes))) {
		PB(Record) * record;
		uint64_t size;
		int r = entry_read(w, c->offset, &record, &size);

		if (r < 0)
			return r;
		if (batch->count > 0 && bytes + size > max_bytes) {
			msg_free(&record->base);
			break;
		}
		c->offset += size;
		c->no = record->no + 1;
		if (record->no < from_no) {
			msg_free(&record->base);
			continue;
		}
		batch->records[batch->count++] = record;
		batch->last_no = record->no;
		bytes += size;
	}
	return 0;
}

int journal_read(struct journal *j, size_t max_records, size_t max_bytes, struct journal_batch *ret)
{
	struct journal_batch batch = { 0 };
	struct window w;
	struct segment s;
	struct cursor c;
	uint64_t from_no;
	bool is_any;
	int r;

	(void)pthread_mutex_lock(&j->lock);
	from_no = j->committed_no + 1;
	is_any = cursor_find(j, &s, &c);
	(void)pthread_mutex_unlock(&j->lock);
	*ret = batch;
	if (!is_any)
		return 0;
	batch.records = mem_alloc_array(max_records, sizeof(PB(Record) *));
	w = (struct window)WINDOW_OF(s.fd, s.size);
	r = batch_fill(&batch, &w, &c, from_no, max_records, max_bytes);
	window_done(&w);
	if (r < 0) {
		journal_batch_done(&batch);
		return r;
	}
	(void)pthread_mutex_lock(&j->lock);
	j->read_end = c;
	(void)pthread_mutex_unlock(&j->lock);
	*ret = batch;
	return 0;
}

void journal_batch_done(struct journal_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		msg_free(&batch->records[i]->base);
	free(batch->records);
	*batch = (struct journal_batch){ 0 };
}

/* Losing this file costs a repeat that the registry recognises, so it is not synced. */
static void ack_write(struct journal *j, uint64_t no)
{
	BOX_CLEANUP(fd_closep)
	int fd = openat(j->dir_fd, ACK_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)no);

	if (fd < 0 || write(fd, text, (size_t)len) != len ||
	    renameat(j->dir_fd, ACK_NAME ".new", j->dir_fd, ACK_NAME) < 0)
		log_warn("spool.ack_not_kept", F_STR("reason", strerrorname_np(errno)));
}

static uint64_t ack_read(struct journal *j)
{
	BOX_CLEANUP(fd_closep) int fd = openat(j->dir_fd, ACK_NAME, O_RDONLY | O_CLOEXEC);
	char text[24] = "";
	uint64_t no;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	return n > 0 && parse_u64(text, 0, UINT64_MAX, &no) == 0 ? no : 0;
}

void journal_commit(struct journal *j, uint64_t no)
{
	(void)pthread_mutex_lock(&j->sync_lock);
	(void)pthread_mutex_lock(&j->lock);
	if (no > j->committed_no) {
		j->committed_no = no;
		/* A power cut took records that had been shipped; their numbers are taken. */
		if (j->next_no <= no)
			j->next_no = no + 1;
		if (j->read_end.no == no + 1)
			j->next = j->read_end;
		ack_write(j, no);
		segments_drop_done(j);
	}
	(void)pthread_mutex_unlock(&j->lock);
	(void)pthread_mutex_unlock(&j->sync_lock);
}

/* ---- life ----------------------------------------------------------------------------------- */

static struct journal *journal_new(const char *root, const char *origin,
				   const struct journal_kinds *kinds)
{
	struct journal *j = mem_alloc(sizeof(*j));

	(void)snprintf(j->origin, sizeof(j->origin), "%s", origin);
	j->kinds = *kinds;
	j->root = mem_strdup(root);
	j->path = mem_printf("%s/%s", root, origin);
	j->dir_fd = -1;
	j->next_no = 1;
	j->segment_max = JOURNAL_SEGMENT_MAX;
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_mutex_init(&j->sync_lock, NULL);
	return j;
}

void journal_bound(struct journal *j, uint64_t max_bytes)
{
	uint64_t eighth = max_bytes / 8;

	j->segment_max = eighth < JOURNAL_SEGMENT_MAX ? eighth : JOURNAL_SEGMENT_MAX;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->segment_count; i++)
		(void)close(j->segments[i].fd);
	for (size_t i = 0; i < j->start_count; i++)
		free(j->starts[i].key);
	if (j->dir_fd >= 0)
		(void)close(j->dir_fd);
	(void)pthread_mutex_destroy(&j->lock);
	(void)pthread_mutex_destroy(&j->sync_lock);
	free(j->segments);
	free(j->starts);
	free(j->root);
	free(j->path);
	free(j);
}
BOX_DEFINE_CLEANUP(struct journal *, journal_free)

void journal_remove(struct journal *j)
{
	char name[SEGMENT_NAME];

	for (size_t i = 0; i < j->segment_count; i++) {
		segment_name(j->segments[i].first_no, name);
		(void)unlinkat(j->dir_fd, name, 0);
	}
	(void)unlinkat(j->dir_fd, ACK_NAME ".new", 0);
	(void)unlinkat(j->dir_fd, ACK_NAME, 0);
	if (rmdir(j->path) < 0)
		log_warn("spool.not_removed", F_STR("reason", strerrorname_np(errno)));
	journal_free(j);
}

/* 0 with the lock; another process may delete the directory between open and lock. */
static int journal_lock(struct journal *j)
{
	struct stat by_fd, by_path;

	j->dir_fd = open(j->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (j->dir_fd < 0)
		return -ERR_NOT_FOUND;
	if (flock(j->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return -ERR_BUSY;
	if (fstat(j->dir_fd, &by_fd) < 0 || stat(j->path, &by_path) < 0 ||
	    by_fd.st_ino != by_path.st_ino || by_fd.st_dev != by_path.st_dev)
		return -ERR_NOT_FOUND;
	return 0;
}

/* A new name survives a power cut only with the directory that holds it. */
static void dir_sync(const char *path)
{
	BOX_CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		log_warn("spool.directory_not_synced", F_STR("reason", strerrorname_np(errno)));
}

int journal_create(const char *root, const char *origin, const struct journal_kinds *kinds,
		   struct journal **ret, struct err *err)
{
	BOX_CLEANUP(journal_freep) struct journal *j = journal_new(root, origin, kinds);

	if (mkdir(j->path, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_UNAVAILABLE, "the spool cannot be made: %s",
			       strerrordesc_np(errno));
	if (journal_lock(j) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the spool is held by another process");
	if (!segment_new(j))
		return err_set(err, ERR_UNAVAILABLE, "the spool cannot be written: %s",
			       strerrordesc_np(errno));
	dir_sync(root);
	*ret = TAKE(j);
	return 0;
}

/* Reads a segment through and cuts it behind the last sound entry. */
static void segment_scan(struct journal *j, struct segment *s)
{
	struct stat st;
	uint64_t end = fstat(s->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	struct window w = WINDOW_OF(s->fd, end);

	while (s->size < end) {
		PB(Record) * record;
		uint64_t size;

		if (entry_read(&w, s->size, &record, &size) < 0)
			break;
		starts_note(j, record, s, s->size);
		s->last_no = record->no;
		s->size += size;
		msg_free(&record->base);
	}
	window_done(&w);
	if (s->size < end) {
		log_warn("spool.torn_entry_cut", F_STR("origin", j->origin),
			 F_UINT("bytes", end - s->size));
		if (ftruncate(s->fd, (off_t)s->size) < 0)
			log_error("spool.cut_failed", F_STR("reason", strerrorname_np(errno)));
	}
	j->bytes += s->size;
	if (s->last_no >= j->next_no)
		j->next_no = s->last_no + 1;
}

static int is_segment(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return len == 20 && strcmp(e->d_name + 16, ".seg") == 0;
}

static int journal_scan(struct journal *j)
{
	struct dirent **names;
	int count = scandir(j->path, &names, is_segment,
			    alphasort); /* hex of one width sorts by number */

	if (count < 0)
		return -ERR_UNAVAILABLE;
	for (int i = 0; i < count; i++) {
		uint64_t first_no = strtoull(names[i]->d_name, NULL, 16);
		int fd = openat(j->dir_fd, names[i]->d_name,
				O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0)
			segment_scan(j, segment_push(j, first_no, fd));
		free(names[i]);
	}
	free(names);
	j->committed_no = ack_read(j);
	/* Torn off records may have been shipped already. */
	if (j->next_no <= j->committed_no)
		j->next_no = j->committed_no + 1;
	return 0;
}

int journal_adopt(const char *root, const char *origin, const struct journal_kinds *kinds,
		  struct journal **ret, struct err *err)
{
	BOX_CLEANUP(journal_freep) struct journal *j = journal_new(root, origin, kinds);
	int r = journal_lock(j);

	if (r == -ERR_BUSY)
		return err_set(err, ERR_BUSY, "the spool is held by another process");
	if (r < 0)
		return err_set(err, ERR_NOT_FOUND, "the spool is gone");
	if (journal_scan(j) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the spool cannot be read");
	*ret = TAKE(j);
	return 0;
}

/* ---- ends for starts without one ------------------------------------------------------------ */

static int start_read(struct journal *j, const struct start *start, PB(Record) * *ret)
{
	const struct segment *s = segment_find(j, start->segment_no);
	struct window w;
	uint64_t size;
	int r;

	if (!s)
		return -ERR_NOT_FOUND;
	w = (struct window)WINDOW_OF(s->fd, s->size);
	r = entry_read(&w, start->offset, ret, &size);
	window_done(&w);
	return r;
}

static int append_unknown_end(struct journal *j, const PB(Record) * start, struct err *err)
{
	static const char unknown[] = "the process that recorded the start ended before the end";
	PB(Record) end = *start;
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	PB(EgressRecord) egress = MCPBOX__V1__EGRESS_RECORD__INIT;

	end.no = 0;
	end.at_unix_ms = 0;
	end.kind = (PB(Record__Kind))j->kinds.end;
	if (start->call) {
		call = *start->call;
		call.outcome = (char *)"unknown";
		call.error = pb_text(unknown);
		end.call = &call;
	}
	if (start->egress) {
		egress = *start->egress;
		egress.error = pb_text("outcome unknown");
		end.egress = &egress;
	}
	return journal_append(j, &end, err);
}

int journal_end_open(struct journal *j, struct err *err)
{
	while (j->start_count > 0) {
		ProtobufCMessage *m = NULL;
		PB(Record) * start;
		int r = start_read(j, &j->starts[0], &start);

		if (r < 0)
			return err_set(err, ERR_UNAVAILABLE, "the spool cannot be read");
		m = &start->base;
		r = append_unknown_end(j, start, err); /* takes it off the list */
		msg_free(m);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- numbers -------------------------------------------------------------------------------- */

const char *journal_origin(const struct journal *j)
{
	return j->origin;
}

uint64_t journal_pending(struct journal *j)
{
	uint64_t n;

	(void)pthread_mutex_lock(&j->lock);
	n = j->next_no - 1 - j->committed_no;
	(void)pthread_mutex_unlock(&j->lock);
	return n;
}

uint64_t journal_bytes(struct journal *j)
{
	uint64_t n;

	(void)pthread_mutex_lock(&j->lock);
	n = j->bytes;
	(void)pthread_mutex_unlock(&j->lock);
	return n;
}

size_t journal_open_starts(struct journal *j)
{
	size_t n;

	(void)pthread_mutex_lock(&j->lock);
	n = j->start_count;
	(void)pthread_mutex_unlock(&j->lock);
	return n;
}
