#include "hosts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <idn2.h>
#include <libpsl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host_never.h"
#include "parse.h"

enum { ENTRY_MAX = 512, LABEL_MAX = 63, NAME_MAX_LEN = 253 };

static int bad(struct err *err, const char *why)
{
	return err_set_field(err, ERR_INVALID, "host",
			     "write host[:port][+private], or *.suffix for subdomains", "%s", why);
}

/* ---- addresses ---------------------------------------------------------------------------------- */

enum range_kind { RANGE_NEVER, RANGE_PRIVATE };

/* Never reachable, whoever approves; and those that a private grant opens. */
static const struct {
	uint32_t net, mask;
	enum range_kind kind;
} ranges4[] = {
	{ 0x00000000, 0xff000000, RANGE_NEVER },   /* this network */
	{ 0x0a000000, 0xff000000, RANGE_PRIVATE }, /* 10/8 */
	{ 0x64400000, 0xffc00000, RANGE_NEVER },   /* 100.64/10 shared, holds metadata addresses */
	{ 0x7f000000, 0xff000000, RANGE_NEVER },   /* loopback */
	{ 0xa9fe0000, 0xffff0000, RANGE_NEVER },   /* link local, metadata */
	{ 0xac100000, 0xfff00000, RANGE_PRIVATE }, /* 172.16/12 */
	{ 0xc0000000, 0xffffff00, RANGE_NEVER },   /* protocol assignments */
	{ 0xc0000200, 0xffffff00, RANGE_NEVER },   /* TEST-NET-1 */
	{ 0xc0586300, 0xffffff00, RANGE_NEVER },   /* 6to4 relays */
	{ 0xc0a80000, 0xffff0000, RANGE_PRIVATE }, /* 192.168/16 */
	{ 0xc6120000, 0xfffe0000, RANGE_NEVER },   /* benchmarks */
	{ 0xc6336400, 0xffffff00, RANGE_NEVER },   /* TEST-NET-2 */
	{ 0xcb007100, 0xffffff00, RANGE_NEVER },   /* TEST-NET-3 */
	{ 0xe0000000, 0xe0000000, RANGE_NEVER },   /* multicast, reserved, broadcast */
};

static int judge4(uint32_t addr, struct host_entry *h, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(ranges4); i++) {
		if ((addr & ranges4[i].mask) != ranges4[i].net)
			continue;
		if (ranges4[i].kind == RANGE_NEVER)
			return bad(err, "this address can never be reached");
		h->needs_private = true;
	}
	return 0;
}

struct range6 {
	uint8_t net[16];
	unsigned bits;
};
/* Inside 2000::/3 and yet not plain hosts. */
static const struct range6 refused6[] = {
	{ { 0x20, 0x01, 0x00 }, 23 },       /* Teredo, ORCHID, protocol assignments */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x20, 0x02 }, 16 },             /* 6to4 carries an IPv4 address */
	{ { 0x3f, 0xff }, 20 },             /* documentation */
};
static const struct range6 unicast6 = { { 0x20 }, 3 };
static const struct range6 local6 = { { 0xfc }, 7 };

static bool in6(const uint8_t addr[16], const struct range6 *r)
{
	for (unsigned bit = 0; bit < r->bits; bit++)
		if (((addr[bit / 8] ^ r->net[bit / 8]) >> (7 - bit % 8)) & 1)
			return false;
	return true;
}

static int judge6(const uint8_t addr[16], struct host_entry *h, struct err *err)
{
	/* fd00:ec2::254, a metadata service inside the unique local range. */
	static const struct range6 metadata6 = { { 0xfd, 0x00, 0x0e, 0xc2 }, 32 };

	if (in6(addr, &local6) && !in6(addr, &metadata6)) {
		h->needs_private = true;
		return 0;
	}
	if (!in6(addr, &unicast6))
		return bad(err, "this address can never be reached");
	for (size_t i = 0; i < ARRAY_LEN(refused6); i++)
		if (in6(addr, &refused6[i]))
			return bad(err, "this address can never be reached");
	return 0;
}

/* Whoever reads such a name may take it for a number: 127.1, 0x7f.1, 2130706433. */
static bool looks_numeric(const char *host)
{
	const char *last = strrchr(host, '.');

	last = last ? last + 1 : host;
	return strspn(last, "0123456789") == strlen(last) || strncmp(last, "0x", 2) == 0;
}

