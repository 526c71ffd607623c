/* Schema: numbered files under an advisory lock, all of a start in one transaction, forward only. */
#include <inttypes.h>
#include "log.h"
#include "migrations.h"
#include "parse.h"
#include "store_pg.h"

/* Any fixed number; ours spells "mcpbox". */
#define SQL_LOCK                                                       \
	"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;" \
	" SELECT pg_advisory_xact_lock(x'6d6370626f78'::bigint)"

static const char sql_table[] =
	"CREATE TABLE IF NOT EXISTS schema_migrations ("
	" number integer PRIMARY KEY, name text NOT NULL, hash text NOT NULL,"
	" applied_at timestamptz NOT NULL DEFAULT now())";

static void hash_text(const char *sql, char ret[2 * CRYPTO_HASH_SIZE + 1])
{
	uint8_t hash[CRYPTO_HASH_SIZE];

	crypto_hash(sql, strlen(sql), hash);
	format_hex(hash, sizeof(hash), ret);
}

static int apply(struct store_tx *tx, const struct migration *m, struct err *err)
{
	char hash[2 * CRYPTO_HASH_SIZE + 1];
	ROW(Text) * applied;
	int r;

	hash_text(m->sql, hash);
	r = pg_one(tx, ROWS(text), &applied,
		   "SELECT hash AS text FROM schema_migrations WHERE number = $1",
		   P_INT(m->number));
	if (r == 0 && strcmp(applied->text, hash) != 0)
		return err_set(err, ERR_STATE,
			       "migration %d was changed after this database took it", m->number);
	if (r != -ERR_NOT_FOUND)
		return r;
	r = pg_script(tx, m->sql);
	if (r != 0)
		return r;
	r = pg_touched(pg_exec(
		tx, "INSERT INTO schema_migrations (number, name, hash) VALUES ($1, $2, $3)",
		P_INT(m->number), P_TEXT(m->name), P_TEXT(hash)));
	if (r == 0)
		log_info("store.migrated", F_INT("number", m->number), F_STR("name", m->name));
	return r;
}

static int migrate(struct store_tx *tx, struct err *err)
{
	int64_t newest = 0;
	int r = pg_script(tx, SQL_LOCK);

	if (r == 0)
		r = pg_script(tx, sql_table);
	if (r == 0)
		r = pg_number(tx, &newest, "SELECT coalesce(max(number), 0) FROM schema_migrations",
			      NULL, 0);
	if (r != 0)
		return r;
	if (newest > migrations[migration_count - 1].number)
		return err_set(
			err, ERR_STATE,
			"the database has schema %" PRId64
			", this registry knows only up to %d; nothing was changed. Start the "
			"newer MCPBox that made it, or restore a back-up of before",
			newest, migrations[migration_count - 1].number);
	for (size_t i = 0; r == 0 && i < migration_count; i++)
		r = apply(tx, &migrations[i], err);
	return r == 0 ? store_commit(tx) : r;
}

int store_migrate(struct store *s, struct err *err)
{
	struct arena arena = { 0 };
	struct store_tx *tx;
	int r = store_begin(s, STORE_WRITE, &arena, &tx);

	*err = (struct err){ 0 };
	if (r == 0) {
		r = migrate(tx, err);
		store_end(tx);
	}
	if (r < 0 && !err->code)
		r = err_set(err, (enum err_code) - r, "the database does not answer as it should");
	arena_done(&arena);
	return r;
}
