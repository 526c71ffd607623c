#include "address.h"

#include <arpa/inet.h>
#include <string.h>
#include "err.h"

struct range {
	uint8_t prefix[16];
	uint8_t bits;
	enum address_class class;
};

/* First match wins, so an exception stands above its range. */
static const struct range ranges_v4[] = {
	{ { 168, 63, 129, 16 }, 32, ADDRESS_METADATA }, /* Azure's wire server, a public address */
	{ { 100, 100, 100, 200 }, 32, ADDRESS_METADATA },
	{ { 169, 254, 169, 0 }, 24, ADDRESS_METADATA },
	{ { 169, 254, 170, 0 }, 24, ADDRESS_METADATA },
	{ { 192, 0, 0, 192 }, 32, ADDRESS_METADATA },
	{ { 0 }, 8, ADDRESS_UNSPECIFIED }, /* Linux dials the own host for 0.0.0.0 */
	{ { 10 }, 8, ADDRESS_PRIVATE },
	{ { 100, 64 }, 10, ADDRESS_SHARED },
	{ { 127 }, 8, ADDRESS_LOOPBACK },
	{ { 169, 254 }, 16, ADDRESS_LINK_LOCAL },
	{ { 172, 16 }, 12, ADDRESS_PRIVATE },
	{ { 192, 0, 0 }, 24, ADDRESS_RESERVED },
	{ { 192, 0, 2 }, 24, ADDRESS_RESERVED },
	{ { 192, 88, 99 }, 24, ADDRESS_RESERVED },
	{ { 192, 168 }, 16, ADDRESS_PRIVATE },
	{ { 198, 18 }, 15, ADDRESS_RESERVED },
	{ { 198, 51, 100 }, 24, ADDRESS_RESERVED },
	{ { 203, 0, 113 }, 24, ADDRESS_RESERVED },
	{ { 224 }, 4, ADDRESS_MULTICAST },
	{ { 240 }, 4, ADDRESS_RESERVED },
};

/* What no row names is reserved: only 2000::/3 is global unicast today. */
static const struct range ranges_v6[] = {
	{ { 0 }, 128, ADDRESS_UNSPECIFIED },
	{ { [15] = 1 }, 128, ADDRESS_LOOPBACK },
	{ { [10] = 0xff, 0xff }, 96, ADDRESS_EMBEDDED },         /* ::ffff:0:0/96, mapped */
	{ { 0 }, 96, ADDRESS_EMBEDDED },                         /* ::/96, compatible */
	{ { 0, 0x64, 0xff, 0x9b }, 96, ADDRESS_EMBEDDED },       /* NAT64 */
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, ADDRESS_EMBEDDED }, /* NAT64, local use */
	{ { 0xfd, 0, 0x0e, 0xc2 }, 32, ADDRESS_METADATA },       /* AWS, inside unique local */
	{ { 0xfd, 0x20, 0, 0xce }, 32, ADDRESS_METADATA },       /* Google */
	{ { 0xfc }, 7, ADDRESS_PRIVATE },
	{ { 0xfe, 0x80 }, 10, ADDRESS_LINK_LOCAL },
	{ { 0xfe, 0xc0 }, 10, ADDRESS_RESERVED }, /* site local, withdrawn */
	{ { 0xff }, 8, ADDRESS_MULTICAST },
	{ { 0x20, 0x01, 0, 0 }, 32, ADDRESS_EMBEDDED }, /* Teredo */
	{ { 0x20, 0x01, 0x00 }, 23, ADDRESS_RESERVED }, /* ORCHID, benchmarks, AMT */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_RESERVED },
	{ { 0x20, 0x02 }, 16, ADDRESS_EMBEDDED }, /* 6to4 */
	{ { 0x3f, 0xff }, 20, ADDRESS_RESERVED },
	{ { 0x20 }, 3, ADDRESS_GLOBAL },
};

