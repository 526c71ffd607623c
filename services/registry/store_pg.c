#include "store_pg.h"

#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

/* Sizes of PostgreSQL's own types, from catalog/pg_type.dat; they never change. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TIMESTAMPTZ = 1184,
	OID_UUID = 2950,
	OID_JSONB = 3802,
	OID_TEXT_ARRAY = 1009,
	OID_VARCHAR_ARRAY = 1015,
};
/* Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01. */
#define PG_EPOCH_US INT64_C(946684800000000)

/* A frame of the bus holds what such arrays are made of; escaping doubles it at most. */
enum { TEXTS_MAX_BYTES = 64 * 1024 * 1024, PARAMS_MAX = 32 };

struct store {
	char *url;
	size_t size;
	uint32_t statement_ms;
	pthread_mutex_t lock; /* guards conns, free_count */
	pthread_cond_t given_back;
	PGconn **conns; /* stack of those not in use; NULL entries are to be opened */
	size_t free_count;
	bool is_out; /* the last attempt failed; so that the log says it once */
};

struct store_tx {
	struct store *store;
	PGconn *conn;
	struct arena *arena;
	bool is_open;
	int failed; /* first failure, negative; 0 none */
};

struct arena *store_arena(struct store_tx *tx)
{
	return tx->arena;
}

/* ---- connections -------------------------------------------------------------------------------- */

int store_new(const char *url, size_t connections, uint32_t statement_ms, struct store **ret,
	      struct err *err)
{
	struct store *s;
	pthread_condattr_t attr;

	/* CVE-2025-12818: size overflow in libpq, fixed in 15.15, 16.11, 17.7 and 18.1. */
	if (PQlibVersion() < 150015)
		return err_set(err, ERR_UNSUPPORTED, "libpq is too old: 15.15 or newer is needed");
	s = mem_alloc(sizeof(*s));
	s->url = mem_strdup(url);
	s->size = connections;
	s->statement_ms = statement_ms;
	s->conns = mem_alloc_array(connections, sizeof(PGconn *));
	s->free_count = connections;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->given_back, &attr);
	pthread_condattr_destroy(&attr);
	*ret = s;
	return 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->free_count; i++)
		PQfinish(s->conns[i]);
	pthread_cond_destroy(&s->given_back);
	pthread_mutex_destroy(&s->lock);
	free(s->conns);
	crypto_wipe(s->url, strlen(s->url));
	free(s->url);
	free(s);
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* A new connection, or NULL.  The URL comes last but one, so that the operator's own settings win
 * except for those that our promises rest on. */
static PGconn *open_connection(struct store *s)
{
	char options[256];
	PGconn *conn;
	const char *const keys[] = { "dbname",          "connect_timeout",
				     "keepalives_idle", "tcp_user_timeout",
				     "gssencmode",      "application_name",
				     "options",         NULL };
	const char *const values[] = { s->url,  "3", "30", "10000", "disable", "mcpbox-registry",
				       options, NULL };

	/* Compiling a plan, or starting workers for it, takes longer than any of our statements should. */
	(void)snprintf(options, sizeof(options),
		       "-c statement_timeout=%u -c lock_timeout=%u"
		       " -c idle_in_transaction_session_timeout=30000 -c timezone=UTC"
		       " -c client_encoding=UTF8 -c synchronous_commit=on -c jit=off"
		       " -c max_parallel_workers_per_gather=0",
		       s->statement_ms, s->statement_ms);
	conn = PQconnectdbParams(keys, values, 1);
	if (PQstatus(conn) == CONNECTION_OK) {
		PQsetNoticeReceiver(conn, ignore_notice, NULL);
		return conn;
	}
	pthread_mutex_lock(&s->lock);
	if (!s->is_out)
		log_error("store.connection_failed", F_STR("reason", PQerrorMessage(conn)));
	s->is_out = true;
	pthread_mutex_unlock(&s->lock);
	PQfinish(conn);
	return NULL;
}

