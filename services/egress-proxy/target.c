#include "target.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "mem.h"
#include "parse.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

/* White space, controls, and what separates host from the rest for this or that parser. */
static int check_host_bytes(const char *s, size_t len, struct err *err)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= 0x20 || c == 0x7f)
			return err_set(err, ERR_INVALID,
				       "the host holds a space or control character");
		if (strchr("%\\/?#@<>\"'`{}|^,;&=+$!*()~", c))
			return err_set(err, ERR_INVALID, "the host holds '%c'", c);
	}
	return 0;
}

/* Non-ASCII -> A-labels (IDNA2008, UTS 46 non-transitional).  ret: at least 256 bytes. */
static int to_a_labels(const char *s, size_t len, char *ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *copy = mem_strndup(s, len);
	uint8_t *out = NULL;
	int r;

	if (!text_is_utf8(s, len))
		return err_set(err, ERR_INVALID, "the host is not UTF-8");
	r = idn2_lookup_u8((const uint8_t *)copy, &out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r != IDN2_OK || strlen((const char *)out) > HOST_NAME_MAX_LEN + 1) {
		idn2_free(out);
		return err_set(err, ERR_INVALID, "the host is not a valid international name");
	}
	memcpy(ret, out, strlen((const char *)out) + 1);
	idn2_free(out);
	return 0;
}

static int check_labels(const char *name, size_t len, struct err *err)
{
	size_t label = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && name[i] != '.') {
			if (!is_label_char(name[i]))
				return err_set(err, ERR_INVALID,
					       "the host holds a character that names do not have");
			label++;
			continue;
		}
		if (label == 0)
			return err_set(err, ERR_INVALID, "the host has an empty label");
		if (label > 63)
			return err_set(err, ERR_INVALID, "the host has a label longer than 63");
		label = 0;
	}
	return 0;
}

/* Resolvers take such a name for an address in decimal, octal or hexadecimal. */
static bool looks_numeric(const char *name, size_t len)
{
	size_t start = len;
	size_t i;

	while (start > 0 && name[start - 1] != '.')
		start--;
	if (len - start >= 2 && name[start] == '0' && name[start + 1] == 'x') {
		for (i = start + 2; i < len && is_hex(name[i]); i++)
			;
		return i == len;
	}
	for (i = start; i < len && is_digit(name[i]); i++)
		;
	return i == len;
}

static int parse_literal_v6(const char *s, size_t len, struct host *ret, struct err *err)
{
	struct host h = { .kind = HOST_IS_V6 };

	if (len < 2 || s[len - 1] != ']' || address_parse_v6(s + 1, len - 2, &h.address) < 0)
		return err_set(err, ERR_INVALID, "brackets stand around an IPv6 address only");
	address_format(&h.address, h.text);
	*ret = h;
	return 0;
}

/* name: lower-case ASCII; was_ascii: as the caller wrote it. */
static int parse_name(const char *name, size_t len, bool was_ascii, struct host *ret,
		      struct err *err)
{
	struct host h = { .kind = HOST_IS_NAME };
	bool has_dot = len > 0 && name[len - 1] == '.';
	int r;

	if (has_dot)
		len--;
	if (len == 0)
		return err_set(err, ERR_INVALID, "the host is empty");
	if (len > HOST_NAME_MAX_LEN)
		return err_set(err, ERR_INVALID, "the host is longer than %d", HOST_NAME_MAX_LEN);
	r = check_labels(name, len, err);
	if (r < 0)
		return r;
	memcpy(h.text, name, len);
	if (looks_numeric(name, len)) {
		if (has_dot || !was_ascii || address_parse_v4(name, len, &h.address) < 0)
			return err_set(
				err, ERR_INVALID,
				"a numeric host must be four decimal parts, as in 192.0.2.1");
		h.kind = HOST_IS_V4;
	}
	*ret = h;
	return 0;
}

int host_parse(const char *text, size_t len, struct host *ret, struct err *err)
{
	char name[HOST_NAME_MAX_LEN + 2] = "";
	bool ascii = is_ascii(text, len);
	int r;

	if (len == 0)
		return err_set(err, ERR_INVALID, "the host is empty");
	/* Three bytes of UTF-8 make at least one of an A-label; what is longer than this cannot
	 * fit. */
	if (len > 4 * HOST_NAME_MAX_LEN || (ascii && len > HOST_NAME_MAX_LEN + 1))
		return err_set(err, ERR_INVALID, "the host is longer than %d", HOST_NAME_MAX_LEN);
	r = check_host_bytes(text, len, err);
	if (r < 0)
		return r;
	if (text[0] == '[')
		return parse_literal_v6(text, len, ret, err);
	if (ascii) {
		memcpy(name, text, len);
		name[len] = '\0';
	} else {
		r = to_a_labels(text, len, name, err);
		if (r < 0)
			return r;
	}
	for (char *p = name; *p; p++)
		*p = lower(*p);
	return parse_name(name, strlen(name), ascii, ret, err);
}

