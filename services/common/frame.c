#include "frame.h"

#include <endian.h>
#include <string.h>

#include "crypto.h"
#include "err.h"
#include "keys.h"
#include "msg.h"

static const char magic[4] = { 'M', 'B', 'X', '1' };

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_NONE] = "none",         [ROLE_REGISTRY] = "registry", [ROLE_GATEWAY] = "gateway",
	[ROLE_EXECUTOR] = "executor", [ROLE_EGRESS] = "egress",     [ROLE_ADMIN] = "admin",
	[ROLE_OPS] = "ops",
};

const char *role_name(enum bus_role role)
{
	return (unsigned)role < ROLE_COUNT ? role_names[role] : "unknown";
}

enum bus_role role_from_name(const char *name)
{
	for (unsigned role = ROLE_NONE + 1; role < ROLE_COUNT; role++)
		if (strcmp(role_names[role], name) == 0)
			return (enum bus_role)role;
	return ROLE_NONE;
}

/* The header as it lies on the wire; the compiler adds no padding, every field is naturally
 * aligned. */
struct wire_header {
	char magic[4];
	uint8_t version;
	uint8_t kind;
	uint16_t msg;
	uint32_t key_generation;
	uint8_t from, to;
	uint8_t zero[2];
	uint8_t from_boot[BOOT_ID_SIZE];
	uint8_t to_boot[BOOT_ID_SIZE];
	uint64_t counter;
	uint8_t request_id[REQUEST_ID_SIZE];
	uint64_t reply_to;
};
_Static_assert(sizeof(struct wire_header) == FRAME_HEADER, "wire layout");
_Static_assert(FRAME_OVERHEAD == FRAME_HEADER + CRYPTO_NONCE_SIZE + CRYPTO_TAG_SIZE, "overhead");

static void header_write(struct wire_header *w, const struct frame_header *h)
{
	memset(w, 0, sizeof(*w));
	memcpy(w->magic, magic, sizeof(magic));
	w->version = FRAME_PROTOCOL;
	w->kind = (uint8_t)h->kind;
	w->msg = htole16(h->msg);
	w->key_generation = htole32(h->key_generation);
	w->from = (uint8_t)h->from;
	w->to = (uint8_t)h->to;
	memcpy(w->from_boot, h->from_boot, BOOT_ID_SIZE);
	memcpy(w->to_boot, h->to_boot, BOOT_ID_SIZE);
	w->counter = htole64(h->counter);
	memcpy(w->request_id, h->request_id, REQUEST_ID_SIZE);
	w->reply_to = htole64(h->reply_to);
}

static void header_read(struct frame_header *h, const struct wire_header *w)
{
	h->kind = (enum frame_kind)w->kind;
	h->msg = le16toh(w->msg);
	h->key_generation = le32toh(w->key_generation);
	h->from = (enum bus_role)w->from;
	h->to = (enum bus_role)w->to;
	memcpy(h->from_boot, w->from_boot, BOOT_ID_SIZE);
	memcpy(h->to_boot, w->to_boot, BOOT_ID_SIZE);
	h->counter = le64toh(w->counter);
	memcpy(h->request_id, w->request_id, REQUEST_ID_SIZE);
	h->reply_to = le64toh(w->reply_to);
}

static const uint8_t *news_key(const struct keys *keys, const struct frame_header *h)
{
	if (h->from != ROLE_REGISTRY || h->to != ROLE_NONE)
		return NULL;
	switch (h->msg) {
	case MSG_NEWS_STATUS:
		return keys_news(keys, NEWS_STATUS, h->key_generation);
	case MSG_NEWS_AUDIT:
		return keys_news(keys, NEWS_AUDIT, h->key_generation);
	default:
		return NULL;
	}
}

static const uint8_t *header_key(const struct keys *keys, const struct frame_header *h)
{
	return h->kind == FRAME_NEWS ? news_key(keys, h)
				     : keys_pair(keys, h->from, h->to, h->key_generation);
}