static bool take_slot(struct store *s, PGconn **ret)
{
	struct timespec until;
	int r = 0;

	clock_abs_after(5000, &until);
	pthread_mutex_lock(&s->lock);
	while (s->free_count == 0 && r == 0)
		r = pthread_cond_timedwait(&s->given_back, &s->lock, &until);
	if (s->free_count > 0) {
		*ret = s->conns[--s->free_count];
		r = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return r == 0;
}

static void give_slot(struct store *s, PGconn *conn)
{
	pthread_mutex_lock(&s->lock);
	s->conns[s->free_count++] = conn;
	pthread_cond_signal(&s->given_back);
	pthread_mutex_unlock(&s->lock);
}

static void mark_back(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->is_out)
		log_info("store.connection_restored");
	s->is_out = false;
	pthread_mutex_unlock(&s->lock);
}

static bool command_ok(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return ok;
}

static const char *const begin_sql[] = {
	[STORE_WRITE] = "BEGIN",
	[STORE_READ] = "BEGIN READ ONLY",
	[STORE_SNAPSHOT] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
};

/* BEGIN on a pooled connection also finds out whether it still lives; a dead one is replaced once. */
static PGconn *begin_on(struct store *s, PGconn *conn, enum store_mode mode)
{
	if (conn && command_ok(conn, begin_sql[mode]))
		return conn;
	PQfinish(conn);
	conn = open_connection(s);
	if (!conn)
		return NULL;
	mark_back(s);
	if (command_ok(conn, begin_sql[mode]))
		return conn;
	PQfinish(conn);
	return NULL;
}

int store_begin(struct store *s, enum store_mode mode, struct arena *arena, struct store_tx **ret)
{
	PGconn *conn = NULL;
	struct store_tx *tx;

	if (!take_slot(s, &conn))
		return -ERR_BUSY;
	conn = begin_on(s, conn, mode);
	if (!conn) {
		give_slot(s, NULL);
		return -ERR_UNAVAILABLE;
	}
	tx = arena_alloc(arena, sizeof(*tx));
	*tx = (struct store_tx){ .store = s, .conn = conn, .arena = arena, .is_open = true };
	*ret = tx;
	return 0;
}

static const struct {
	const char *state; /* SQLSTATE, or its class when two characters */
	int code;
} codes[] = {
	{ "23505", -ERR_EXISTS }, /* unique_violation */
	{ "23503", -ERR_BUSY },   /* foreign_key_violation: what it belongs to went meanwhile */
	{ "40001", -ERR_BUSY },   /* serialization_failure: begin again */
	{ "40P01", -ERR_BUSY },   /* deadlock_detected */
	{ "55P03", -ERR_BUSY },   /* lock_not_available */
	{ "57014", -ERR_UNAVAILABLE }, /* query_canceled: statement_timeout */
	{ "22P02", -ERR_NOT_FOUND },   /* invalid_text_representation: not even an id */
	{ "08", -ERR_UNAVAILABLE },    /* connection exceptions */
	{ "53", -ERR_UNAVAILABLE },    /* insufficient resources */
	{ "57", -ERR_UNAVAILABLE },    /* operator intervention: shutdown, crash */
	{ "58", -ERR_UNAVAILABLE },    /* system error */
	{ "25006", -ERR_UNAVAILABLE }, /* read-only: a standby answered */
};

static int code_of(const PGconn *conn, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQstatus(conn) != CONNECTION_OK || !state)
		return -ERR_UNAVAILABLE;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strncmp(state, codes[i].state, strlen(codes[i].state)) == 0)
			return codes[i].code;
	return -ERR_INTERNAL;
}

static int fail(struct store_tx *tx, const PGresult *result, const char *sql)
{
	int code = code_of(tx->conn, result);

	/* The primary message only: the details name values. */
	if (code == -ERR_INTERNAL || code == -ERR_UNAVAILABLE) {
		const char *why = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

		log_error("store.statement_failed", F_STR("sql", sql),
			  F_STR("reason", why ? why : "the connection was lost"));
	}
	tx->failed = code;
	return code;
}