int port_parse(const char *text, size_t len, uint16_t *ret, struct err *err)
{
	uint32_t port = 0;

	if (len == 0 || len > 5 || text[0] == '0')
		return err_set(err, ERR_INVALID, "the port is not a number from 1 to 65535");
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(text[i]))
			return err_set(err, ERR_INVALID,
				       "the port is not a number from 1 to 65535");
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	if (port > 65535)
		return err_set(err, ERR_INVALID, "the port is not a number from 1 to 65535");
	*ret = (uint16_t)port;
	return 0;
}

/* Where the host ends: at the colon behind it, or at the end. */
static size_t host_length(const char *s, size_t len)
{
	const char *end;

	if (len > 0 && s[0] == '[') {
		end = memchr(s, ']', len);
		return end ? (size_t)(end - s) + 1 : len;
	}
	end = memchr(s, ':', len);
	return end ? (size_t)(end - s) : len;
}

/* default_port 0: the port must be there. */
static int parse_host_port(const char *s, size_t len, uint16_t default_port, struct target *t,
			   struct err *err)
{
	size_t host_len = host_length(s, len);
	int r;

	if (memchr(s, '@', len))
		return err_set(err, ERR_INVALID, "user names and passwords do not belong in a URL");
	r = host_parse(s, host_len, &t->host, err);
	if (r < 0)
		return r;
	if (host_len == len) {
		if (default_port == 0)
			return err_set(err, ERR_INVALID, "the port is missing");
		t->port = default_port;
		return 0;
	}
	if (s[host_len] != ':')
		return err_set(err, ERR_INVALID, "something stands between host and port");
	return port_parse(s + host_len + 1, len - host_len - 1, &t->port, err);
}

static size_t parse_scheme(const char *url, size_t len, bool *ret_is_https)
{
	static const struct {
		const char *text;
		bool is_https;
	} schemes[] = { { "https://", true }, { "http://", false } };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i].text);

		if (len >= n && strncasecmp(url, schemes[i].text, n) == 0) {
			*ret_is_https = schemes[i].is_https;
			return n;
		}
	}
	return 0;
}

/* What a browser would encode is encoded; controls were refused before. */
static void encode_path(const char *s, size_t len, struct buf *out)
{
	if (len == 0 || s[0] != '/')
		buf_add_char(out, '/');
	for (size_t i = 0; i < len && s[i] != '#'; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c > 0x7e || strchr(" \"<>\\^`{|}", c))
			buf_printf(out, "%%%02X", c);
		else
			buf_add_char(out, (char)c);
	}
}

static int check_url_bytes(const char *url, size_t len, struct err *err)
{
	if (len > TARGET_URL_MAX)
		return err_set(err, ERR_INVALID, "the URL is longer than %d bytes", TARGET_URL_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)url[i] < 0x20 || url[i] == 0x7f)
			return err_set(err, ERR_INVALID, "the URL holds a control character");
	return 0;
}

int target_parse_url(const char *url, size_t len, struct target *ret, struct err *err)
{
	struct target t = { .mode = TARGET_FORWARD };
	struct buf path = BUF_INIT(3 * TARGET_URL_MAX + 2);
	size_t start;
	size_t end;
	int r;

	r = check_url_bytes(url, len, err);
	if (r < 0)
		return r;
	start = parse_scheme(url, len, &t.is_https);
	if (start == 0)
		return err_set(err, ERR_INVALID, "the URL must begin with http:// or https://");
	for (end = start; end < len && !strchr("/?#", url[end]); end++)
		;
	r = parse_host_port(url + start, end - start, t.is_https ? 443 : 80, &t, err);
	if (r < 0)
		return r;
	encode_path(url + end, len - end, &path);
	t.path = mem_strdup(buf_str(&path));
	buf_done(&path);
	*ret = t;
	return 0;
}

int target_parse_authority(const char *text, size_t len, struct target *ret, struct err *err)
{
	struct target t = { .mode = TARGET_TUNNEL };
	int r = parse_host_port(text, len, 0, &t, err);

	if (r == 0)
		*ret = t;
	return r;
}

void target_done(struct target *t)
{
	free(t->path);
	t->path = NULL;
}

char *target_url(const struct target *t)
{
	bool v6 = t->host.kind == HOST_IS_V6;

	return mem_printf("%s://%s%s%s:%u%s", t->is_https ? "https" : "http", v6 ? "[" : "",
			  t->host.text, v6 ? "]" : "", t->port, t->path);
}

char *target_path_redacted(const struct target *t)
{
	const char *query = t->path ? strchr(t->path, '?') : NULL;

	if (!t->path)
		return mem_strdup("");
	if (!query)
		return mem_strdup(t->path);
	return mem_printf("%.*s?(redacted)", (int)(query - t->path), t->path);
}
