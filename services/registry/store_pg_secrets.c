/* SQL of secrets.  Values come sealed, and only their presence is ever read for an answer. */
#include "store_pg.h"

int store_secret_create(struct store_tx *tx, const PB(Secret) * s)
{
	return pg_touched(pg_exec(tx,
				  "INSERT INTO secrets (id, server_id, key_name, description, mode)"
				  " VALUES ($1, $2, $3, $4, $5)",
				  P_TEXT(s->id), P_TEXT(s->server_id), P_TEXT(s->key_name),
				  P_PB(s->description), P_TEXT(s->mode)));
}

#define SQL_SECRET                                                                            \
	"SELECT id, server_id, key_name, description, value IS NOT NULL AS has_value, mode,"  \
	" hosts, places, created_at AS created_at_unix_ms, updated_at AS updated_at_unix_ms," \
	" revision"                                                                           \
	" FROM secrets WHERE server_id = $1"

int store_secret_get(struct store_tx *tx, const char *server_id, const char *key, bool lock,
		     PB(Secret) * *ret)
{
	return pg_one(tx, MSGS(secret), ret,
		      lock ? SQL_SECRET " AND key_name = $2 FOR UPDATE"
			   : SQL_SECRET " AND key_name = $2",
		      P_TEXT(server_id), P_TEXT(key));
}

int store_secret_list(struct store_tx *tx, const char *server_id, PB(Secret) * **ret,
		      size_t *ret_count)
{
	return pg_all(tx, MSGS(secret), ret, ret_count, SQL_SECRET " ORDER BY key_name LIMIT 1000",
		      P_TEXT(server_id));
}

int store_secret_set(struct store_tx *tx, const PB(Secret) * s, struct bytes sealed)
{
	return pg_touched(
		pg_exec(tx,
			"UPDATE secrets SET value = $2, mode = $3, hosts = $4, places = $5,"
			" revision = revision + 1, updated_at = now() WHERE id = $1",
			P_TEXT(s->id), P_BYTES(sealed.data, sealed.len), P_TEXT(s->mode),
			P_TEXTS(s->hosts, s->n_hosts), P_TEXTS(s->places, s->n_places)));
}

int store_secret_values(struct store_tx *tx, const char *server_id, ROW(SecretRow) * **ret,
			size_t *ret_count)
{
	return pg_all(tx, ROWS(secret_row), ret, ret_count,
		      "SELECT key_name, value, mode, hosts, places FROM secrets"
		      " WHERE server_id = $1 AND value IS NOT NULL ORDER BY key_name",
		      P_TEXT(server_id));
}

int store_secret_sizes(struct store_tx *tx, const char *server_id, const char *but_id, int64_t *ret)
{
	return pg_number(tx, ret,
			 "SELECT coalesce(sum(200 + octet_length(value) + octet_length(key_name)"
			 " + octet_length(array_to_string(hosts, '  '))), 0) FROM secrets"
			 " WHERE server_id = $1 AND id <> $2 AND value IS NOT NULL",
			 PARAMS(P_TEXT(server_id), P_TEXT(but_id)));
}

int store_secret_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM secrets WHERE id = $1", P_TEXT(id)));
}
