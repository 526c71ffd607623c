#include "fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "log.h"
#include "mem.h"

#define SYSTEM_CA_FILE     "/etc/ssl/certs/ca-certificates.crt"
#define CA_FILE_MAX        (8u * 1024 * 1024)
#define CONNECT_TIMEOUT_MS 10000
#define POOL_CONNECTIONS   64
#define POOL_IDLE_US       (60u * 1000 * 1000)
/* Younger than the idle time of common servers, so that few requests meet a connection that is
 * closing. */
#define CONNECTION_IDLE_S 50L
#define USER_AGENT        "mcpbox/" BOX_VERSION

struct pool {
	struct pool *next;
	struct fetcher *fetcher;
	CURLM *multi;
	char *server_id;
	uint8_t grant_hash[CRYPTO_HASH_SIZE];
	size_t active;
	struct loop_timer timer;      /* libcurl's */
	struct loop_timer idle_timer; /* set while nothing is active */
};

struct fetcher {
	struct loop *loop;
	struct pool *pools;
	/* Both sets of anchors in one sealed memory file: libcurl keeps a parsed store per pool
	 * only when it reads a file, and parsing 140 certificates costs more than the handshake. */
	int ca_fd;
	char ca_path[32];
};

struct fetch {
	struct pool *pool;
	CURL *easy;
	struct fetch_request rq;
	fetch_done *done;
	struct curl_slist *headers;
	struct curl_slist *resolve;
	struct curl_slist *connect_to;
	char errors[CURL_ERROR_SIZE];
	char *url;
	unsigned attempts;
	bool head_is_over;
	bool was_refused; /* by may_dial */
	bool is_too_large;
	bool is_starved; /* of memory for the body */
	bool has_bad_header;
	uint64_t held; /* taken from the budget */
	struct mask_stream masking;
	struct fetch_result result;
};

/* ---- what libcurl asks us while it works ---- */