int store_commit(struct store_tx *tx)
{
	PGresult *result;
	int r = tx->failed;

	if (!tx->is_open)
		box_bug("commit without transaction");
	if (r != 0)
		return r;
	result = PQexec(tx->conn, "COMMIT");
	tx->is_open = false;
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		r = PQstatus(tx->conn) == CONNECTION_OK ? code_of(tx->conn, result)
							: -ERR_UNKNOWN_OUTCOME;
	PQclear(result);
	return r;
}

void store_end(struct store_tx *tx)
{
	PGconn *conn = tx->conn;

	if (tx->is_open && PQstatus(conn) == CONNECTION_OK)
		(void)command_ok(conn, "ROLLBACK");
	if (PQstatus(conn) != CONNECTION_OK || PQtransactionStatus(conn) != PQTRANS_IDLE) {
		PQfinish(conn);
		conn = NULL;
	}
	tx->conn = NULL;
	give_slot(tx->store, conn);
}

/* ---- statements --------------------------------------------------------------------------------- */

static char *texts_literal(struct store_tx *tx, char *const *items, size_t count)
{
	struct buf b = BUF_INIT(TEXTS_MAX_BYTES);
	char *text;

	buf_add_char(&b, '{');
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&b, i ? ",\"" : "\"");
		for (const char *c = items[i]; *c; c++) {
			size_t plain = strcspn(c, "\"\\");

			buf_add(&b, c, plain);
			c += plain;
			if (!*c)
				break;
			buf_add_char(&b, '\\');
			buf_add_char(&b, *c);
		}
		buf_add_char(&b, '"');
	}
	buf_add_char(&b, '}');
	if (b.is_over)
		box_bug("an array over %d bytes", TEXTS_MAX_BYTES);
	text = arena_str(tx->arena, buf_str(&b));
	buf_done(&b);
	return text;
}

static char *ints_literal(struct store_tx *tx, const int64_t *items, size_t count)
{
	char *text = arena_alloc(tx->arena, count * 21 + 3); /* sign, 19 digits, comma */
	char *at = text;

	*at++ = '{';
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, i ? ",%" PRId64 : "%" PRId64, items[i]);
	*at = '}';
	return text;
}

struct bound {
	Oid types[PARAMS_MAX];
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX];
	int formats[PARAMS_MAX];
};

static void bind_one(struct store_tx *tx, struct bound *b, size_t i, const struct param *p)
{
	switch (p->kind) {
	case PARAM_NULL:
		break;
	case PARAM_TEXT:
		b->values[i] = p->v.text;
		break;
	case PARAM_INT:
		b->values[i] = arena_printf(tx->arena, "%" PRId64, p->v.n);
		break;
	case PARAM_BOOL:
		b->values[i] = p->v.n ? "t" : "f";
		break;
	case PARAM_BYTES:
		b->types[i] = OID_BYTEA;
		b->values[i] = p->v.bytes.data ? p->v.bytes.data : "";
		b->lengths[i] = (int)p->v.bytes.len;
		b->formats[i] = 1;
		break;
	case PARAM_TEXTS:
		b->values[i] = texts_literal(tx, p->v.texts.items, p->v.texts.count);
		break;
	case PARAM_INTS:
		b->values[i] = ints_literal(tx, p->v.ints.items, p->v.ints.count);
		break;
	}
}

/* NULL after a failure that tx->failed holds. */
static PGresult *run(struct store_tx *tx, const char *sql, const struct param *params, size_t count)
{
	struct bound b = { 0 };
	PGresult *result;
	ExecStatusType status;

	if (tx->failed)
		return NULL;
	if (count > PARAMS_MAX)
		box_bug("too many parameters");
	for (size_t i = 0; i < count; i++)
		bind_one(tx, &b, i, &params[i]);
	result =
		PQexecParams(tx->conn, sql, (int)count, b.types, b.values, b.lengths, b.formats, 1);
	status = PQresultStatus(result);
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return result;
	(void)fail(tx, result, sql);
	PQclear(result);
	return NULL;
}

