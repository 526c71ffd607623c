#include "seen.h"

#include <string.h>
#include "mem.h"

struct seen *seen_new(void)
{
	struct seen *s = mem_alloc(sizeof(*s));

	crypto_random(s->key, sizeof(s->key));
	return s;
}

void seen_free(struct seen *s)
{
	free(s);
}

static uint64_t number_of(const struct seen *s, const char *id)
{
	uint8_t hash[CRYPTO_HASH_SIZE];
	uint64_t n;

	crypto_keyed_hash(s->key, id, strlen(id), hash);
	memcpy(&n, hash, sizeof(n));
	return n ? n : 1;
}

/* The slot of n, or the free one where it belongs.  The table is never more than half full. */
static uint64_t *slot_of(uint64_t *table, uint64_t n)
{
	uint32_t i = (uint32_t)n & (SEEN_ROOM - 1);

	while (table[i] != 0 && table[i] != n)
		i = (i + 1) & (SEEN_ROOM - 1);
	return &table[i];
}

bool seen_accept(struct seen *s, const char *id)
{
	uint64_t n = number_of(s, id);
	uint64_t *slot = slot_of(s->ids[0], n);

	if (*slot == n || *slot_of(s->ids[1], n) == n)
		return false;
	if (s->used >= SEEN_ROOM / 2) {
		memcpy(s->ids[1], s->ids[0], sizeof(s->ids[1]));
		memset(s->ids[0], 0, sizeof(s->ids[0]));
		s->used = 0;
		slot = slot_of(s->ids[0], n);
	}
	*slot = n;
	s->used++;
	return true;
}