static bool may_dial(struct fetch *t, const struct sockaddr *sa, socklen_t len)
{
	struct address a;
	uint16_t port;

	if (address_from_sockaddr(sa, len, &a, &port) == 0 && t->rq.may_dial(t->rq.arg, &a, port))
		return true;
	t->was_refused = true;
	return false;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct fetch *t = arg;

	(void)purpose;
	if (!may_dial(t, &to->addr, (socklen_t)to->addrlen))
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Runs before each request, also on a pooled connection, for which no socket is opened. */
static int before_request(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct fetch *t = arg;
	struct address a;
	size_t len = strlen(ip);
	bool safe = strcmp(t->rq.forward->method, "GET") == 0 ||
		    strcmp(t->rq.forward->method, "HEAD") == 0;

	(void)local_ip;
	(void)local_port;
	if ((address_parse_v4(ip, len, &a) < 0 && address_parse_v6(ip, len, &a) < 0) ||
	    !t->rq.may_dial(t->rq.arg, &a, (uint16_t)port)) {
		t->was_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	address_format(&a, t->result.address);
	/* libcurl sends again what died on a pooled connection; that is right for reads, once. */
	t->attempts++;
	return t->attempts > (safe ? 2u : 1u) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static bool take_status_line(struct fetch *t, const char *line, size_t len)
{
	const char *reason;
	size_t n = 0;

	if (len < 5 || memcmp(line, "HTTP/", 5) != 0)
		return false;
	headers_clear(&t->result.headers);
	reason = memchr(line, ' ', len);
	reason = reason ? memchr(reason + 1, ' ', len - (size_t)(reason + 1 - line)) : NULL;
	for (reason = reason ? reason + 1 : line + len;
	     reason < line + len && n + 1 < sizeof(t->result.reason); reason++)
		if (*reason >= 0x20 && *reason < 0x7f)
			t->result.reason[n++] = *reason;
	t->result.reason[n] = '\0';
	return true;
}

static size_t take_header(char *line, size_t size, size_t count, void *arg)
{
	struct fetch *t = arg;
	size_t len = size * count;
	long status = 0;
	int r;

	/* Behind the body come trailers: of no use to the tool, and a second way in for headers. */
	if (t->head_is_over || take_status_line(t, line, len))
		return len;
	if (len <= 2 && (line[0] == '\r' || line[0] == '\n')) {
		(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		t->head_is_over = status >= 200;
		return len;
	}
	r = headers_add_line(&t->result.headers, line, len);
	t->is_too_large = r == -ERR_TOO_LARGE;
	t->has_bad_header = r == -ERR_INVALID;
	return r < 0 ? 0 : len;
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
	struct fetch *t = arg;
	size_t len = size * count;

	if (t->rq.mask)
		mask_feed(&t->masking, data, len, &t->result.body);
	else
		buf_add(&t->result.body, data, len);
	t->is_too_large = t->result.body.is_over;
	t->is_starved = !t->is_too_large && !budget_take(t->rq.budget, len);
	if (t->is_too_large || t->is_starved)
		return 0;
	t->held += len;
	return len;
}

/* ---- setting up one handle ---- */

static void add_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		box_bug("out of memory");
	*list = longer;
}

/* What is sent may hold secrets. */
static void wipe_text(char *s)
{
	if (s)
		crypto_wipe(s, strlen(s));
}

static void wipe_list(struct curl_slist *list)
{
	for (struct curl_slist *at = list; at; at = at->next)
		wipe_text(at->data);
	curl_slist_free_all(list);
}

/* libcurl drops "Name:" from what it would send, and sends "Name;" as an empty field. */
static void set_headers(struct fetch *t)
{
	const struct headers *h = &t->rq.forward->headers;

	add_line(&t->headers, "Expect:");
	if (!headers_find(h, "Content-Type"))
		add_line(&t->headers, "Content-Type:");
	for (size_t i = 0; i < h->count; i++) {
		bool empty = h->items[i].value[0] == '\0';
		BOX_CLEANUP(mem_freep)
		char *line = mem_printf("%s%s%s", h->items[i].name, empty ? ";" : ": ",
					h->items[i].value);

		add_line(&t->headers, line);
		wipe_text(line);
	}
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_method(struct fetch *t)
{
	const char *method = t->rq.forward->method;
	bool always_has_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
			       strcmp(method, "PATCH") == 0;

	if (strcmp(method, "HEAD") == 0) {
		(void)curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (t->rq.body_len > 0 || always_has_body) {
		(void)curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
				       (curl_off_t)t->rq.body_len);
		(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS,
				       t->rq.body_len ? t->rq.body : "");
	}
	(void)curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void add_address(struct buf *b, const struct address *a)
{
	char text[ADDRESS_TEXT_SIZE];

	address_format(a, text);
	buf_printf(b, a->len == 16 ? "[%s]" : "%s", text);
}

/* The addresses that were judged are the ones that libcurl may use; it asks no resolver. */
static void set_addresses(struct fetch *t)
{
	const struct target *target = &t->rq.forward->target;
	const struct resolved *r = t->rq.resolved;
	bool v6 = target->host.kind == HOST_IS_V6;
	struct buf b = BUF_INIT(4096);

	buf_printf(&b, v6 ? "[%s]:%u:" : "%s:%u:", target->host.text, target->port);
	if (r->is_pinned && r->to_port && r->to_port != target->port) {
		add_address(&b, &r->addresses[0]);
		buf_printf(&b, ":%u", r->to_port);
		add_line(&t->connect_to, buf_str(&b));
		(void)curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to);
	} else if (target->host.kind == HOST_IS_NAME || r->is_pinned) {
		for (size_t i = 0; i < r->count; i++) {
			if (i)
				buf_add_char(&b, ',');
			add_address(&b, &r->addresses[i]);
		}
		add_line(&t->resolve, buf_str(&b));
		(void)curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve);
	}
	box_assert(!b.is_over);
	buf_done(&b);
}

/* What holds for every handle: nothing that would reach another place than the one that was judged.
 */
static void set_rules(struct fetch *t)
{
	CURL *e = t->easy;

	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(e, CURLOPT_MAXREDIRS, 0L);
	(void)curl_easy_setopt(e, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	(void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	(void)curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
	(void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	(void)curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(e, CURLOPT_CAINFO, t->pool->fetcher->ca_path);
	(void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
	(void)curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
}

static void set_request(struct fetch *t)
{
	const struct forward_request *rq = t->rq.forward;
	CURL *e = t->easy;
	long total = (long)t->rq.timeout_ms;

	t->url = target_url(&rq->target);
	(void)curl_easy_setopt(e, CURLOPT_URL, t->url);
	(void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, total);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
			       total < CONNECT_TIMEOUT_MS ? total : (long)CONNECT_TIMEOUT_MS);
	/* "": whatever this libcurl can decode; the ceiling counts decoded bytes. */
	(void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING,
			       rq->accept_encoding ? rq->accept_encoding : "");
	(void)curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->rq.max_response);
	if (!headers_find(&rq->headers, "User-Agent"))
		(void)curl_easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->errors);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	set_method(t);
	set_headers(t);
	set_addresses(t);
}

/* ---- how it ended ---- */

struct failure_row {
	CURLcode code;
	enum forward_kind kind;
	const char *text; /* NULL: libcurl's own words, which name no address for this code */
};
static const struct failure_row failures[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, FORWARD_DNS, "the name does not resolve" },
	{ CURLE_COULDNT_CONNECT, FORWARD_CONNECT,
	  "the host refuses the connection or cannot be reached" },
	{ CURLE_OPERATION_TIMEDOUT, FORWARD_TIMEOUT, "the request took too long" },
	{ CURLE_SSL_CONNECT_ERROR, FORWARD_TLS, NULL },
	{ CURLE_PEER_FAILED_VERIFICATION, FORWARD_TLS, NULL },
	{ CURLE_SSL_CERTPROBLEM, FORWARD_TLS, NULL },
	{ CURLE_SSL_CIPHER, FORWARD_TLS, NULL },
	{ CURLE_SSL_ISSUER_ERROR, FORWARD_TLS, NULL },
	{ CURLE_SSL_INVALIDCERTSTATUS, FORWARD_TLS, NULL },
	{ CURLE_SSL_CACERT_BADFILE, FORWARD_UNAVAILABLE, "the trust anchors cannot be read" },
	{ CURLE_SEND_ERROR, FORWARD_CONNECT, "the connection broke while sending" },
	{ CURLE_RECV_ERROR, FORWARD_CONNECT, "the connection broke while receiving" },
	{ CURLE_GOT_NOTHING, FORWARD_PROTOCOL, "the host closed the connection without an answer" },
	{ CURLE_PARTIAL_FILE, FORWARD_PROTOCOL, "the answer ended before its announced length" },
	{ CURLE_OUT_OF_MEMORY, FORWARD_UNAVAILABLE, "the egress-proxy is out of memory" },
};

static void fail(struct fetch_result *r, enum forward_kind kind, const char *text)
{
	r->is_ok = false;
	r->kind = kind;
	(void)snprintf(r->text, sizeof(r->text), "%s", text);
}

static void fail_too_large(struct fetch *t)
{
	char text[100];

	(void)snprintf(text, sizeof(text), "the answer is too large: its body may have %.4g MiB",
		       (double)t->result.body.max / (1024.0 * 1024));
	fail(&t->result, FORWARD_TOO_LARGE, text);
}

static void judge_code(struct fetch *t, CURLcode code)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		if (failures[i].code != code)
			continue;
		fail(&t->result, failures[i].kind,
		     failures[i].text ? failures[i].text
		     : t->errors[0]   ? t->errors
				      : curl_easy_strerror(code));
		return;
	}
	fail(&t->result, FORWARD_PROTOCOL, curl_easy_strerror(code));
}

static const char budget_text[] = "too many large answers are under way; try again";

static void judge_end(struct fetch *t, CURLcode code)
{
	if (t->was_refused)
		fail(&t->result, FORWARD_DENIED,
		     "the host leads to an address that is not reachable");
	else if (t->is_too_large || code == CURLE_FILESIZE_EXCEEDED)
		fail_too_large(t);
	else if (t->is_starved)
		fail(&t->result, FORWARD_UNAVAILABLE, budget_text);
	else if (t->has_bad_header)
		fail(&t->result, FORWARD_PROTOCOL, "the answer holds a malformed header");
	else if (code == CURLE_ABORTED_BY_CALLBACK)
		fail(&t->result, FORWARD_CONNECT,
		     "the connection broke; the request may or may not have been received");
	else if (code != CURLE_OK)
		judge_code(t, code);
	else
		t->result.is_ok = true;
}

static const char *version_name(long version)
{
	switch (version) {
	case CURL_HTTP_VERSION_1_0:
		return "HTTP/1.0";
	case CURL_HTTP_VERSION_2_0:
		return "HTTP/2";
	default:
		return "HTTP/1.1";
	}
}

static uint64_t info_number(CURL *e, CURLINFO what)
{
	curl_off_t v = 0;

	(void)curl_easy_getinfo(e, what, &v);
	return v > 0 ? (uint64_t)v : 0;
}

static void take_figures(struct fetch *t)
{
	struct fetch_result *r = &t->result;
	long status = 0;
	long version = 0;
	long head_out = 0;
	long head_in = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
	(void)curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &head_out);
	(void)curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &head_in);
	r->status = (unsigned)status;
	r->http_version = version_name(version);
	r->bytes_out = (uint64_t)head_out + info_number(t->easy, CURLINFO_SIZE_UPLOAD_T);
	r->bytes_in = (uint64_t)head_in + info_number(t->easy, CURLINFO_SIZE_DOWNLOAD_T);
	r->ttfb_ms = (uint32_t)(info_number(t->easy, CURLINFO_STARTTRANSFER_TIME_T) / 1000);
	r->total_ms = (uint32_t)(info_number(t->easy, CURLINFO_TOTAL_TIME_T) / 1000);
}

