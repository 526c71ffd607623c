#include "listeners.h"

#include <pthread.h>
#include <string.h>
#include "answer.h"
#include "buf.h"
#include "era.h"
#include "mem.h"
#include "metrics.h"
#include "result.h"

#define MESSAGE_MAX (64u * 1024)

struct listener {
	long number;                /* 0: free */
	struct http_stream *stream; /* NULL: not begun yet */
	bool is_session;
	uint8_t serial[SESSION_SERIAL];
	char *subscription_id; /* listen: JSON token */
	char *server;
	bool wants_tools;
	bool has_missed; /* a change came between reserve and attach */
	uint8_t view[CRYPTO_HASH_SIZE];
};
struct listeners {
	pthread_mutex_t lock; /* guards all below */
	struct listener *rows;
	size_t max;
	long last_number;
	bool is_stopping;
};

struct listeners *listeners_new(size_t max)
{
	struct listeners *l = mem_alloc(sizeof(*l));

	(void)pthread_mutex_init(&l->lock, NULL);
	l->rows = mem_alloc_array(max, sizeof(*l->rows));
	l->max = max;
	return l;
}

void listeners_free(struct listeners *l)
{
	if (!l)
		return;
	(void)pthread_mutex_destroy(&l->lock);
	free(l->rows);
	free(l);
}

static void release(struct listener *row)
{
	if (row->stream)
		http_stream_end(row->stream);
	free(row->subscription_id);
	free(row->server);
	*row = (struct listener){ 0 };
}

static void add_subscription(struct buf *b, const struct listener *row)
{
	buf_printf(b, "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%s}",
		   row->subscription_id);
}

static void send_changed(struct listener *row)
{
	struct buf b = BUF_INIT(MESSAGE_MAX);

	buf_add_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"");
	if (row->subscription_id) {
		buf_add_str(&b, ",\"params\":{");
		add_subscription(&b, row);
		buf_add_char(&b, '}');
	}
	buf_add_char(&b, '}');
	if (sse_send(row->stream, b.data, b.len) == 0)
		metrics_count(METRIC_LIST_CHANGED_SENT);
	buf_done(&b);
}

/* First of all on a listen stream: what of the wishes is honoured. */
static void send_acknowledged(struct listener *row)
{
	struct buf b = BUF_INIT(MESSAGE_MAX);

	buf_printf(&b,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
		   "\"params\":{\"notifications\":{%s},",
		   row->wants_tools ? "\"toolsListChanged\":true" : "");
	add_subscription(&b, row);
	buf_add_str(&b, "}}");
	(void)sse_send(row->stream, b.data, b.len);
	buf_done(&b);
}

static void send_end(struct listener *row)
{
	struct json_span id = { row->subscription_id, strlen(row->subscription_id) };
	struct buf meta = BUF_INIT(MESSAGE_MAX);
	struct buf result = BUF_INIT(MESSAGE_MAX);
	struct buf b = BUF_INIT(MESSAGE_MAX);

	buf_printf(&meta, "\"io.modelcontextprotocol/subscriptionId\":%s", row->subscription_id);
	result_add(&result, LIST_MODERN, "", buf_str(&meta));
	jsonrpc_add_result(&b, id, result.data, result.len);
	(void)sse_send(row->stream, b.data, b.len);
	buf_done(&meta);
	buf_done(&result);
	buf_done(&b);
}

void listeners_stop(struct listeners *l)
{
	if (!l)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->is_stopping = true;
	for (size_t i = 0; i < l->max; i++) {
		struct listener *row = &l->rows[i];

		if (row->stream && row->subscription_id)
			send_end(row);
		if (row->number != 0)
			release(row);
	}
	(void)pthread_mutex_unlock(&l->lock);
}

static bool is_of_session(const struct listener *row, const struct session *session)
{
	return row->number != 0 && row->is_session &&
	       memcmp(row->serial, session->serial, SESSION_SERIAL) == 0;
}

/* Under the lock: a client that came back before its old stream was closed is no second one. */
static void reap(struct listeners *l)
{
	for (size_t i = 0; i < l->max; i++) {
		if (l->rows[i].stream && http_stream_gone(l->rows[i].stream))
			release(&l->rows[i]);
	}
}

static struct listener *free_row(struct listeners *l)
{
	for (size_t i = 0; i < l->max; i++) {
		if (l->rows[i].number == 0)
			return &l->rows[i];
	}
	return NULL;
}

static bool session_has_stream(const struct listeners *l, const struct session *session)
{
	for (size_t i = 0; i < l->max; i++) {
		if (is_of_session(&l->rows[i], session))
			return true;
	}
	return false;
}

static void fill(struct listener *row, const struct listener_want *want, const struct catalog *now)
{
	row->is_session = want->session != NULL;
	if (want->session)
		memcpy(row->serial, want->session->serial, SESSION_SERIAL);
	if (want->subscription_id.at)
		row->subscription_id =
			mem_strndup(want->subscription_id.at, want->subscription_id.len);
	row->server = want->server ? mem_strdup(want->server) : NULL;
	row->wants_tools = want->wants_tools;
	catalog_view_hash(now, row->server, row->view);
}

long listeners_reserve(struct listeners *l, const struct listener_want *want,
		       const struct catalog *now)
{
	struct listener *row;
	long number;

	(void)pthread_mutex_lock(&l->lock);
	reap(l);
	row = l->is_stopping ? NULL : free_row(l);
	if (want->session && session_has_stream(l, want->session)) {
		number = LISTENERS_TAKEN;
	} else if (!row) {
		number = LISTENERS_FULL;
	} else {
		fill(row, want, now);
		number = row->number = ++l->last_number;
	}
	(void)pthread_mutex_unlock(&l->lock);
	return number;
}

void listeners_attach(struct listeners *l, long number, struct http_stream *stream)
{
	struct listener *row = NULL;

	(void)pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->max; i++) {
		if (l->rows[i].number == number)
			row = &l->rows[i];
	}
	if (row && stream) {
		row->stream = stream;
		if (row->subscription_id)
			send_acknowledged(row);
		if (row->has_missed)
			send_changed(row);
	} else if (row) {
		release(row);
	} else if (stream) {
		http_stream_end(stream); /* the session or the gateway ended meanwhile */
	}
	(void)pthread_mutex_unlock(&l->lock);
}

void listeners_end_session(struct listeners *l, const struct session *session)
{
	(void)pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->max; i++) {
		if (is_of_session(&l->rows[i], session))
			release(&l->rows[i]);
	}
	(void)pthread_mutex_unlock(&l->lock);
}

void listeners_changed(struct listeners *l, const struct catalog *c)
{
	(void)pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->max; i++) {
		struct listener *row = &l->rows[i];
		uint8_t view[CRYPTO_HASH_SIZE];

		if (row->number == 0 || !row->wants_tools)
			continue;
		catalog_view_hash(c, row->server, view);
		if (memcmp(view, row->view, sizeof(view)) == 0)
			continue;
		memcpy(row->view, view, sizeof(view));
		if (row->stream)
			send_changed(row);
		else
			row->has_missed = true;
	}
	(void)pthread_mutex_unlock(&l->lock);
}

size_t listeners_count(struct listeners *l)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&l->lock);
	reap(l);
	for (size_t i = 0; i < l->max; i++)
		n += l->rows[i].number != 0;
	(void)pthread_mutex_unlock(&l->lock);
	return n;
}
