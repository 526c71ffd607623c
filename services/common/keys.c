#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "parse.h"

#define KEYS_FILE_MAX (64u * 1024)
#define ENTRIES_MAX   256
#define LINE_WORDS    5

enum entry_kind {
	ENTRY_PAIR = 1,
	ENTRY_NEWS,
	ENTRY_SIGN_PUBLIC,
	ENTRY_SIGN_SECRET,
	ENTRY_BOX,
	ENTRY_BOX_PUBLIC
};

struct entry {
	enum entry_kind kind;
	uint32_t generation;
	uint8_t a, b; /* pair: from, to; news: topic; box: role */
	uint8_t key[CRYPTO_SIGN_SECRET_SIZE];
};

struct keys {
	enum bus_role role;
	uint32_t generation;
	struct secret *memory; /* the entries: guarded, locked, wiped */
	struct entry *entries;
	size_t count;
};

/* Who asks whom.  Both directions of such a pair get a key; nobody else shares one. */
static const uint32_t asks[ROLE_COUNT] = {
	[ROLE_REGISTRY] = FROM(ROLE_EXECUTOR) | FROM(ROLE_EGRESS),
	[ROLE_GATEWAY] =
		FROM(ROLE_REGISTRY) | FROM(ROLE_EXECUTOR) | FROM(ROLE_GATEWAY) | FROM(ROLE_EGRESS),
	[ROLE_EXECUTOR] = FROM(ROLE_REGISTRY) | FROM(ROLE_EGRESS),
	[ROLE_EGRESS] = FROM(ROLE_REGISTRY),
	[ROLE_ADMIN] = FROM(ROLE_REGISTRY),
	[ROLE_OPS] = FROM(ROLE_REGISTRY),
};

/* Who may hear the news of a topic. */
static const struct {
	const char *name;
	uint32_t roles;
} topics[NEWS_COUNT] = {
	[NEWS_STATUS] = { "status", FROM(ROLE_REGISTRY) | FROM(ROLE_GATEWAY) | FROM(ROLE_EXECUTOR) |
					    FROM(ROLE_EGRESS) | FROM(ROLE_ADMIN) | FROM(ROLE_OPS) },
	[NEWS_AUDIT] = { "audit", FROM(ROLE_REGISTRY) | FROM(ROLE_ADMIN) | FROM(ROLE_OPS) },
};

/* Roles to which secrets are sealed. */
static const uint32_t box_roles = FROM(ROLE_EGRESS) | FROM(ROLE_EXECUTOR);

static bool is_pair(enum bus_role a, enum bus_role b)
{
	return (asks[a] & FROM(b)) || (asks[b] & FROM(a));
}

static struct keys *keys_new(void)
{
	struct keys *k = mem_alloc(sizeof(*k));
	uintptr_t start;

	/* Guarded memory ends at a page's end, so it begins unaligned. */
	k->memory = secret_new(NULL, (ENTRIES_MAX + 1) * sizeof(struct entry));
	start = (uintptr_t)k->memory->data;
	k->entries = (void *)(k->memory->data + (-start % _Alignof(struct entry)));
	return k;
}

void keys_free(struct keys *k)
{
	if (!k)
		return;
	secret_free(k->memory);
	free(k);
}
BOX_DEFINE_CLEANUP(struct keys *, keys_free)

static const struct entry *keys_find(const struct keys *k, enum entry_kind kind, unsigned a,
				     unsigned b, uint32_t generation)
{
	for (size_t i = 0; i < k->count; i++) {
		const struct entry *e = &k->entries[i];

		if (e->kind == kind && e->generation == generation && e->a == a && e->b == b)
			return e;
	}
	return NULL;
}

static struct entry *keys_add(struct keys *k, enum entry_kind kind, unsigned a, unsigned b,
			      uint32_t generation)
{
	struct entry *e;

	if (k->count == ENTRIES_MAX || keys_find(k, kind, a, b, generation))
		return NULL;
	e = &k->entries[k->count++];
	e->kind = kind;
	e->a = (uint8_t)a;
	e->b = (uint8_t)b;
	e->generation = generation;
	return e;
}

/* ---- reading a file ------------------------------------------------------------------------- */

struct line {
	char *word[LINE_WORDS];
	size_t count;
	size_t number;
};

static int line_refuse(struct err *err, const struct line *line, const char *what)
{
	return err_set(err, ERR_INVALID, "key file, line %zu: %s", line->number, what);
}

/* Single spaces between words; anything else is refused, so that a file has one spelling. */
static int line_split(struct line *line, char *text, struct err *err)
{
	line->count = 0;
	for (char *rest = text, *word; (word = strsep(&rest, " "));) {
		if (*word == '\0' || line->count == LINE_WORDS)
			return line_refuse(err, line, "words are separated by one space");
		line->word[line->count++] = word;
	}
	return 0;
}

