#include "parse.h"

#include <string.h>
#include <time.h>
#include "err.h"
#include "mem.h"

#define NAME_MAX_LEN 60
#define UUID_LEN     36

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Digits only; ret_end points behind them.  False when there is none or they overflow. */
static bool read_digits(const char *s, uint64_t *ret, const char **ret_end)
{
	uint64_t v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret = v;
	*ret_end = p;
	return p != s;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t v;

	if (!read_digits(s, &v, &end) || *end || v < min || v > max)
		return -ERR_INVALID;
	*ret = v;
	return 0;
}

int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool is_negative = *s == '-';
	uint64_t magnitude, limit = is_negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
	int64_t v;

	if (parse_u64(s + is_negative, 0, limit, &magnitude) < 0)
		return -ERR_INVALID;
	v = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	if (v < min || v > max)
		return -ERR_INVALID;
	*ret = v;
	return 0;
}

int parse_bool(const char *s, bool *ret)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "0", false },  { "1", true },   { "false", false }, { "true", true },
		      { "no", false }, { "yes", true }, { "off", false },   { "on", true } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(s, words[i].word) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return -ERR_INVALID;
}

static int parse_with_unit(const char *s, const struct unit *units, size_t count, uint64_t *ret)
{
	const char *end;
	uint64_t v;

	if (!read_digits(s, &v, &end))
		return -ERR_INVALID;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(end, units[i].suffix) != 0)
			continue;
		if (v > UINT64_MAX / units[i].factor)
			return -ERR_INVALID;
		*ret = v * units[i].factor;
		return 0;
	}
	return -ERR_INVALID;
}

int parse_duration_ms(const char *s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }
	};

	return parse_with_unit(s, units, ARRAY_LEN(units), ret);
}

int parse_size(const char *s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 }, { "k", 1ull << 10 }, { "m", 1ull << 20 }, { "g", 1ull << 30 }
	};

	return parse_with_unit(s, units, ARRAY_LEN(units), ret);
}

/* Digits whose shape was checked. */
static int date_part(const char *s, size_t len)
{
	int v = 0;

	for (size_t i = 0; i < len; i++)
		v = v * 10 + (s[i] - '0');
	return v;
}

/* Behind the seconds: ".123Z", "Z", "+00:00". */
static int parse_iso_tail(const char *s, int *ret_ms)
{
	int factor = 100;

	*ret_ms = 0;
	if (*s == '.') {
		const char *digits = ++s;

		for (; *s >= '0' && *s <= '9'; s++, factor /= 10)
			*ret_ms += (*s - '0') * factor;
		if (s == digits || s - digits > 9)
			return -ERR_INVALID;
	}
	return strcmp(s, "Z") == 0 || strcmp(s, "+00:00") == 0 ? 0 : -ERR_INVALID;
}

int parse_iso(const char *s, int64_t *ret_unix_ms)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	struct tm tm = { 0 }, again;
	time_t seconds;
	int ms;

	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i])
			return -ERR_INVALID;
	if (parse_iso_tail(s + sizeof(shape) - 1, &ms) < 0)
		return -ERR_INVALID;
	tm.tm_year = date_part(s, 4) - 1900;
	tm.tm_mon = date_part(s + 5, 2) - 1;
	tm.tm_mday = date_part(s + 8, 2);
	tm.tm_hour = date_part(s + 11, 2);
	tm.tm_min = date_part(s + 14, 2);
	tm.tm_sec = date_part(s + 17, 2);
	again = tm;
	seconds = timegm(&again); /* turns 31 February into March */
	if (again.tm_mon != tm.tm_mon || again.tm_mday != tm.tm_mday ||
	    again.tm_hour != tm.tm_hour || again.tm_min != tm.tm_min || again.tm_sec != tm.tm_sec)
		return -ERR_INVALID;
	*ret_unix_ms = (int64_t)seconds * 1000 + ms;
	return 0;
}

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

