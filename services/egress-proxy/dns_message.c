#include "dns_message.h"

#include <string.h>
#include "err.h"

#define HEADER_SIZE    12
#define NAME_SIZE      256
#define RECORDS_MAX    128
#define ALIASES_MAX    16
#define TYPE_CNAME     5
#define TYPE_OPT       41
#define CLASS_IN       1
#define FLAG_ANSWER    0x8000
#define FLAG_TRUNCATED 0x0200
#define OPCODE_MASK    0x7800
#define RCODE_MASK     0x000f
#define RCODE_NO_NAME  3

/* ---- questions ---- */

static void add_u16(struct buf *b, unsigned v)
{
	buf_add_char(b, (char)(v >> 8));
	buf_add_char(b, (char)v);
}

static int add_name(struct buf *b, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > 63)
			return -ERR_INVALID;
		buf_add_char(b, (char)n);
		buf_add(b, name, n);
		name += n;
		if (*name == '.')
			name++;
	}
	buf_add_char(b, 0);
	return 0;
}

int dns_write_question(const struct dns_question *q, struct buf *ret)
{
	add_u16(ret, q->id);
	add_u16(ret, 0x0100); /* recursion desired */
	add_u16(ret, 1);
	add_u16(ret, 0);
	add_u16(ret, 0);
	add_u16(ret, 1);
	if (!*q->name || add_name(ret, q->name) < 0)
		return -ERR_INVALID;
	add_u16(ret, q->type);
	add_u16(ret, CLASS_IN);
	/* EDNS(0): how much we take in one datagram. */
	buf_add_char(ret, 0);
	add_u16(ret, TYPE_OPT);
	add_u16(ret, DNS_UDP_MAX);
	add_u16(ret, 0);
	add_u16(ret, 0);
	add_u16(ret, 0);
	return ret->is_over ? -ERR_INVALID : 0;
}

/* ---- reading ---- */

struct reader {
	const uint8_t *data;
	size_t len;
	size_t at;
	bool is_bad;
};

static unsigned read_u8(struct reader *r)
{
	if (r->at >= r->len) {
		r->is_bad = true;
		return 0;
	}
	return r->data[r->at++];
}

static unsigned read_u16(struct reader *r)
{
	unsigned high = read_u8(r);

	return high << 8 | read_u8(r);
}

static uint32_t read_u32(struct reader *r)
{
	uint32_t high = read_u16(r);

	return high << 16 | read_u16(r);
}