/* Reads "<generation> <hex>", the last two words of every key line. */
static int line_read_key(struct keys *k, const struct line *line, enum entry_kind kind, unsigned a,
			 unsigned b, struct err *err)
{
	uint64_t generation;
	struct entry *e;

	if (parse_u64(line->word[line->count - 2], 1, UINT32_MAX, &generation) < 0)
		return line_refuse(err, line, "bad generation");
	e = keys_add(k, kind, a, b, (uint32_t)generation);
	if (!e)
		return line_refuse(err, line, "given twice, or too many keys");
	if (parse_hex(line->word[line->count - 1], e->key, CRYPTO_KEY_SIZE) < 0)
		return line_refuse(err, line, "a key is 64 hexadecimal digits");
	return 0;
}

static int read_role(struct keys *k, const struct line *line, struct err *err)
{
	if (k->role != ROLE_NONE)
		return line_refuse(err, line, "given twice");
	k->role = role_from_name(line->word[1]);
	return k->role == ROLE_NONE ? line_refuse(err, line, "unknown role") : 0;
}

static int read_generation(struct keys *k, const struct line *line, struct err *err)
{
	uint64_t generation;

	if (k->generation != 0)
		return line_refuse(err, line, "given twice");
	if (parse_u64(line->word[1], 1, UINT32_MAX, &generation) < 0)
		return line_refuse(err, line, "bad generation");
	k->generation = (uint32_t)generation;
	return 0;
}

static int read_pair(struct keys *k, const struct line *line, struct err *err)
{
	enum bus_role from = role_from_name(line->word[1]);
	enum bus_role to = role_from_name(line->word[2]);

	if (from == ROLE_NONE || to == ROLE_NONE || (from != k->role && to != k->role))
		return line_refuse(err, line, "not a pair of this role");
	return line_read_key(k, line, ENTRY_PAIR, from, to, err);
}

static int read_news(struct keys *k, const struct line *line, struct err *err)
{
	for (unsigned topic = 0; topic < NEWS_COUNT; topic++)
		if (strcmp(line->word[1], topics[topic].name) == 0)
			return line_read_key(k, line, ENTRY_NEWS, topic, 0, err);
	return line_refuse(err, line, "unknown topic");
}

static int read_sign(struct keys *k, const struct line *line, struct err *err)
{
	return line_read_key(k, line, ENTRY_SIGN_PUBLIC, 0, 0, err);
}

static int read_box(struct keys *k, const struct line *line, struct err *err)
{
	if (k->role == ROLE_NONE || role_from_name(line->word[1]) != k->role)
		return line_refuse(err, line, "not of this role");
	return line_read_key(k, line, ENTRY_BOX, k->role, 0, err);
}

static const struct {
	const char *word;
	size_t words;
	int (*read)(struct keys *k, const struct line *line, struct err *err);
} line_kinds[] = {
	{ "role", 2, read_role }, { "generation", 2, read_generation },
	{ "pair", 5, read_pair }, { "news", 4, read_news },
	{ "sign", 3, read_sign }, { "box", 4, read_box },
};

static int keys_read_line(struct keys *k, char *text, size_t number, struct err *err)
{
	struct line line = { .number = number };
	int r = line_split(&line, text, err);

	if (r < 0)
		return r;
	if (number == 1) {
		if (line.count != 2 || strcmp(line.word[0], "mcpbox-keys") != 0 ||
		    strcmp(line.word[1], "1") != 0)
			return line_refuse(err, &line, "not a key file of this version");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(line_kinds); i++)
		if (line.count > 0 && strcmp(line.word[0], line_kinds[i].word) == 0) {
			if (line.count != line_kinds[i].words)
				return line_refuse(err, &line, "wrong number of words");
			return line_kinds[i].read(k, &line, err);
		}
	return line_refuse(err, &line, "unknown kind of line");
}

static int keys_read_lines(struct keys *k, char *text, size_t len, struct err *err)
{
	size_t number = 0;

	if (len == 0 || text[len - 1] != '\n' || memchr(text, '\0', len))
		return err_set(err, ERR_INVALID, "the key file is not text that ends in a newline");
	text[len - 1] = '\0';
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		int r = keys_read_line(k, line, ++number, err);

		if (r < 0)
			return r;
	}
	if (k->role == ROLE_NONE || k->generation == 0)
		return err_set(err, ERR_INVALID, "the key file names no role or no generation");
	return 0;
}

