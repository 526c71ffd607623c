#include "deliver.h"

#include <string.h>
#include "data_keys.h"
#include "delivery.h"
#include "log.h"
#include "seal.h"

static PB(SecretBinding) * bind_value(struct work *w, const char *server_id, enum bus_role to,
				      const ROW(SecretRow) * row, const struct secret *value)
{
	PB(SecretBinding) *b = arena_msg(&w->arena, &mcpbox__v1__secret_binding__descriptor);
	size_t len = value->len + DELIVERY_EXTRA;
	uint8_t *sealed = arena_alloc(&w->arena, len);

	b->key = row->key_name;
	if (to == ROLE_EGRESS) {
		b->hosts = row->hosts;
		b->n_hosts = row->n_hosts;
		b->places = row->places;
		b->n_places = row->n_places;
	}
	delivery_seal(w->reg->keys, to, server_id, b, value->data, value->len, sealed);
	b->sealed = pb_bytes(sealed, len);
	return b;
}

static void deliver(struct work *w, PB(Grant) * g, const ROW(SecretRow) * row)
{
	BOX_CLEANUP(secret_freep) struct secret *value = NULL;

	if (data_key_open(w->reg, g->server_id, row, &value) < 0)
		log_error("secret.not_opened", F_STR("server", g->server_id),
			  F_STR("key", row->key_name));
	else if (strcmp(row->mode, "reveal") == 0)
		g->revealed[g->n_revealed++] =
			bind_value(w, g->server_id, ROLE_EXECUTOR, row, value);
	else
		g->secrets[g->n_secrets++] = bind_value(w, g->server_id, ROLE_EGRESS, row, value);
}

int deliver_secrets(struct work *w, PB(Grant) * g)
{
	ROW(SecretRow) * *rows;
	size_t count;
	int r = store_secret_values(w->tx, g->server_id, &rows, &count);

	if (r != 0 || count == 0)
		return r;
	g->secrets = arena_pointers(&w->arena, count);
	g->revealed = arena_pointers(&w->arena, count);
	for (size_t i = 0; i < count; i++)
		deliver(w, g, rows[i]);
	g->placeholder_seed =
		pb_bytes(arena_alloc(&w->arena, PLACEHOLDER_SEED_LEN), PLACEHOLDER_SEED_LEN);
	seal_seed(w->reg->wrap_key, g->server_id, g->placeholder_seed.data);
	return 0;
}