static char lower(unsigned c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* One label into ret at n; the new length, or 0 when there is no room or a byte that would confuse text. */
static size_t read_label(struct reader *r, unsigned size, char ret[NAME_SIZE], size_t n)
{
	if (n + size + 2 > NAME_SIZE)
		return 0;
	if (n > 0)
		ret[n++] = '.';
	while (size-- > 0) {
		unsigned c = read_u8(r);

		if (c <= ' ' || c == '.' || c >= 0x7f)
			return 0;
		ret[n++] = lower(c);
	}
	return n;
}

/* Pointers lead strictly backwards, so a name ends.  The reader stands behind the name afterwards. */
static void read_name(struct reader *r, char ret[NAME_SIZE])
{
	size_t n = 0;
	size_t limit = r->at;
	size_t behind = 0;
	unsigned size;

	while (!r->is_bad && (size = read_u8(r)) != 0) {
		if (size < 64) {
			n = read_label(r, size, ret, n);
			r->is_bad = r->is_bad || n == 0;
			continue;
		}
		size = (size & 0x3f) << 8 | read_u8(r);
		if (r->data[r->at - 2] < 0xc0 || size >= limit || r->is_bad) {
			r->is_bad = true;
			return;
		}
		if (behind == 0)
			behind = r->at;
		limit = r->at = size;
	}
	if (behind)
		r->at = behind;
	ret[n] = '\0';
}

struct record {
	char owner[NAME_SIZE];
	char alias[NAME_SIZE]; /* CNAME */
	unsigned type, class;
	uint32_t ttl_s;
	struct address address; /* of the type asked for */
};

static void read_address(struct reader *r, unsigned size, struct record *ret)
{
	unsigned wanted = ret->type == DNS_A ? 4 : 16;

	if (size != wanted) {
		r->is_bad = true;
		return;
	}
	ret->address.len = (uint8_t)wanted;
	for (unsigned i = 0; i < wanted; i++)
		ret->address.bytes[i] = (uint8_t)read_u8(r);
}

static void read_record(struct reader *r, struct record *ret)
{
	unsigned size;
	size_t end;

	*ret = (struct record){ 0 };
	read_name(r, ret->owner);
	ret->type = read_u16(r);
	ret->class = read_u16(r);
	ret->ttl_s = read_u32(r);
	size = read_u16(r);
	end = r->at + size;
	if (r->is_bad || end > r->len) {
		r->is_bad = true;
		return;
	}
	if (ret->type == TYPE_CNAME)
		read_name(r, ret->alias);
	else if (ret->type == DNS_A || ret->type == DNS_AAAA)
		read_address(r, size, ret);
	else
		r->at = end;
	r->is_bad = r->is_bad || r->at != end;
}

/* ---- judging ---- */

static enum dns_verdict read_header(struct reader *r, const struct dns_question *q,
				    unsigned *ret_records)
{
	unsigned id = read_u16(r);
	unsigned flags = read_u16(r);
	unsigned questions = read_u16(r);
	char name[NAME_SIZE] = "";

	*ret_records = read_u16(r);
	(void)read_u32(r);
	if (r->is_bad || id != q->id || !(flags & FLAG_ANSWER) || (flags & OPCODE_MASK) ||
	    questions != 1)
		return DNS_NOT_OURS;
	read_name(r, name);
	if (read_u16(r) != (unsigned)q->type || read_u16(r) != CLASS_IN || r->is_bad ||
	    strcmp(name, q->name) != 0)
		return DNS_NOT_OURS;
	if ((flags & RCODE_MASK) == RCODE_NO_NAME)
		return DNS_NO_NAME;
	if (flags & RCODE_MASK)
		return DNS_FAILED;
	return flags & FLAG_TRUNCATED ? DNS_TRUNCATED : DNS_ANSWERED;
}

static void add_address(struct dns_answer *answer, const struct record *rec)
{
	if (rec->ttl_s < answer->ttl_s)
		answer->ttl_s = rec->ttl_s;
	if (answer->count < answer->max)
		answer->addresses[answer->count++] = rec->address;
	else
		answer->is_over = true;
}

/* One pass over the records: addresses of `name` are added; an alias of it is followed. */
static bool pass(struct reader r, unsigned records, const struct dns_question *q,
		 char name[NAME_SIZE], struct dns_answer *answer)
{
	struct record rec;

	for (unsigned i = 0; i < records; i++) {
		read_record(&r, &rec);
		if (rec.class != CLASS_IN || strcmp(rec.owner, name) != 0)
			continue;
		if (rec.type == TYPE_CNAME) {
			memcpy(name, rec.alias, NAME_SIZE);
			return true;
		}
		if (rec.type == (unsigned)q->type)
			add_address(answer, &rec);
	}
	return false;
}

static bool is_well_formed(struct reader r, unsigned records)
{
	struct record rec;

	for (unsigned i = 0; i < records && !r.is_bad; i++)
		read_record(&r, &rec);
	return !r.is_bad;
}

enum dns_verdict dns_read_answer(const struct dns_question *q, const uint8_t *data, size_t len,
				 struct dns_answer *answer)
{
	struct reader r = { .data = data, .len = len };
	char name[NAME_SIZE] = "";
	unsigned records;
	enum dns_verdict v = len < HEADER_SIZE ? DNS_NOT_OURS : read_header(&r, q, &records);

	if (v != DNS_ANSWERED)
		return v;
	if (records > RECORDS_MAX || !is_well_formed(r, records))
		return DNS_NOT_OURS;
	(void)strncpy(name, q->name, sizeof(name) - 1);
	for (unsigned i = 0; i < ALIASES_MAX && pass(r, records, q, name, answer); i++)
		;
	return DNS_ANSWERED;
}
