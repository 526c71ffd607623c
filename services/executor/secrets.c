#include "secrets.h"

#include <string.h>
#include "buf.h"
#include "cleanup.h"
#include "crypto.h"
#include "delivery.h"
#include "json.h"
#include "mem.h"

/* What shorter values would take out of a result is more than they are worth (contract, F35). */
#define HIDDEN_MIN 8
/* A value of 10,000 signs may take six bytes for each in JSON. */
#define JSON_MAX (4u * 1024 * 1024)

static void add_entry(struct buf *b, const char *key, const void *text, size_t len)
{
	buf_add_char(b, b->len > 0 ? ',' : '{');
	json_add_string(b, key, strlen(key));
	buf_add_char(b, ':');
	json_add_string(b, text, len);
}

/* A process that serves many calls may have kept what it got in the first one. */
static void add_placeholders(const PB(Grant) * g, const char *call_id, struct buf *b)
{
	char text[PLACEHOLDER_LEN + 1];

	if (g->placeholder_seed.len != PLACEHOLDER_SEED_LEN)
		return;
	for (size_t i = 0; i < g->n_secrets; i++) {
		delivery_placeholder(g->placeholder_seed.data, call_id, g->secrets[i]->key, text);
		add_entry(b, g->secrets[i]->key, text, PLACEHOLDER_LEN);
	}
}

static int add_revealed(const struct keys *keys, const PB(Grant) * g, struct buf *b,
			struct mask *hidden, struct err *err)
{
	for (size_t i = 0; i < g->n_revealed; i++) {
		BOX_CLEANUP(secret_freep) struct secret *value = NULL;
		int r = delivery_open(keys, g->server_id, g->revealed[i], &value, err);

		if (r < 0)
			return r;
		add_entry(b, g->revealed[i]->key, value->data, value->len);
		mask_add(hidden, value->data, value->len, HIDDEN_MIN, "[REDACTED]");
	}
	return 0;
}

/* The whole size at once: growing would leave copies of values in freed memory. */
static size_t size_of(const PB(Grant) * g)
{
	size_t size = 16;

	for (size_t i = 0; i < g->n_secrets; i++)
		size += 6 * strlen(g->secrets[i]->key) + PLACEHOLDER_LEN + 8;
	for (size_t i = 0; i < g->n_revealed; i++)
		size += 6 * (strlen(g->revealed[i]->key) + g->revealed[i]->sealed.len) + 8;
	return size;
}

static int collect(const struct keys *keys, const PB(Grant) * g, const char *call_id, bool is_warm,
		   struct buf *b, struct secrets *ret, struct err *err)
{
	BOX_CLEANUP(mask_freep) struct mask *hidden = mask_new();
	int r;

	if (!buf_grow(b, size_of(g)))
		return err_set(err, ERR_TOO_LARGE, "the secrets of the server are too large");
	r = add_revealed(keys, g, b, hidden, err);
	if (r < 0)
		return r;
	add_placeholders(g, is_warm ? PLACEHOLDER_ANY_CALL : call_id, b);
	if (b->len == 0)
		return 0;
	buf_add_char(b, '}');
	box_assert(!b->is_over);
	ret->json = secret_new(b->data, b->len);
	if (!g->shows_revealed && !mask_is_empty(hidden))
		ret->mask = TAKE(hidden);
	return 0;
}

int secrets_open(const struct keys *keys, const PB(Grant) * g, const char *call_id, bool is_warm,
		 struct secrets *ret, struct err *err)
{
	struct buf b = BUF_INIT(JSON_MAX);
	int r;

	*ret = (struct secrets){ 0 };
	if (!keys || (g->n_secrets == 0 && g->n_revealed == 0))
		return 0;
	if (is_warm && g->n_revealed > 0)
		return err_set(
			err, ERR_DENIED,
			"the server reveals secrets to its tools, so no process may serve two "
			"calls; nothing was started");
	r = collect(keys, g, call_id, is_warm, &b, ret, err);
	if (b.data)
		crypto_wipe(b.data, b.cap);
	buf_done(&b);
	return r;
}

void secrets_done(struct secrets *s)
{
	secret_free(s->json);
	mask_free(s->mask);
	*s = (struct secrets){ 0 };
}
