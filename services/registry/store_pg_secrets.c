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

int store_secret_set(struct store_tx *tx, const PB(Secret) * s, uint32_t generation,
		     struct bytes sealed)
{
	return pg_touched(pg_exec(
		tx,
		"UPDATE secrets SET value = $2, mode = $3, hosts = $4, places = $5,"
		" key_generation = $6, revision = revision + 1, updated_at = now() WHERE id = $1",
		P_TEXT(s->id), P_BYTES(sealed.data, sealed.len), P_TEXT(s->mode),
		P_TEXTS(s->hosts, s->n_hosts), P_TEXTS(s->places, s->n_places), P_INT(generation)));
}

/* Each with its key, in one statement: a rotation cannot come in between. */
#define SQL_VALUES                                                                  \
	"SELECT x.id, x.server_id, x.key_name, x.value, x.mode, x.hosts, x.places," \
	" x.key_generation, k.wrapped FROM secrets x LEFT JOIN data_keys k"         \
	" ON k.generation = x.key_generation WHERE x.value IS NOT NULL"

int store_secret_values(struct store_tx *tx, const char *server_id, ROW(SecretRow) * **ret,
			size_t *ret_count)
{
	return pg_all(tx, ROWS(secret_row), ret, ret_count,
		      SQL_VALUES " AND x.server_id = $1 ORDER BY x.key_name", P_TEXT(server_id));
}

int store_secret_all_values(struct store_tx *tx, ROW(SecretRow) * **ret, size_t *ret_count)
{
	return pg_rows(tx, ROWS(secret_row), (void ***)ret, ret_count,
		       SQL_VALUES " ORDER BY x.id FOR UPDATE OF x", NULL, 0);
}

/* Not a change that anybody's revision would be about. */
int store_secret_reseal(struct store_tx *tx, const char *id, uint32_t generation,
			struct bytes sealed)
{
	return pg_touched(
		pg_exec(tx, "UPDATE secrets SET value = $2, key_generation = $3 WHERE id = $1",
			P_TEXT(id), P_BYTES(sealed.data, sealed.len), P_INT(generation)));
}

int store_data_keys_lock(struct store_tx *tx, bool exclusive)
{
	/* "datakey" */
	return pg_script(
		tx, exclusive ? "SELECT pg_advisory_xact_lock(x'646174616b6579'::bigint)"
			      : "SELECT pg_advisory_xact_lock_shared(x'646174616b6579'::bigint)");
}

int store_data_key_newest(struct store_tx *tx, ROW(DataKeyRow) * *ret)
{
	return pg_row(tx, ROWS(data_key_row), (void **)ret,
		      "SELECT generation, wrapped FROM data_keys ORDER BY generation DESC LIMIT 1",
		      NULL, 0);
}

int store_data_key_add(struct store_tx *tx, uint32_t generation, struct bytes wrapped)
{
	return pg_touched(pg_exec(tx, "INSERT INTO data_keys (generation, wrapped) VALUES ($1, $2)",
				  P_INT(generation), P_BYTES(wrapped.data, wrapped.len)));
}

int store_data_keys_drop(struct store_tx *tx, uint32_t below)
{
	int64_t n = pg_exec(tx, "DELETE FROM data_keys WHERE generation < $1", P_INT(below));

	return n < 0 ? (int)n : 0;
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