int keys_parse(const char *text, size_t len, struct keys **ret, struct err *err)
{
	BOX_CLEANUP(keys_freep) struct keys *k = NULL;
	BOX_CLEANUP(secret_freep) struct secret *copy = NULL;
	int r;

	if (len > KEYS_FILE_MAX)
		return err_set(err, ERR_TOO_LARGE, "the key file is too large");
	copy = secret_new(text, len);
	k = keys_new();
	r = keys_read_lines(k, (char *)copy->data, len, err);
	if (r < 0)
		return r;
	*ret = TAKE(k);
	return 0;
}

static int file_read(int fd, struct secret *into, size_t *ret_len)
{
	size_t len = 0;

	while (len < into->len) {
		ssize_t n = read(fd, into->data + len, into->len - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -ERR_UNAVAILABLE;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int keys_load(const char *path, struct keys **ret, struct err *err)
{
	BOX_CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	BOX_CLEANUP(secret_freep) struct secret *text = NULL;
	struct stat st;
	size_t len;

	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "the key file cannot be opened: %s",
			       strerrordesc_np(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "the key file is not a regular file");
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(err, ERR_DENIED,
			       "the key file can be read by others; it must have mode 0600");
	text = secret_new(NULL, KEYS_FILE_MAX + 1);
	if (file_read(fd, text, &len) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the key file cannot be read");
	return keys_parse((const char *)text->data, len, ret, err);
}

/* ---- deriving from the root ----------------------------------------------------------------- */

static void derive(const struct secret *root, const char *label, uint8_t ret[CRYPTO_KEY_SIZE])
{
	crypto_derive(root->data, label, ret);
}

/* A place for a key that cannot be there yet. */
static uint8_t *derived(struct keys *k, enum entry_kind kind, unsigned a, uint32_t generation)
{
	struct entry *e = keys_add(k, kind, a, 0, generation);

	box_assert(e);
	return e->key;
}

static void derive_pair(struct keys *k, const struct secret *root, enum bus_role from,
			enum bus_role to, uint32_t generation)
{
	struct entry *e = keys_add(k, ENTRY_PAIR, from, to, generation);
	char label[64];

	if (!e) /* the pair of a role with itself comes up in both directions */
		return;
	(void)snprintf(label, sizeof(label), "pair %s %s %u", role_name(from), role_name(to),
		       generation);
	derive(root, label, e->key);
}

static void derive_news(struct keys *k, const struct secret *root, uint32_t generation)
{
	char label[64];

	for (unsigned topic = 0; topic < NEWS_COUNT; topic++) {
		if (!(topics[topic].roles & FROM(k->role)))
			continue;
		(void)snprintf(label, sizeof(label), "news %s %u", topics[topic].name, generation);
		derive(root, label, derived(k, ENTRY_NEWS, topic, generation));
	}
}

static void derive_sign(struct keys *k, const struct secret *root, uint32_t generation)
{
	uint8_t seed[CRYPTO_KEY_SIZE], secret[CRYPTO_SIGN_SECRET_SIZE];
	char label[64];

	(void)snprintf(label, sizeof(label), "sign %u", generation);
	derive(root, label, seed);
	crypto_sign_keypair(seed, derived(k, ENTRY_SIGN_PUBLIC, 0, generation), secret);
	if (k->role == ROLE_REGISTRY)
		memcpy(derived(k, ENTRY_SIGN_SECRET, 0, generation), secret, sizeof(secret));
	crypto_wipe(seed, sizeof(seed));
	crypto_wipe(secret, sizeof(secret));
}

static void derive_box_seed(const struct secret *root, enum bus_role role, uint32_t generation,
			    uint8_t ret[CRYPTO_KEY_SIZE])
{
	char label[64];

	(void)snprintf(label, sizeof(label), "box %s %u", role_name(role), generation);
	derive(root, label, ret);
}

/* The role itself opens; the registry seals, and needs no more for that than the public half. */
static void derive_box(struct keys *k, const struct secret *root, uint32_t generation)
{
	uint8_t seed[CRYPTO_KEY_SIZE];

	if (box_roles & FROM(k->role))
		derive_box_seed(root, k->role, generation,
				derived(k, ENTRY_BOX, k->role, generation));
	for (unsigned role = 0; k->role == ROLE_REGISTRY && role < ROLE_COUNT; role++) {
		if (!(box_roles & FROM(role)))
			continue;
		derive_box_seed(root, (enum bus_role)role, generation, seed);
		crypto_box_keys(seed, derived(k, ENTRY_BOX_PUBLIC, role, generation));
	}
	crypto_wipe(seed, sizeof(seed));
}

static void derive_generation(struct keys *k, const struct secret *root, uint32_t generation)
{
	for (unsigned other = ROLE_NONE + 1; other < ROLE_COUNT; other++) {
		if (!is_pair(k->role, (enum bus_role)other))
			continue;
		derive_pair(k, root, k->role, (enum bus_role)other, generation);
		derive_pair(k, root, (enum bus_role)other, k->role, generation);
	}
	derive_news(k, root, generation);
	derive_sign(k, root, generation);
	derive_box(k, root, generation);
}

static int derive_judge(const struct secret *root, enum bus_role role, uint32_t generation,
			struct err *err)
{
	if (root->len != CRYPTO_KEY_SIZE || generation == 0)
		return err_set(err, ERR_INVALID, "the root key has another length");
	if (role == ROLE_NONE || role >= ROLE_COUNT)
		return err_set(err, ERR_INVALID, "no such role");
	return 0;
}

static struct keys *keys_derive(const struct secret *root, enum bus_role role, uint32_t generation)
{
	struct keys *k = keys_new();

	k->role = role;
	k->generation = generation;
	if (generation > 1)
		derive_generation(k, root, generation - 1);
	derive_generation(k, root, generation);
	return k;
}

int keys_from_root(const struct secret *root, uint32_t generation, struct keys **ret,
		   struct err *err)
{
	int r = derive_judge(root, ROLE_REGISTRY, generation, err);

	if (r == 0)
		*ret = keys_derive(root, ROLE_REGISTRY, generation);
	return r;
}

/* ---- writing a file ------------------------------------------------------------------------- */

static void entry_print(const struct entry *e, struct buf *out)
{
	char hex[2 * CRYPTO_KEY_SIZE + 1];

	switch (e->kind) {
	case ENTRY_PAIR:
		buf_printf(out, "pair %s %s", role_name((enum bus_role)e->a),
			   role_name((enum bus_role)e->b));
		break;
	case ENTRY_NEWS:
		buf_printf(out, "news %s", topics[e->a].name);
		break;
	case ENTRY_SIGN_PUBLIC:
		buf_add_str(out, "sign");
		break;
	case ENTRY_BOX:
		buf_printf(out, "box %s", role_name((enum bus_role)e->a));
		break;
	case ENTRY_SIGN_SECRET:
	case ENTRY_BOX_PUBLIC:
		return; /* the registry's own, and it derives them anew */
	}
	format_hex(e->key, CRYPTO_KEY_SIZE, hex);
	buf_printf(out, " %u %s\n", e->generation, hex);
	crypto_wipe(hex, sizeof(hex));
}

static int file_write(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ERR_UNAVAILABLE;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int keys_write_role(const struct secret *root, enum bus_role role, uint32_t generation, int fd,
		    struct err *err)
{
	BOX_CLEANUP(keys_freep) struct keys *k = NULL;
	struct buf text = BUF_INIT(KEYS_FILE_MAX);
	int r = derive_judge(root, role, generation, err);

	if (r < 0)
		return r;
	k = keys_derive(root, role, generation);
	/* The whole size at once: growing would leave copies of keys in freed memory. */
	(void)buf_grow(&text, KEYS_FILE_MAX / 2);
	buf_printf(&text, "mcpbox-keys 1\nrole %s\ngeneration %u\n", role_name(role), generation);
	for (size_t i = 0; i < k->count; i++)
		entry_print(&k->entries[i], &text);
	r = file_write(fd, text.data, text.len);
	crypto_wipe(text.data, text.len);
	buf_done(&text);
	return r < 0 ? err_set(err, ERR_UNAVAILABLE, "the key file cannot be written") : 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

enum bus_role keys_role(const struct keys *k)
{
	return k->role;
}

uint32_t keys_generation(const struct keys *k)
{
	return k->generation;
}

static const uint8_t *key_of(const struct entry *e)
{
	return e ? e->key : NULL;
}

const uint8_t *keys_pair(const struct keys *k, enum bus_role from, enum bus_role to,
			 uint32_t generation)
{
	return key_of(keys_find(k, ENTRY_PAIR, from, to, generation));
}

const uint8_t *keys_news(const struct keys *k, enum news_topic topic, uint32_t generation)
{
	return key_of(keys_find(k, ENTRY_NEWS, topic, 0, generation));
}

const uint8_t *keys_verify(const struct keys *k, uint32_t key_id)
{
	return key_of(keys_find(k, ENTRY_SIGN_PUBLIC, 0, 0, key_id));
}

const uint8_t *keys_box(const struct keys *k, uint32_t generation)
{
	return key_of(keys_find(k, ENTRY_BOX, k->role, 0, generation));
}

const uint8_t *keys_box_public(const struct keys *k, enum bus_role role, uint32_t generation)
{
	return key_of(keys_find(k, ENTRY_BOX_PUBLIC, role, 0, generation));
}

const uint8_t *keys_sign(const struct keys *k, uint32_t *ret_key_id)
{
	*ret_key_id = k->generation;
	return key_of(keys_find(k, ENTRY_SIGN_SECRET, 0, 0, k->generation));
}