int frame_seal(const struct keys *keys, const struct frame_header *h, const void *payload,
	       size_t len, struct buf *ret)
{
	const uint8_t *key = header_key(keys, h);
	struct wire_header w;
	uint8_t *at;

	if (!key)
		return -ERR_DENIED;
	if (len > FRAME_MAX - FRAME_OVERHEAD)
		return -ERR_TOO_LARGE;
	at = buf_grow(ret, len + FRAME_OVERHEAD);
	if (!at)
		return -ERR_TOO_LARGE;
	header_write(&w, h);
	memcpy(at, &w, sizeof(w));
	crypto_random(at + FRAME_HEADER, CRYPTO_NONCE_SIZE);
	crypto_seal(key, at + FRAME_HEADER, at, FRAME_HEADER, payload, len,
		    at + FRAME_HEADER + CRYPTO_NONCE_SIZE);
	ret->len += len + FRAME_OVERHEAD;
	ret->data[ret->len] = 0;
	return 0;
}

/* Bytes that a sealer of ours never writes; each is refused before a key is touched. */
static bool header_has_shape(const struct wire_header *w, enum bus_role self)
{
	bool is_news = w->kind == FRAME_NEWS;

	if (w->kind < FRAME_REQUEST || w->kind > FRAME_NEWS)
		return false;
	if (w->from == ROLE_NONE || w->from >= ROLE_COUNT)
		return false;
	if (w->to != (is_news ? ROLE_NONE : self))
		return false;
	if (w->zero[0] != 0 || w->zero[1] != 0 || w->counter == 0)
		return false;
	return w->kind == FRAME_REPLY || w->reply_to == 0;
}

int frame_open(const struct keys *keys, enum bus_role self, const void *frame, size_t len,
	       struct frame_header *ret_header, struct buf *ret_payload)
{
	const uint8_t *bytes = frame;
	struct frame_header h;
	struct wire_header w;
	const uint8_t *key;
	uint8_t *plain;
	size_t plain_len;

	if (len < FRAME_OVERHEAD || len > FRAME_MAX)
		return -ERR_INVALID;
	memcpy(&w, bytes, sizeof(w));
	if (memcmp(w.magic, magic, sizeof(magic)) != 0)
		return -ERR_INVALID;
	if (w.version != FRAME_PROTOCOL)
		return -ERR_UNSUPPORTED;
	if (!header_has_shape(&w, self))
		return -ERR_INVALID;
	header_read(&h, &w);
	key = header_key(keys, &h);
	if (!key)
		return -ERR_DENIED;
	plain_len = len - FRAME_OVERHEAD;
	plain = buf_grow(ret_payload, plain_len);
	if (!plain)
		return -ERR_TOO_LARGE;
	if (crypto_open(key, bytes + FRAME_HEADER, bytes, FRAME_HEADER,
			bytes + FRAME_HEADER + CRYPTO_NONCE_SIZE, plain_len + CRYPTO_TAG_SIZE,
			plain) < 0)
		return -ERR_DENIED;
	plain[plain_len] = '\0';
	ret_payload->len += plain_len;
	*ret_header = h;
	return 0;
}

static bool window_test_and_set(struct frame_window *w, uint64_t counter)
{
	uint64_t slot = counter % FRAME_WINDOW_BITS;
	uint64_t bit = 1ull << (slot % 64);

	if (w->seen[slot / 64] & bit)
		return false;
	w->seen[slot / 64] |= bit;
	return true;
}

bool frame_window_accept(struct frame_window *w, uint64_t counter)
{
	if (counter == 0)
		return false;
	if (counter > w->highest) {
		uint64_t step = counter - w->highest;

		/* The slots between the old and the new top belong to counters not seen yet. */
		if (step >= FRAME_WINDOW_BITS)
			memset(w->seen, 0, sizeof(w->seen));
		else
			for (uint64_t c = w->highest + 1; c <= counter; c++)
				w->seen[c % FRAME_WINDOW_BITS / 64] &=
					~(1ull << (c % FRAME_WINDOW_BITS % 64));
		w->highest = counter;
	} else if (w->highest - counter >= FRAME_WINDOW_BITS) {
		return false;
	}
	return window_test_and_set(w, counter);
}
