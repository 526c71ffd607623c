#include "blobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "mem.h"

#define SETS 256u
#define WAYS \
	8u /* places for hashes that fall into one set; a ninth pushes out the least used of them */
#define BLOB_MAX ((size_t)4 * 1024 * 1024)

struct blob {
	atomic_uint refs; /* the cache holds one while it is in a place */
	uint8_t hash[CRYPTO_HASH_SIZE];
	uint8_t *data;
	size_t len;
};

struct place {
	struct blob *blob; /* NULL: free */
	uint64_t used_at;  /* by blobs.clock */
};

struct blobs {
	pthread_mutex_t lock; /* guards all below */
	struct place places[SETS][WAYS];
	uint64_t clock;
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

static void empty_place(struct blobs *b, struct place *place)
{
	if (!place->blob)
		return;
	b->bytes -= place->blob->len;
	blob_unref(TAKE(place->blob));
}

void blobs_free(struct blobs *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < SETS * WAYS; i++)
		empty_place(b, &b->places[i / WAYS][i % WAYS]);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct place *find(struct blobs *b, const uint8_t *hash)
{
	struct place *set = b->places[hash[0] % SETS];

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].blob && memcmp(set[i].blob->hash, hash, CRYPTO_HASH_SIZE) == 0)
			return &set[i];
	}
	return NULL;
}

/* Of count places the free one, else the least recently used. */
static struct place *least_used(struct place *places, size_t count)
{
	struct place *least = &places[0];

	for (size_t i = 1; i < count && least->blob; i++) {
		if (!places[i].blob || places[i].used_at < least->used_at)
			least = &places[i];
	}
	return least;
}

/* Makes room for len bytes more. */
static void shrink(struct blobs *b, size_t len)
{
	while (b->bytes > 0 && b->bytes + len > b->max_bytes) {
		struct place *oldest = NULL;

		for (size_t i = 0; i < SETS * WAYS; i++) {
			struct place *place = &b->places[i / WAYS][i % WAYS];

			if (place->blob && (!oldest || place->used_at < oldest->used_at))
				oldest = place;
		}
		if (!oldest)
			return;
		empty_place(b, oldest);
	}
}

static void insert(struct blobs *b, const uint8_t *hash, const void *data, size_t len)
{
	struct blob *blob = mem_alloc(sizeof(*blob));
	struct place *place;

	atomic_init(&blob->refs, 1);
	memcpy(blob->hash, hash, CRYPTO_HASH_SIZE);
	blob->data = mem_dup(data, len);
	blob->len = len;
	shrink(b, len);
	place = least_used(b->places[hash[0] % SETS], WAYS);
	empty_place(b, place);
	*place = (struct place){ .blob = blob, .used_at = ++b->clock };
	b->bytes += len;
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
	struct place *place;

	if (hash.len != CRYPTO_HASH_SIZE)
		return NULL;
	(void)pthread_mutex_lock(&b->lock);
	place = find(b, hash.data);
	if (place) {
		place->used_at = ++b->clock;
		blob = blob_ref(place->blob);
	}
	(void)pthread_mutex_unlock(&b->lock);
	return blob;
}

const uint8_t *blob_data(const struct blob *blob, size_t *ret_len)
{
	*ret_len = blob->len;
	return blob->data;
}