static int parse_literal4(struct host_entry *h, struct err *err)
{
	struct in_addr a;
	char again[INET_ADDRSTRLEN];

	/* inet_pton takes dotted quads only; the way back refuses leading zeros of older libraries. */
	if (inet_pton(AF_INET, h->host, &a) != 1 || !inet_ntop(AF_INET, &a, again, sizeof(again)) ||
	    strcmp(again, h->host) != 0)
		return bad(err, "a numeric host must be a plain dotted IPv4 address");
	h->is_literal = true;
	return judge4(ntohl(a.s_addr), h, err);
}

static int parse_literal6(const char *text, size_t len, struct host_entry *h, struct err *err)
{
	char copy[INET6_ADDRSTRLEN + 1];
	uint8_t addr[16];

	if (len >= sizeof(copy))
		return bad(err, "this is no IPv6 address");
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET6, copy, addr) != 1 ||
	    !inet_ntop(AF_INET6, addr, h->host, INET6_ADDRSTRLEN))
		return bad(err, "this is no IPv6 address");
	h->is_literal = true;
	return judge6(addr, h, err);
}

/* ---- names -------------------------------------------------------------------------------------- */

/* Beside those of host_is_never(): what they are depends on where one is, and the proxy judges the address. */
static const char *const inside_names[] = {
	"metadata",
	"kubernetes",
	"kubernetes.default",
	"kubernetes.default.svc",
	"kubernetes.default.svc.cluster.local",
};
static const char *const local_suffixes[] = { ".local",     ".internal", ".lan",     ".home",
					      ".home.arpa", ".corp",     ".intranet" };

static bool ends_with(const char *s, const char *suffix)
{
	size_t len = strlen(s), n = strlen(suffix);

	return len > n && strcmp(s + len - n, suffix) == 0;
}

static bool label_ok(const char *label, size_t len)
{
	if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(label[i] >= 'a' && label[i] <= 'z') &&
		    !(label[i] >= '0' && label[i] <= '9') && label[i] != '-' && label[i] != '_')
			return false;
	return true;
}

static bool name_ok(const char *name)
{
	if (strlen(name) > NAME_MAX_LEN)
		return false;
	for (;;) {
		size_t len = strcspn(name, ".");

		if (!label_ok(name, len))
			return false;
		if (name[len] == '\0')
			return true;
		name += len + 1;
	}
}

/* Non-ASCII through IDNA 2008 (UTS 46, non-transitional); ASCII only lowered, so that "_" and what
 * punycode the author wrote stay as they are. */
