#include "inject.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "crypto.h"
#include "json.h"
#include "mem.h"
#include "parse.h"

#define PREFIX_LEN (sizeof(PLACEHOLDER_PREFIX) - 1)

static const struct {
	enum inject_place place;
	const char *name;
} places[] = {
	{ PLACE_HEADER, "header" },
	{ PLACE_QUERY, "query" },
	{ PLACE_PATH, "path" },
	{ PLACE_BODY, "body" },
};

unsigned inject_place_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (strcmp(places[i].name, name) == 0)
			return places[i].place;
	return 0;
}

static const char *place_name(enum inject_place place)
{
	size_t i = 0;

	while (places[i].place != place)
		i++;
	return places[i].name;
}

/* ---- how a place writes a value ---- */

struct work {
	const struct inject_secret *secrets;
	size_t count;
	struct injected *ret;
	struct err *err;
};

/* -ERR_INVALID: this place has no way to write it. */
typedef int write_fn(const struct secret *value, struct buf *ret);

static int write_raw(const struct secret *value, struct buf *ret)
{
	buf_add(ret, value->data, value->len);
	return 0;
}

static int write_header(const struct secret *value, struct buf *ret)
{
	BOX_CLEANUP(secret_freep) struct secret *latin1 = secret_new(NULL, value->len);

	if (!headers_to_latin1((const char *)value->data, (char *)latin1->data))
		return -ERR_INVALID;
	buf_add_str(ret, (const char *)latin1->data);
	return 0;
}

static int write_percent(const struct secret *value, struct buf *ret)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value->len; i++) {
		uint8_t c = value->data[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && strchr("-._~", c))) {
			buf_add_char(ret, (char)c);
		} else {
			buf_add_char(ret, '%');
			buf_add_char(ret, digits[c >> 4]);
			buf_add_char(ret, digits[c & 15]);
		}
	}
	return 0;
}

/* No segment may lead out of the path that was judged. */
static int write_path(const struct secret *value, struct buf *ret)
{
	return strspn((const char *)value->data, ".") == value->len ? -ERR_INVALID
								    : write_percent(value, ret);
}

static int write_json(const struct secret *value, struct buf *ret)
{
	size_t from = ret->len;

	json_add_string(ret, value->data, value->len);
	if (ret->is_over)
		return 0;
	/* It stands inside of a string that is there already. */
	ret->len -= 2;
	memmove(ret->data + from, ret->data + from + 1, ret->len - from);
	return 0;
}

/* ---- finding and replacing ---- */

static const uint8_t *find_prefix(const uint8_t *p, size_t len)
{
	return memmem(p, len, PLACEHOLDER_PREFIX, PREFIX_LEN);
}

static const struct inject_secret *lookup(const struct work *w, const uint8_t *at, size_t left)
{
	if (left < PLACEHOLDER_LEN)
		return NULL;
	for (size_t i = 0; i < w->count; i++)
		for (size_t k = 0; k < INJECT_PLACEHOLDERS; k++)
			if (memcmp(w->secrets[i].placeholders[k], at, PLACEHOLDER_LEN) == 0)
				return &w->secrets[i];
	return NULL;
}

static int check(const struct work *w, const struct inject_secret *s, enum inject_place place)
{
	if (!s->is_bound)
		return err_set(w->err, ERR_DENIED,
			       "the secret '%.255s' may not be sent to this host: an administrator "
			       "binds it to hosts",
			       s->key);
	if (!(s->places & place))
		return err_set(w->err, ERR_DENIED,
			       "the secret '%.255s' may not stand in the %s of a request: an "
			       "administrator sets its places",
			       s->key, place_name(place));
	return 0;
}

static int put(struct work *w, const struct inject_secret *s, enum inject_place place,
	       write_fn *write, struct buf *ret)
{
	int r = check(w, s, place);

	if (r < 0)
		return r;
	if (!write)
		return err_set(w->err, ERR_DENIED,
			       "the secret '%.255s' can stand in a body that is a form "
			       "(application/x-www-form-urlencoded) or JSON, in no other",
			       s->key);
	if (write(s->value, ret) < 0)
		return err_set(
			w->err, ERR_INVALID,
			"the value of the secret '%.255s' holds signs that cannot be written in "
			"the %s of a request",
			s->key, place_name(place));
	w->ret->used[s - w->secrets] = true;
	w->ret->is_changed = true;
	return 0;
}

/* Copies text into ret with what placeholders stand for; *ret_changed when one did. */
static int substitute(struct work *w, const void *text, size_t len, enum inject_place place,
		      write_fn *write, bool *ret_changed, struct buf *ret)
{
	const uint8_t *p = text, *end = p + len, *at;
	int r = 0;

	while (r == 0 && (at = find_prefix(p, (size_t)(end - p)))) {
		const struct inject_secret *s = lookup(w, at, (size_t)(end - at));

		buf_add(ret, p, (size_t)(at - p));
		if (s) {
			r = put(w, s, place, write, ret);
			*ret_changed = true;
			p = at + PLACEHOLDER_LEN;
		} else {
			buf_add(ret, at, PREFIX_LEN);
			w->ret->unknown++;
			p = at + PREFIX_LEN;
		}
	}
	buf_add(ret, p, (size_t)(end - p));
	return r;
}

static void wipe(struct buf *b)
{
	if (b->data)
		crypto_wipe(b->data, b->cap);
	buf_done(b);
}

/* The first growth is the last one as long as values are not much longer than placeholders: growing copies. */
static struct buf room_for(size_t len, size_t max)
{
	struct buf b = BUF_INIT(max);
	size_t room = len + 16 * 1024;