/* ---- pools ---- */

static void pool_free(struct pool *p)
{
	struct pool **at = &p->fetcher->pools;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	/* Closes connections, which calls back to unwatch their sockets. */
	(void)curl_multi_cleanup(p->multi);
	loop_timer_clear(p->fetcher->loop, &p->timer);
	loop_timer_clear(p->fetcher->loop, &p->idle_timer);
	free(p->server_id);
	free(p);
}

static void on_pool_idle(void *arg)
{
	pool_free(arg);
}

static void fetch_free(struct fetch *t)
{
	struct pool *p = t->pool;

	(void)curl_multi_remove_handle(p->multi, t->easy);
	curl_easy_cleanup(t->easy);
	wipe_list(t->headers);
	curl_slist_free_all(t->resolve);
	curl_slist_free_all(t->connect_to);
	budget_give(t->rq.budget, t->held);
	headers_done(&t->result.headers);
	buf_done(&t->result.body);
	mask_cancel(&t->masking);
	wipe_text(t->url);
	free(t->url);
	free(t);
	if (--p->active == 0)
		loop_timer_set(p->fetcher->loop, &p->idle_timer, POOL_IDLE_US, on_pool_idle, p);
}

static void mask_headers(const struct mask *m, struct headers *h)
{
	struct headers masked = HEADERS_INIT(HEADERS_RESPONSE_COUNT);

	for (size_t i = 0; i < h->count; i++) {
		struct buf value = BUF_INIT(HEADERS_BYTES_MAX);

		(void)mask_text(m, h->items[i].value, strlen(h->items[i].value), &value);
		/* It may grow by the few signs that stand for a value; what has no room is left out. */
		if (!value.is_over)
			(void)!headers_append(&masked, h->items[i].name, buf_str(&value));
		buf_done(&value);
	}
	headers_wipe(h);
	*h = masked;
}