int pg_script(struct store_tx *tx, const char *sql)
{
	PGresult *result;
	int r = 0;

	if (tx->failed)
		return tx->failed;
	result = PQexec(tx->conn, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		r = fail(tx, result, "script");
	PQclear(result);
	return r;
}

int64_t pg_run(struct store_tx *tx, const char *sql, const struct param *params, size_t count)
{
	PGresult *result = run(tx, sql, params, count);
	int64_t n;

	if (!result)
		return tx->failed;
	n = strtoll(PQcmdTuples(result), NULL, 10); /* "" for a SELECT without rows: 0 */
	PQclear(result);
	return n;
}

int pg_touched(int64_t r)
{
	if (r < 0)
		return (int)r;
	return r == 0 ? -ERR_NOT_FOUND : 0;
}

/* ---- values ------------------------------------------------------------------------------------- */

struct cell {
	Oid type;
	const char *data;
	size_t len;
};

static struct cell cell_of(const PGresult *result, int row, int column)
{
	return (struct cell){ PQftype(result, column), PQgetvalue(result, row, column),
			      (size_t)PQgetlength(result, row, column) };
}

static int64_t cell_number(struct cell c)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (c.len) {
	case 8:
		memcpy(&v64, c.data, 8);
		v64 = be64toh(v64);
		if (c.type == OID_TIMESTAMPTZ)
			return ((int64_t)v64 + PG_EPOCH_US) / 1000;
		return (int64_t)v64;
	case 4:
		memcpy(&v32, c.data, 4);
		return (int32_t)be32toh(v32);
	case 2:
		memcpy(&v16, c.data, 2);
		return (int16_t)be16toh(v16);
	case 1:
		return c.data[0] != 0;
	default:
		box_bug("a column of %zu bytes is no number", c.len);
	}
}

static char *cell_text(struct arena *a, struct cell c)
{
	const uint8_t *u = (const uint8_t *)c.data;

	if (c.type != OID_UUID)
		return arena_dup(a, c.data, c.len);
	return arena_printf(a,
			    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10],
			    u[11], u[12], u[13], u[14], u[15]);
}

static ProtobufCBinaryData cell_bytes(struct arena *a, struct cell c)
{
	if (c.type == OID_JSONB) { /* one byte of version before the text */
		c.data++;
		c.len--;
	}
	return (ProtobufCBinaryData){ .len = c.len, .data = arena_dup(a, c.data, c.len) };
}

static uint32_t read_be32(const char **p)
{
	uint32_t v;

	memcpy(&v, *p, 4);
	*p += 4;
	return be32toh(v);
}

/* Binary text[]: dimensions, has-nulls, element type, then per dimension size and lower bound, then
 * each element as length and bytes.  Source: array_send() in arrayfuncs.c. */
static char **cell_texts(struct arena *a, struct cell c, size_t *ret_count)
{
	const char *p = c.data;
	uint32_t dimensions = read_be32(&p);
	uint32_t count;
	char **texts;

	*ret_count = 0;
	if (dimensions == 0)
		return NULL;
	p += 8;
	count = read_be32(&p);
	p += 4;
	texts = arena_pointers(a, count);
	for (uint32_t i = 0; i < count; i++) {
		int32_t len = (int32_t)read_be32(&p);

		texts[i] = arena_dup(a, p, len < 0 ? 0 : (size_t)len);
		p += len < 0 ? 0 : len;
	}
	*ret_count = count;
	return texts;
}

static void set_number(void *member, ProtobufCType type, int64_t n)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)member = n != 0;
		break;
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)member = (uint32_t)n;
		break;
	case PROTOBUF_C_TYPE_INT32:
		*(int32_t *)member = (int32_t)n;
		break;
	case PROTOBUF_C_TYPE_UINT64:
		*(uint64_t *)member = (uint64_t)n;
		break;
	case PROTOBUF_C_TYPE_INT64:
		*(int64_t *)member = n;
		break;
	default:
		box_bug("a column cannot fill a field of type %d", (int)type);
	}
}