	(void)buf_grow(&b, room < max ? room : max);
	return b;
}

/* ---- headers ---- */

#define BASIC "Basic "

/* "Basic " and base64 of user:password -> the same with values in it. */
static int substitute_basic(struct work *w, const char *value, bool *ret_changed, struct buf *ret)
{
	const char *coded = value + sizeof(BASIC) - 1;
	struct buf plain;
	uint8_t *decoded = NULL;
	size_t len;
	int r;

	coded += strspn(coded, " ");
	if (parse_base64(coded, strlen(coded), &decoded, &len) < 0) {
		buf_add_str(ret, value); /* whatever that is */
		return 0;
	}
	plain = room_for(len, HEADERS_BYTES_MAX);
	r = substitute(w, decoded, len, PLACE_HEADER, write_raw, ret_changed, &plain);
	if (r == 0 && *ret_changed) {
		char *again = format_base64(plain.data, plain.len);

		buf_add_str(ret, BASIC);
		buf_add_str(ret, again);
		crypto_wipe(again, strlen(again));
		free(again);
	} else {
		buf_add_str(ret, value);
	}
	ret->is_over |= plain.is_over;
	wipe(&plain);
	free(decoded);
	return r;
}

static int substitute_header(struct work *w, const struct header *h)
{
	struct buf value = room_for(strlen(h->value), HEADERS_BYTES_MAX);
	bool is_changed = false;
	int r;

	if (strncasecmp(h->value, BASIC, sizeof(BASIC) - 1) == 0)
		r = substitute_basic(w, h->value, &is_changed, &value);
	else
		r = substitute(w, h->value, strlen(h->value), PLACE_HEADER, write_header,
			       &is_changed, &value);
	if (r == 0 &&
	    (value.is_over || headers_append(&w->ret->headers, h->name, buf_str(&value)) < 0))
		r = err_set(w->err, ERR_TOO_LARGE,
			    "the headers are too large with the secrets in them");
	wipe(&value);
	return r;
}

static int substitute_headers(struct work *w, const struct headers *h)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < h->count; i++)
		r = substitute_header(w, &h->items[i]);
	return r;
}

/* ---- the rest ---- */

static int substitute_path(struct work *w, const char *path)
{
	struct buf b = room_for(strlen(path), INJECT_PATH_MAX);
	size_t query = strcspn(path, "?");
	bool is_changed = false;
	int r = substitute(w, path, query, PLACE_PATH, write_path, &is_changed, &b);

	if (r == 0)
		r = substitute(w, path + query, strlen(path + query), PLACE_QUERY, write_percent,
			       &is_changed, &b);
	if (r == 0 && b.is_over)
		r = err_set(w->err, ERR_TOO_LARGE, "the URL is too large with the secrets in it");
	if (r == 0)
		w->ret->path = mem_strdup(buf_str(&b));
	wipe(&b);
	return r;
}

static bool is_type(const char *given, size_t len, const char *type)
{
	return len == strlen(type) && strncasecmp(given, type, len) == 0;
}

/* NULL: of this kind of body we do not know what would be a part of its form. */
static write_fn *writer_of(const struct headers *h)
{
	const char *type = headers_find(h, "Content-Type");
	size_t len = type ? strcspn(type, "; \t") : 0;

	if (len == 0)
		return NULL;
	if (is_type(type, len, "application/x-www-form-urlencoded"))
		return write_percent;
	if (is_type(type, len, "application/json") ||
	    (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0))
		return write_json;
	return NULL;
}

static int substitute_body(struct work *w, const struct headers *h, const void *body, size_t len,
			   size_t max)
{
	bool is_changed = false;
	int r;

	if (len == 0 || !find_prefix(body, len))
		return 0;
	w->ret->body = room_for(len, max + 2); /* write_json() takes quotes away again */
	r = substitute(w, body, len, PLACE_BODY, writer_of(h), &is_changed, &w->ret->body);
	if (r == 0 && (w->ret->body.is_over || w->ret->body.len > max))
		r = err_set(w->err, ERR_TOO_LARGE, "the body is too large with the secrets in it");
	w->ret->has_body = is_changed;
	return r;
}

bool inject_is_needed(const struct forward_request *rq, const void *body, size_t body_len)
{
	for (size_t i = 0; i < rq->headers.count; i++) {
		const char *value = rq->headers.items[i].value;

		if (strstr(value, PLACEHOLDER_PREFIX) ||
		    strncasecmp(value, BASIC, sizeof(BASIC) - 1) == 0)
			return true;
	}
	return strstr(rq->target.path, PLACEHOLDER_PREFIX) ||
	       (body_len > 0 && find_prefix(body, body_len));
}

int inject(const struct inject_secret *secrets, size_t count, const struct forward_request *rq,
	   const void *body, size_t body_len, size_t body_max, struct injected *ret,
	   struct err *err)
{
	struct work w = { secrets, count, ret, err };
	int r;

	*ret = (struct injected){ .headers = HEADERS_INIT(HEADERS_REQUEST_COUNT),
				  .used = mem_alloc_array(count + 1, sizeof(bool)) };
	r = substitute_headers(&w, &rq->headers);
	if (r == 0)
		r = substitute_path(&w, rq->target.path);
	return r == 0 ? substitute_body(&w, &rq->headers, body, body_len, body_max) : r;
}

void injected_done(struct injected *i)
{
	headers_wipe(&i->headers);
	if (i->path)
		crypto_wipe(i->path, strlen(i->path));
	free(i->path);
	wipe(&i->body);
	free(i->used);
	*i = (struct injected){ 0 };
}