static void mask_rest(struct fetch *t)
{
	struct buf reason = BUF_INIT(4096);

	mask_end(&t->masking, false, &t->result.body);
	mask_headers(t->rq.mask, &t->result.headers);
	(void)mask_text(t->rq.mask, t->result.reason, strlen(t->result.reason), &reason);
	(void)snprintf(t->result.reason, sizeof(t->result.reason), "%s", buf_str(&reason));
	buf_done(&reason);
}

static void finish(struct fetch *t, CURLcode code)
{
	take_figures(t);
	if (t->rq.mask)
		mask_rest(t);
	t->is_too_large |= t->result.body.is_over;
	judge_end(t, code);
	headers_drop_response_hop(&t->result.headers);
	t->done(t->rq.arg, &t->result);
	fetch_free(t);
}

static void reap(struct pool *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		char *private = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		finish((struct fetch *)(void *)private, code);
	}
}

static void on_socket_ready(void *arg, int fd, uint32_t events)
{
	struct pool *p = arg;
	int running;
	int flags = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
		    (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		    (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

	(void)curl_multi_socket_action(p->multi, fd, flags, &running);
	reap(p);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct pool *p = arg;
	uint32_t events = 0;

	(void)easy;
	(void)unused;
	if (what == CURL_POLL_REMOVE) {
		loop_unwatch(p->fetcher->loop, fd);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	loop_watch(p->fetcher->loop, fd, events, on_socket_ready, p);
	return 0;
}

static void on_timer(void *arg)
{
	struct pool *p = arg;
	int running;

	(void)curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(p);
}

static int watch_timer(CURLM *multi, long ms, void *arg)
{
	struct pool *p = arg;

	(void)multi;
	if (ms < 0)
		loop_timer_clear(p->fetcher->loop, &p->timer);
	else
		loop_timer_set(p->fetcher->loop, &p->timer, (uint64_t)ms * 1000, on_timer, p);
	return 0;
}

static struct pool *pool_new(struct fetcher *f, const struct fetch_request *rq)
{
	struct pool *p = mem_alloc(sizeof(*p));

	p->fetcher = f;
	p->multi = curl_multi_init();
	if (!p->multi)
		box_bug("out of memory");
	p->server_id = mem_strdup(rq->server_id);
	memcpy(p->grant_hash, rq->grant_hash, sizeof(p->grant_hash));
	(void)curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	(void)curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	(void)curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
	(void)curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	(void)curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)POOL_CONNECTIONS);
	(void)curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	p->next = f->pools;
	f->pools = p;
	return p;
}

static struct pool *pool_find(struct fetcher *f, const struct fetch_request *rq)
{
	for (struct pool *p = f->pools; p; p = p->next)
		if (strcmp(p->server_id, rq->server_id) == 0 &&
		    memcmp(p->grant_hash, rq->grant_hash, sizeof(p->grant_hash)) == 0)
			return p;
	return pool_new(f, rq);
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *rq, fetch_done *done)
{
	struct fetch *t = mem_alloc(sizeof(*t));

	t->pool = pool_find(f, rq);
	loop_timer_clear(f->loop, &t->pool->idle_timer);
	t->pool->active++;
	t->rq = *rq;
	t->done = done;
	t->result.headers = (struct headers)HEADERS_INIT(HEADERS_RESPONSE_COUNT);
	t->result.body = (struct buf)BUF_INIT(rq->max_response);
	mask_begin(&t->masking, rq->mask);
	t->easy = curl_easy_init();
	if (!t->easy)
		box_bug("out of memory");
	set_rules(t);
	set_request(t);
	if (curl_multi_add_handle(t->pool->multi, t->easy) != CURLM_OK)
		box_bug("a fresh handle was refused");
	return t;
}

void fetch_cancel(struct fetch *t)
{
	fetch_free(t);
}

/* ---- the fetcher ---- */

static int add_file(const char *path, int to, struct err *err)
{
	FILE *in = fopen(path, "re");
	char chunk[16384];
	size_t total = 0;
	size_t n;
	bool is_pem = false;
	int r = 0;

	if (!in)
		return err_set(err, ERR_INVALID, "cannot read %s: %s", path,
			       strerrordesc_np(errno));
	while (r == 0 && (n = fread(chunk, 1, sizeof(chunk) - 1, in)) > 0) {
		chunk[n] = '\0';
		is_pem = is_pem || strstr(chunk, "-----BEGIN ");
		total += n;
		if (total > CA_FILE_MAX || write(to, chunk, n) != (ssize_t)n)
			r = err_set(err, ERR_INVALID, "%s is too large", path);
	}
	(void)fclose(in);
	if (r == 0 && !is_pem)
		r = err_set(err, ERR_INVALID, "%s holds no certificate in PEM form", path);
	return r;
}

/* What libcurl copies of a request, it frees without wiping. */
static void wiping_free(void *p)
{
	if (p)
		crypto_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *wiping_realloc(void *p, size_t len)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *to = malloc(len);

	if (!to)
		return NULL;
	if (p)
		memcpy(to, p, had < len ? had : len);
	wiping_free(p);
	return to;
}

static int open_anchors(struct fetcher *f, const char *ca_file, struct err *err)
{
	int r = 0;

	f->ca_fd = memfd_create("trust-anchors", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (f->ca_fd < 0)
		return err_set(err, ERR_INTERNAL, "no memory file for the trust anchors");
	if (access(SYSTEM_CA_FILE, R_OK) == 0)
		r = add_file(SYSTEM_CA_FILE, f->ca_fd, err);
	else
		log_warn("egress.system_anchors_missing", F_STR("path", SYSTEM_CA_FILE));
	if (r == 0 && ca_file)
		r = add_file(ca_file, f->ca_fd, err);
	(void)fcntl(f->ca_fd, F_ADD_SEALS,
		    F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	(void)snprintf(f->ca_path, sizeof(f->ca_path), "/proc/self/fd/%d", f->ca_fd);
	return r;
}

int fetcher_new(struct loop *l, const char *ca_file, struct fetcher **ret, struct err *err)
{
	struct fetcher *f = mem_alloc(sizeof(*f));
	int r;

	f->loop = l;
	r = open_anchors(f, ca_file, err);
	if (r == 0 && curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc,
					   strdup, calloc) != CURLE_OK)
		r = err_set(err, ERR_INTERNAL, "libcurl does not start");
	if (r < 0) {
		fetcher_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	for (struct pool *p = f->pools, *next; p; p = next) {
		next = p->next;
		pool_free(p);
	}
	if (f->ca_fd >= 0)
		(void)close(f->ca_fd);
	free(f);
}
