#include "session.h"

#include <pthread.h>
#include <string.h>
#include "clock.h"
#include "err.h"
#include "mem.h"
#include "parse.h"

/* Id = base64 of: format 1, version 1, created 8 (big-endian), serial 16, zero 4, MAC 30 of 32. */
enum { FORMAT = 1, AT_VERSION = 1, AT_CREATED = 2, AT_SERIAL = 10, BODY_SIZE = 30, MAC_SIZE = 30 };

struct note {
	uint8_t serial[SESSION_SERIAL];
	bool is_used, is_ended;
	int8_t level;
};
struct generation {
	struct note *slots; /* SESSION_NOTES * 2, open addressing */
	size_t used;
};
struct sessions {
	uint8_t key[CRYPTO_KEY_SIZE];
	pthread_mutex_t lock; /* guards the generations */
	struct generation young, old;
};

#define SLOT_COUNT (SESSION_NOTES * 2)

struct sessions *sessions_new(const uint8_t key[CRYPTO_KEY_SIZE])
{
	struct sessions *s = mem_alloc(sizeof(*s));

	memcpy(s->key, key, sizeof(s->key));
	(void)pthread_mutex_init(&s->lock, NULL);
	s->young.slots = mem_alloc_array(SLOT_COUNT, sizeof(struct note));
	s->old.slots = mem_alloc_array(SLOT_COUNT, sizeof(struct note));
	return s;
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	crypto_wipe(s->key, sizeof(s->key));
	(void)pthread_mutex_destroy(&s->lock);
	free(s->young.slots);
	free(s->old.slots);
	free(s);
}

static void mac(const struct sessions *s, const uint8_t body[BODY_SIZE],
		uint8_t ret[CRYPTO_HASH_SIZE])
{
	crypto_keyed_hash(s->key, body, BODY_SIZE, ret);
}

void session_new(struct sessions *s, enum mcp_version version, struct session *ret,
		 char ret_id[SESSION_ID_SIZE])
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	uint8_t token[BODY_SIZE + CRYPTO_HASH_SIZE] = { FORMAT, (uint8_t)version };

	*ret = (struct session){ .version = version, .created_unix_s = clock_unix_ms() / 1000 };
	crypto_random(ret->serial, sizeof(ret->serial));
	for (int i = 0; i < 8; i++)
		token[AT_CREATED + i] = (uint8_t)((uint64_t)ret->created_unix_s >> (56 - 8 * i));
	memcpy(token + AT_SERIAL, ret->serial, SESSION_SERIAL);
	mac(s, token, token + BODY_SIZE);
	text = format_base64(token, BODY_SIZE + MAC_SIZE);
	memcpy(ret_id, text, strlen(text) + 1);
}

/* The slot of a serial, or the free one where it would go.  Random serials need no hash. */
static struct note *slot_of(struct generation *g, const uint8_t *serial)
{
	uint32_t at;

	memcpy(&at, serial, sizeof(at));
	for (at %= SLOT_COUNT; g->slots[at].is_used; at = (at + 1) % SLOT_COUNT) {
		if (memcmp(g->slots[at].serial, serial, SESSION_SERIAL) == 0)
			break;
	}
	return &g->slots[at];
}

/* Under the lock: what is known of a session, NULL when nothing is. */
static struct note *note_find(struct sessions *s, const uint8_t *serial)
{
	struct note *n = slot_of(&s->young, serial);

	if (!n->is_used)
		n = slot_of(&s->old, serial);
	return n->is_used ? n : NULL;
}

static void age(struct sessions *s)
{
	struct generation oldest = s->old;

	s->old = s->young;
	memset(oldest.slots, 0, SLOT_COUNT * sizeof(struct note));
	s->young = (struct generation){ oldest.slots, 0 };
}

/* Under the lock: the session's note, made when there is none. */
static struct note *note_make(struct sessions *s, const uint8_t *serial)
{
	struct note *n = note_find(s, serial);

	if (n)
		return n;
	if (s->young.used == SESSION_NOTES)
		age(s);
	n = slot_of(&s->young, serial);
	*n = (struct note){ .is_used = true, .level = SEVERITY_NONE };
	memcpy(n->serial, serial, SESSION_SERIAL);
	s->young.used++;
	return n;
}

static int unpack(const struct sessions *s, const char *id, struct session *ret)
{
	BOX_CLEANUP(mem_freep) uint8_t *token = NULL;
	uint8_t expected[CRYPTO_HASH_SIZE];
	uint64_t created = 0;
	size_t len = 0;

	if (strlen(id) >= SESSION_ID_SIZE || parse_base64(id, strlen(id), &token, &len) < 0 ||
	    len != BODY_SIZE + MAC_SIZE)
		return -ERR_NOT_FOUND;
	mac(s, token, expected);
	if (!crypto_equal(expected, token + BODY_SIZE, MAC_SIZE) || token[0] != FORMAT ||
	    token[AT_VERSION] == MCP_NONE || token[AT_VERSION] > MCP_LEGACY_NEWEST)
		return -ERR_NOT_FOUND;
	for (int i = 0; i < 8; i++)
		created = created << 8 | token[AT_CREATED + i];
	*ret = (struct session){ .version = (enum mcp_version)token[AT_VERSION],
				 .created_unix_s = (int64_t)created };
	memcpy(ret->serial, token + AT_SERIAL, SESSION_SERIAL);
	return 0;
}

int session_find(struct sessions *s, const char *id, struct session *ret)
{
	struct session found;
	struct note *n;
	bool is_ended;

	if (unpack(s, id, &found) < 0 ||
	    found.created_unix_s + SESSION_MAX_AGE_S < clock_unix_ms() / 1000)
		return -ERR_NOT_FOUND;
	(void)pthread_mutex_lock(&s->lock);
	n = note_find(s, found.serial);
	is_ended = n && n->is_ended;
	(void)pthread_mutex_unlock(&s->lock);
	if (is_ended)
		return -ERR_NOT_FOUND;
	*ret = found;
	return 0;
}

void session_end(struct sessions *s, const struct session *session)
{
	(void)pthread_mutex_lock(&s->lock);
	note_make(s, session->serial)->is_ended = true;
	(void)pthread_mutex_unlock(&s->lock);
}

void session_set_level(struct sessions *s, const struct session *session, enum log_severity level)
{
	(void)pthread_mutex_lock(&s->lock);
	note_make(s, session->serial)->level = (int8_t)level;
	(void)pthread_mutex_unlock(&s->lock);
}

enum log_severity session_level(struct sessions *s, const struct session *session)
{
	struct note *n;
	enum log_severity level;

	(void)pthread_mutex_lock(&s->lock);
	n = note_find(s, session->serial);
	level = n ? (enum log_severity)n->level : SEVERITY_NONE;
	(void)pthread_mutex_unlock(&s->lock);
	return level;
}
