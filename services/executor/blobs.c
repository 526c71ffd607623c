#include "blobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "mem.h"

#define BUCKETS  1024u
#define BLOB_MAX ((size_t)4 * 1024 * 1024)

struct blob {
	atomic_uint refs; /* the cache holds one while it is listed */
	uint8_t hash[CRYPTO_HASH_SIZE];
	uint8_t *data;
	size_t len;
	struct blob *next;          /* in its bucket; guarded by blobs.lock */
	struct blob *newer, *older; /* by use; guarded by blobs.lock */
};

struct blobs {
	pthread_mutex_t lock; /* guards all below */
	struct blob *buckets[BUCKETS];
	struct blob *newest, *oldest;
	size_t bytes, max_bytes;
};

struct blobs *blobs_new(size_t max_bytes)
{
	struct blobs *b = mem_alloc(sizeof(*b));

	(void)pthread_mutex_init(&b->lock, NULL);
	b->max_bytes = max_bytes;
	return b;
}

struct blob *blob_ref(struct blob *blob)
{
	atomic_fetch_add(&blob->refs, 1);
	return blob;
}

void blob_unref(struct blob *blob)
{
	if (atomic_fetch_sub(&blob->refs, 1) == 1) {
		free(blob->data);
		free(blob);
	}
}

void blobs_free(struct blobs *b)
{
	struct blob *blob = b ? b->newest : NULL;

	while (blob) {
		struct blob *older = blob->older;

		blob_unref(blob);
		blob = older;
	}
	if (b)
		(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct blob **bucket_of(struct blobs *b, const uint8_t *hash)
{
	return &b->buckets[(hash[0] | (unsigned)hash[1] << 8) % BUCKETS];
}

static struct blob *find(struct blobs *b, const uint8_t *hash)
{
	struct blob *blob = *bucket_of(b, hash);

	while (blob && memcmp(blob->hash, hash, CRYPTO_HASH_SIZE) != 0)
		blob = blob->next;
	return blob;
}

static void unlink_use(struct blobs *b, struct blob *blob)
{
	*(blob->newer ? &blob->newer->older : &b->newest) = blob->older;
	*(blob->older ? &blob->older->newer : &b->oldest) = blob->newer;
}

static void link_newest(struct blobs *b, struct blob *blob)
{
	blob->newer = NULL;
	blob->older = b->newest;
	*(b->newest ? &b->newest->newer : &b->oldest) = blob;
	b->newest = blob;
}

static void forget_oldest(struct blobs *b)
{
	struct blob *blob = b->oldest;
	struct blob **at = bucket_of(b, blob->hash);

	while (*at != blob)
		at = &(*at)->next;
	*at = blob->next;
	unlink_use(b, blob);
	b->bytes -= blob->len;
	blob_unref(blob);
}

static void insert(struct blobs *b, const uint8_t *hash, const void *data, size_t len)
{
	struct blob *blob = mem_alloc(sizeof(*blob));
	struct blob **bucket = bucket_of(b, hash);

	atomic_init(&blob->refs, 1);
	memcpy(blob->hash, hash, CRYPTO_HASH_SIZE);
	blob->data = mem_dup(data, len);
	blob->len = len;
	blob->next = *bucket;
	*bucket = blob;
	link_newest(b, blob);
	b->bytes += len;
	while (b->bytes > b->max_bytes && b->oldest != blob)
		forget_oldest(b);
}

int blobs_put(struct blobs *b, const PB(Blob) * from, struct err *err)
{
	uint8_t hash[CRYPTO_HASH_SIZE];

	if (from->data.len > BLOB_MAX)
		return err_set(err, ERR_TOO_LARGE, "a blob is larger than %zu bytes", BLOB_MAX);
	crypto_hash(from->data.data, from->data.len, hash);
	if (from->hash.len != sizeof(hash) || memcmp(from->hash.data, hash, sizeof(hash)) != 0)
		return err_set(err, ERR_INVALID, "a blob has another hash than claimed");
	(void)pthread_mutex_lock(&b->lock);
	if (!find(b, hash))
		insert(b, hash, from->data.data, from->data.len);
	(void)pthread_mutex_unlock(&b->lock);
	return 0;
}

struct blob *blobs_get(struct blobs *b, ProtobufCBinaryData hash)
{
	struct blob *blob = NULL;

	if (hash.len != CRYPTO_HASH_SIZE)
		return NULL;
	(void)pthread_mutex_lock(&b->lock);
	blob = find(b, hash.data);
	if (blob) {
		atomic_fetch_add(&blob->refs, 1);
		unlink_use(b, blob);
		link_newest(b, blob);
	}
	(void)pthread_mutex_unlock(&b->lock);
	return blob;
}

const uint8_t *blob_data(const struct blob *blob, size_t *ret_len)
{
	*ret_len = blob->len;
	return blob->data;
}