static void set_field(struct arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		      struct cell c)
{
	void *member = (char *)m + f->offset;
	void *quantifier = (char *)m + f->quantifier_offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		*(char ***)member = cell_texts(a, c, quantifier);
		return;
	}
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		*(uint32_t *)quantifier = f->id;
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)member = cell_text(a, c);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		*(ProtobufCBinaryData *)member = cell_bytes(a, c);
		break;
	default:
		set_number(member, f->type, cell_number(c));
	}
}

static ProtobufCMessage *row_to_msg(struct arena *a, const ProtobufCMessageDescriptor *type,
				    const PGresult *result, int row)
{
	ProtobufCMessage *m = arena_msg(a, type);

	for (int column = 0; column < PQnfields(result); column++) {
		const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
			type, PQfname(result, column));

		if (!f)
			box_bug("%s has no field '%s'", type->name, PQfname(result, column));
		if (!PQgetisnull(result, row, column))
			set_field(a, m, f, cell_of(result, row, column));
	}
	return m;
}

int pg_rows(struct store_tx *tx, const ProtobufCMessageDescriptor *type, void ***ret,
	    size_t *ret_count, const char *sql, const struct param *params, size_t count)
{
	PGresult *result = run(tx, sql, params, count);
	int rows;

	if (!result)
		return tx->failed;
	rows = PQntuples(result);
	*ret = arena_pointers(tx->arena, (size_t)rows);
	for (int i = 0; i < rows; i++)
		(*ret)[i] = row_to_msg(tx->arena, type, result, i);
	*ret_count = (size_t)rows;
	PQclear(result);
	return 0;
}

int pg_row(struct store_tx *tx, const ProtobufCMessageDescriptor *type, void **ret, const char *sql,
	   const struct param *params, size_t count)
{
	void **rows;
	size_t n = 0;
	int r = pg_rows(tx, type, &rows, &n, sql, params, count);

	if (r != 0)
		return r;
	if (n == 0)
		return -ERR_NOT_FOUND;
	*ret = rows[0];
	return 0;
}

int pg_number(struct store_tx *tx, int64_t *ret, const char *sql, const struct param *params,
	      size_t count)
{
	PGresult *result = run(tx, sql, params, count);
	int r = 0;

	if (!result)
		return tx->failed;
	if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
		r = -ERR_NOT_FOUND;
	else
		*ret = cell_number(cell_of(result, 0, 0));
	PQclear(result);
	return r;
}

int pg_texts(struct store_tx *tx, char ***ret, size_t *ret_count, const char *sql,
	     const struct param *params, size_t count)
{
	PGresult *result = run(tx, sql, params, count);
	int rows;

	if (!result)
		return tx->failed;
	rows = PQntuples(result);
	*ret = arena_pointers(tx->arena, (size_t)rows);
	for (int i = 0; i < rows; i++)
		(*ret)[i] = cell_text(tx->arena, cell_of(result, i, 0));
	*ret_count = (size_t)rows;
	PQclear(result);
	return 0;
}

int pg_list_rows(struct store_tx *tx, const struct pg_list *list, const struct filter *f,
		 void ***ret, size_t *ret_count, int64_t *ret_total)
{
	const struct param params[] = {
		P_TEXT(arena_dup(store_arena(tx), f->search.data, f->search.len)),
		P_TEXT(f->status),
		P_TEXT(f->server_id),
		P_INT(f->page.size),
		P_INT((int64_t)(f->page.number - 1) * f->page.size),
	};
	int r = pg_number(tx, ret_total, list->count, params, 3);

	return r == 0 ? pg_rows(tx, list->type, ret, ret_count, list->page, params,
				ARRAY_LEN(params))
		      : r;
}