static int to_ascii(const char *name, char ret[256], struct err *err)
{
	char *ascii = NULL;
	bool plain = true;
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		plain = plain && (unsigned char)name[i] < 0x80;
	if (plain) {
		if (len > 255)
			return bad(err, "the host name is too long");
		for (size_t i = 0; i <= len; i++)
			ret[i] = (char)tolower((unsigned char)name[i]);
		return 0;
	}
	if (!text_is_utf8(name, len) ||
	    idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return bad(err, "the host name is not a valid international name");
	if (strlen(ascii) > 255) {
		idn2_free(ascii);
		return bad(err, "the host name is too long");
	}
	(void)snprintf(ret, 256, "%s", ascii);
	idn2_free(ascii);
	return 0;
}

static bool is_public_suffix(const char *name)
{
	const psl_ctx_t *psl = psl_builtin();

	/* A library without the list still knows that a single label is one. */
	return psl ? psl_is_public_suffix(psl, name) != 0 : !strchr(name, '.');
}

static int judge_name(struct host_entry *h, bool is_wild, struct err *err)
{
	const char *name = is_wild ? h->host + 2 : h->host;

	if (!name_ok(name))
		return bad(err, "the host name has an empty, too long or ill-formed part");
	if (host_is_never(name))
		return bad(err, "this host can never be reached");
	for (size_t i = 0; i < ARRAY_LEN(inside_names); i++)
		if (strcmp(name, inside_names[i]) == 0)
			return bad(err, "this host can never be reached");
	if (is_wild && is_public_suffix(name))
		return bad(err,
			   "a wildcard over a public suffix covers strangers; name the domain");
	h->needs_private = !strchr(name, '.');
	for (size_t i = 0; i < ARRAY_LEN(local_suffixes); i++)
		h->needs_private |= ends_with(name, local_suffixes[i]);
	return 0;
}

static int parse_name(const char *text, size_t len, struct host_entry *h, struct err *err)
{
	char copy[ENTRY_MAX + 1];
	bool is_wild;
	int r;

	memcpy(copy, text, len);
	copy[len] = '\0';
	if (len > 0 && copy[len - 1] == '.')
		copy[len - 1] = '\0'; /* one trailing dot is the same name */
	is_wild = strncmp(copy, "*.", 2) == 0;
	r = to_ascii(is_wild ? copy + 2 : copy, h->host + (is_wild ? 2 : 0), err);
	if (r != 0)
		return r;
	if (is_wild)
		memcpy(h->host, "*.", 2);
	if (looks_numeric(h->host))
		return is_wild || copy[0] == '\0' ? bad(err, "an address has no subdomains")
						  : parse_literal4(h, err);
	return judge_name(h, is_wild, err);
}

/* ---- the entry ---------------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const char **text, size_t *len)
{
	while (*len > 0 && is_space(**text)) {
		(*text)++;
		(*len)--;
	}
	while (*len > 0 && is_space((*text)[*len - 1]))
		(*len)--;
}

static int parse_port(const char *text, size_t len, uint32_t *ret, struct err *err)
{
	char digits[6];
	uint64_t port;

	if (len == 0 || len >= sizeof(digits) || text[0] == '0')
		return bad(err, "the port must be a number from 1 to 65535");
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (parse_u64(digits, 1, 65535, &port) < 0)
		return bad(err, "the port must be a number from 1 to 65535");
	*ret = (uint32_t)port;
	return 0;
}

static int parse_bracketed(const char *text, size_t len, struct host_entry *h, struct err *err)
{
	const char *end = memchr(text, ']', len);
	size_t rest;
	int r;

	if (!end)
		return bad(err, "the bracket of the address is not closed");
	r = parse_literal6(text + 1, (size_t)(end - text) - 1, h, err);
	rest = len - (size_t)(end - text) - 1;
	if (r < 0 || rest == 0)
		return r;
	return end[1] == ':' ? parse_port(end + 2, rest - 1, &h->port, err)
			     : bad(err, "only a port may follow the address");
}

static int parse_entry(const char *text, size_t len, struct host_entry *h, struct err *err)
{
	static const char mark[] = "+private";
	const char *colon;
	int r = 0;

	if (len > sizeof(mark) - 1 &&
	    memcmp(text + len - (sizeof(mark) - 1), mark, sizeof(mark) - 1) == 0) {
		h->is_private = true;
		len -= sizeof(mark) - 1;
	}
	if (len == 0)
		return bad(err, "the host is missing");
	if (text[0] == '[')
		return parse_bracketed(text, len, h, err);
	colon = memchr(text, ':', len);
	if (colon && memchr(colon + 1, ':', len - (size_t)(colon + 1 - text)))
		return parse_literal6(text, len, h, err); /* bare: clear enough, it has no port */
	if (colon) {
		r = parse_port(colon + 1, len - (size_t)(colon + 1 - text), &h->port, err);
		len = (size_t)(colon - text);
	}
	return r == 0 ? parse_name(text, len, h, err) : r;
}

int host_parse(const char *text, size_t len, struct host_entry *ret, struct err *err)
{
	struct host_entry h = { 0 };
	int r;

	trim(&text, &len);
	if (len > ENTRY_MAX)
		return bad(err, "the host is too long");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return bad(err, "the host holds a space or a control sign");
	if (memchr(text, '/', len) || memchr(text, '@', len) || memchr(text, '\\', len) ||
	    memchr(text, '?', len) || memchr(text, '#', len) || memchr(text, '%', len))
		return bad(err, "an entry is a host, not a URL, range or path");
	r = parse_entry(text, len, &h, err);
	if (r == 0)
		*ret = h;
	return r;
}

void host_format(const struct host_entry *h, bool with_private, char ret[300])
{
	bool bracket = strchr(h->host, ':') != NULL;
	char port[8] = "";

	if (h->port)
		(void)snprintf(port, sizeof(port), ":%u", h->port % 65536);
	(void)snprintf(ret, 300, "%s%s%s%s%s", bracket ? "[" : "", h->host, bracket ? "]" : "",
		       port, with_private ? "+private" : "");
}