static const char *const class_names[ADDRESS_CLASS_COUNT] = {
	[ADDRESS_GLOBAL] = "global",           [ADDRESS_PRIVATE] = "private",
	[ADDRESS_LOOPBACK] = "loopback",       [ADDRESS_LINK_LOCAL] = "link-local",
	[ADDRESS_METADATA] = "metadata",       [ADDRESS_SHARED] = "shared",
	[ADDRESS_UNSPECIFIED] = "unspecified", [ADDRESS_MULTICAST] = "multicast",
	[ADDRESS_EMBEDDED] = "embedded-v4",    [ADDRESS_RESERVED] = "reserved",
};

static bool matches(const struct range *r, const uint8_t *bytes)
{
	unsigned whole = r->bits / 8u;
	unsigned rest = r->bits % 8u;

	if (memcmp(r->prefix, bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((r->prefix[whole] ^ bytes[whole]) >> (8u - rest)) == 0;
}

static enum address_class look_up(const struct range *rows, size_t count, const uint8_t *bytes,
				  enum address_class otherwise)
{
	for (size_t i = 0; i < count; i++)
		if (matches(&rows[i], bytes))
			return rows[i].class;
	return otherwise;
}

/* An interface identifier of RFC 5214 carries an IPv4 address to which a router may tunnel. */
static bool is_isatap(const uint8_t *b)
{
	return (b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe;
}

enum address_class address_classify(const struct address *a)
{
	enum address_class class;

	if (a->len == 4)
		return look_up(ranges_v4, ARRAY_LEN(ranges_v4), a->bytes, ADDRESS_GLOBAL);
	if (a->len != 16)
		return ADDRESS_RESERVED;
	class = look_up(ranges_v6, ARRAY_LEN(ranges_v6), a->bytes, ADDRESS_RESERVED);
	if ((class == ADDRESS_GLOBAL || class == ADDRESS_PRIVATE) && is_isatap(a->bytes))
		return ADDRESS_EMBEDDED;
	return class;
}

const char *address_class_name(enum address_class c)
{
	return (unsigned)c < ADDRESS_CLASS_COUNT ? class_names[c] : "unknown";
}

bool address_class_is_allowed(enum address_class c, bool allow_private)
{
	return c == ADDRESS_GLOBAL || (c == ADDRESS_PRIVATE && allow_private);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static int parse_with(int family, uint8_t size, const char *text, size_t len, struct address *ret)
{
	char copy[ADDRESS_TEXT_SIZE];
	struct address a = { .len = size };

	if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len))
		return -ERR_INVALID;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(family, copy, a.bytes) != 1)
		return -ERR_INVALID;
	*ret = a;
	return 0;
}

/* glibc's inet_pton takes exactly four decimal parts, no leading zeros; the tests hold it to that.
 */
int address_parse_v4(const char *text, size_t len, struct address *ret)
{
	return parse_with(AF_INET, 4, text, len, ret);
}

int address_parse_v6(const char *text, size_t len, struct address *ret)
{
	return parse_with(AF_INET6, 16, text, len, ret);
}

void address_format(const struct address *a, char ret[ADDRESS_TEXT_SIZE])
{
	ret[0] = '\0';
	if (a->len == 4 || a->len == 16)
		(void)inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->bytes, ret, ADDRESS_TEXT_SIZE);
}

int address_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct address *ret,
			  uint16_t *ret_port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (sa->sa_family == AF_INET && len >= (socklen_t)sizeof(v4)) {
		memcpy(&v4, sa, sizeof(v4));
		*ret = (struct address){ .len = 4 };
		memcpy(ret->bytes, &v4.sin_addr, 4);
		*ret_port = ntohs(v4.sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6 && len >= (socklen_t)sizeof(v6)) {
		memcpy(&v6, sa, sizeof(v6));
		*ret = (struct address){ .len = 16 };
		memcpy(ret->bytes, &v6.sin6_addr, 16);
		*ret_port = ntohs(v6.sin6_port);
		return 0;
	}
	return -ERR_INVALID;
}
