#include "http_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "buf.h"
#include "err.h"
#include "mem.h"
#include "parse.h"

/* RFC 9110, 5.6.2 */
static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		bool is_word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			       (*s >= '0' && *s <= '9');

		if (!is_word && !strchr("!#$%&'*+-.^_`|~", *s))
			return false;
	}
	return true;
}

static bool value_is_clean(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static size_t count_header(const struct http_pair *headers, size_t count, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += strcasecmp(headers[i].name, name) == 0;
	return n;
}

const char *http_find_header(const struct http_pair *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return headers[i].value;
	return NULL;
}

int http_judge_headers(const struct http_pair *headers, size_t count, struct http_framing *ret)
{
	const char *length = http_find_header(headers, count, "Content-Length");
	const char *encoding = http_find_header(headers, count, "Transfer-Encoding");
	struct http_framing framing = { 0 };

	if (count >= HTTP_PAIRS_MAX)
		return -ERR_INVALID;
	for (size_t i = 0; i < count; i++)
		if (!is_token(headers[i].name) || !value_is_clean(headers[i].value))
			return -ERR_INVALID;
	if (count_header(headers, count, "Host") != 1 ||
	    count_header(headers, count, "Content-Length") > 1 ||
	    count_header(headers, count, "Transfer-Encoding") > 1 || (length && encoding))
		return -ERR_INVALID;
	if (encoding && strcasecmp(encoding, "chunked") != 0)
		return -ERR_INVALID;
	/* civetweb's keep-alive arithmetic overflows near 2^63. */
	if (length && parse_u64(length, 0, UINT32_MAX, &framing.length) < 0)
		return -ERR_INVALID;
	framing.is_chunked = encoding != NULL;
	*ret = framing;
	return 0;
}

static bool gap_is_blank(const struct http_pair *header)
{
	for (const char *p = header->name + strlen(header->name) + 1; p < header->value; p++)
		if (*p != ' ' && *p != '\t')
			return false;
	return true;
}

bool http_head_is_whole(const struct http_pair *headers, size_t count)
{
	const char *end = NULL;

	if (count == 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		end = headers[i].value + strlen(headers[i].value);
		if (!gap_is_blank(&headers[i]) ||
		    (i + 1 < count && headers[i + 1].name != end + 2)) /* a line that ended in LF */
			return false;
	}
	return end[1] == '\0' && end[2] == '\r' && end[3] == '\0';
}

bool http_type_is_json(const char *content_type)
{
	static const char prefix[] = "application/";
	const char *type = content_type;
	size_t len;

	if (strncasecmp(type, prefix, sizeof(prefix) - 1) != 0)
		return false;
	type += sizeof(prefix) - 1;
	len = strcspn(type, "; \t");
	if (len == 4)
		return strncasecmp(type, "json", 4) == 0;
	return len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0;
}

/* The byte behind '%' at p; -1 when it is none. */
static int read_escape(const char *p)
{
	char digits[3] = { p[0], p[0] ? p[1] : '\0', '\0' };
	uint8_t byte;

	return parse_hex(digits, &byte, 1) < 0 ? -1 : byte;
}

/* Appends the path decoded; "%2F" would become a slash that was none. */
static bool add_decoded_path(struct buf *b, const char *raw)
{
	for (; *raw; raw++) {
		int c = (unsigned char)*raw;

		if (c == '%') {
			c = read_escape(raw + 1);
			if (c < 0 || c == '/')
				return false;
			raw += 2;
		}
		if (c < 0x20 || c == 0x7f || c == '\\')
			return false;
		buf_add_char(b, (char)c);
	}
	return true;
}

static bool segments_are_plain(const char *path)
{
	while (*path == '/') {
		size_t len = strcspn(++path, "/");

		if ((len == 0 && path[0]) || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
	}
	return *path == '\0';
}

int http_parse_path(const char *raw, char **ret)
{
	struct buf path BOX_CLEANUP(buf_done) = BUF_INIT(strlen(raw));
	size_t len;

	if (raw[0] != '/' || strchr(raw, '#') || strchr(raw, '?') ||
	    !add_decoded_path(&path, raw) || !text_is_utf8(path.data, path.len) ||
	    !segments_are_plain(buf_str(&path)))
		return -ERR_INVALID;
	*ret = (char *)buf_take(&path, &len);
	return 0;
}

/* Decodes in place up to one of `stops`.  Returns where it stopped (in the source), NULL for a bad
 * escape. */
static char *decode_query_part(char *source, char **target, const char *stops)
{
	for (; *source && !strchr(stops, *source); source++) {
		int c = *source == '+' ? ' ' : (unsigned char)*source;

		if (c == '%') {
			c = read_escape(source + 1);
			source += 2;
		}
		if (c <= 0)
			return NULL;
		*(*target)++ = (char)c;
	}
	return source;
}

/* One pair at *source; decoded text never is longer, so it goes over what was read. */
static int read_pair(char **source, char **target, struct http_pair *ret)
{
	char *p;
	char stop;

	ret->name = *target;
	p = decode_query_part(*source, target, "=&");
	if (!p)
		return -ERR_INVALID;
	stop = *p;
	if (stop)
		p++;
	*(*target)++ = '\0';
	ret->value = stop == '=' ? *target : "";
	if (stop == '=') {
		p = decode_query_part(p, target, "&");
		if (!p)
			return -ERR_INVALID;
		if (*p)
			p++;
		*(*target)++ = '\0';
	}
	*source = p;
	return text_is_utf8(ret->name, strlen(ret->name)) &&
			       text_is_utf8(ret->value, strlen(ret->value))
		       ? 0
		       : -ERR_INVALID;
}

int http_parse_query(const char *raw, struct http_query *ret)
{
	struct http_query q = { 0 };
	char *source, *target;
	int r = 0;

	if (!raw)
		raw = "";
	/* A pair without '&' behind it still needs its two NULs. */
	q.text = mem_alloc(strlen(raw) + 2);
	source = target = q.text;
	memcpy(source, raw, strlen(raw) + 1);
	while (*source && r == 0) {
		r = q.count == HTTP_PAIRS_MAX ? -ERR_TOO_LARGE
					      : read_pair(&source, &target, &q.pairs[q.count]);
		q.count++;
	}
	if (r < 0)
		http_query_done(&q);
	else
		*ret = q;
	return r;
}

void http_query_done(struct http_query *q)
{
	free(q->text);
	*q = (struct http_query){ 0 };
}

static bool keep_param(struct http_match *m, const char *name, size_t name_len, const char *value,
		       size_t value_len)
{
	box_assert(m->count < HTTP_PARAMS_MAX);
	m->params[m->count++] =
		(struct http_match_param){ name, name_len, mem_strndup(value, value_len) };
	return true;
}

/* Both stand at a slash.  Sets *ret_is_rest when the pattern's segment takes all that follows. */
static bool match_segment(const char *pattern, size_t pattern_len, const char *path,
			  size_t path_len, struct http_match *m, bool *ret_is_rest)
{
	static const char rest[] = "...}";

	*ret_is_rest = false;
	if (pattern_len < 2 || pattern[0] != '{')
		return pattern_len == path_len && memcmp(pattern, path, path_len) == 0;
	if (pattern_len > sizeof(rest) &&
	    memcmp(pattern + pattern_len - (sizeof(rest) - 1), rest, sizeof(rest) - 1) == 0) {
		*ret_is_rest = true;
		return keep_param(m, pattern + 1, pattern_len - sizeof(rest), path, strlen(path));
	}
	return path_len > 0 && keep_param(m, pattern + 1, pattern_len - 2, path, path_len);
}

static bool match_segments(const char *pattern, const char *path, struct http_match *m)
{
	bool is_rest;

	while (*pattern == '/' && *path == '/') {
		size_t pattern_len = strcspn(++pattern, "/"), path_len = strcspn(++path, "/");

		if (!match_segment(pattern, pattern_len, path, path_len, m, &is_rest))
			return false;
		if (is_rest)
			return true;
		pattern += pattern_len;
		path += path_len;
	}
	return !*pattern && !*path;
}

bool http_pattern_is_rest(const char *pattern)
{
	static const char rest[] = "...}";
	size_t len = strlen(pattern);

	return len >= sizeof(rest) && strcmp(pattern + len - (sizeof(rest) - 1), rest) == 0;
}

bool http_match_path(const char *pattern, const char *path, struct http_match *ret)
{
	struct http_match m = { 0 };

	if (!match_segments(pattern, path, &m)) {
		http_match_done(&m);
		return false;
	}
	*ret = m;
	return true;
}

const char *http_match_param(const struct http_match *m, const char *name)
{
	for (size_t i = 0; i < m->count; i++)
		if (strlen(name) == m->params[i].name_len &&
		    memcmp(m->params[i].name, name, m->params[i].name_len) == 0)
			return m->params[i].value;
	return NULL;
}

void http_match_done(struct http_match *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->params[i].value);
	*m = (struct http_match){ 0 };
}