int parse_hex(const char *s, uint8_t *ret, size_t len)
{
	if (strnlen(s, 2 * len + 1) != 2 * len)
		return -ERR_INVALID;
	for (size_t i = 0; i < 2 * len; i++)
		if (!is_hex_digit(s[i]))
			return -ERR_INVALID;
	for (size_t i = 0; i < len; i++)
		ret[i] = (uint8_t)(hex_value(s[2 * i]) << 4 | hex_value(s[2 * i + 1]));
	return 0;
}

void format_hex(const uint8_t *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		ret[2 * i] = digits[data[i] >> 4];
		ret[2 * i + 1] = digits[data[i] & 15];
	}
	ret[2 * len] = '\0';
}

/* Well-formed sequences of the Unicode standard, table 3-7: the second byte's range depends on the
 * first. */
static const struct utf8_row {
	uint8_t first_min, first_max, second_min, second_max;
	uint8_t len;
} utf8_rows[] = {
	{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
	{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

static bool utf8_row_fits(const struct utf8_row *row, const uint8_t *p, size_t left)
{
	if (p[0] < row->first_min || p[0] > row->first_max || left < row->len)
		return false;
	if (row->len > 1 && (p[1] < row->second_min || p[1] > row->second_max))
		return false;
	for (size_t i = 2; i < row->len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

size_t text_utf8_step(const uint8_t *p, size_t left)
{
	if (left == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(utf8_rows); i++)
		if (utf8_row_fits(&utf8_rows[i], p, left))
			return utf8_rows[i].len;
	return 0;
}

bool text_is_utf8(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t step; len > 0; p += step, len -= step) {
		step = text_utf8_step(p, len);
		if (step == 0)
			return false;
	}
	return true;
}

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

bool text_is_plain(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		if (is_control(p[i]))
			return false;
	return text_is_utf8(data, len);
}

bool text_is_uuid(const char *s)
{
	if (strnlen(s, UUID_LEN + 1) != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN; i++) {
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash ? s[i] != '-' : !is_hex_digit(s[i]))
			return false;
	}
	return true;
}

bool text_is_name(const char *s)
{
	size_t len = strnlen(s, NAME_MAX_LEN + 1);
	char before = '_';

	if (len == 0 || len > NAME_MAX_LEN || s[0] < 'a' || s[0] > 'z')
		return false;
	for (size_t i = 0; i < len; before = s[i++]) {
		bool is_word = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');

		if (!is_word && (s[i] != '_' || before == '_'))
			return false;
	}
	return before != '_';
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *format_base64(const void *data, size_t len)
{
	const uint8_t *p = data;
	char *text = mem_alloc_array(len / 3 + 1, 4 + 1), *out = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);

		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = left > 1 ? base64_digits[v >> 6 & 63] : '=';
		*out++ = left > 2 ? base64_digits[v & 63] : '=';
	}
	*out = '\0';
	return text;
}

static int base64_value(char c)
{
	const char *at = c ? strchr(base64_digits, c) : NULL;

	return at ? (int)(at - base64_digits) : -1;
}

/* Four digits to `count` bytes; the bits behind the last byte must be zero, so that each value has
 * one spelling. */
static bool read_quad(const char *s, size_t count, uint8_t *ret)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = i <= count ? base64_value(s[i]) : 0;

		if (digit < 0)
			return false;
		v = v << 6 | (uint32_t)digit;
	}
	for (size_t i = 0; i < count; i++)
		ret[i] = (uint8_t)(v >> (16 - 8 * i));
	return count == 3 || (v & ((1u << (8 * (3 - count))) - 1)) == 0;
}

int parse_base64(const char *s, size_t len, uint8_t **ret, size_t *ret_len)
{
	BOX_CLEANUP(mem_freep) uint8_t *data = NULL;
	size_t pad = 0, at = 0;

	if (len % 4)
		return -ERR_INVALID;
	if (len && s[len - 1] == '=')
		pad = s[len - 2] == '=' ? 2 : 1;
	data = mem_alloc(len / 4 * 3);
	for (size_t i = 0; i < len; i += 4) {
		size_t count = i + 4 == len ? 3 - pad : 3;

		if (!read_quad(s + i, count, data + at))
			return -ERR_INVALID;
		at += count;
	}
	*ret = TAKE(data);
	*ret_len = at;
	return 0;
}
