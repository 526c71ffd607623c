/*
 * Judges a text against RFC 8259 without building a tree and without recursion: the open containers
 * are one bit each in a word, which is also the ceiling on depth.
 */
#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "mem.h"
#include "parse.h"

struct scan {
	const uint8_t *begin, *p, *end;
	uint64_t is_object; /* bit 0: innermost open container */
	unsigned depth;
	const char *fault;
	enum err_code fault_code;
};

_Static_assert(JSON_DEPTH_MAX <= 64, "one bit a level");

static bool fault(struct scan *s, const char *what)
{
	s->fault = what;
	s->fault_code = ERR_INVALID;
	return false;
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static int peek(const struct scan *s)
{
	return s->p < s->end ? *s->p : -1;
}

static bool accept(struct scan *s, int c)
{
	if (peek(s) != c)
		return false;
	s->p++;
	return true;
}

static int32_t scan_hex4(struct scan *s)
{
	uint8_t b[2];
	char digits[5] = { 0 };

	if (s->end - s->p < 4)
		return -1;
	memcpy(digits, s->p, 4);
	if (parse_hex(digits, b, sizeof(b)) < 0)
		return -1;
	s->p += 4;
	return b[0] << 8 | b[1];
}

/* Behind \u.  A high surrogate needs its low one at once; a low one alone is nothing. */
static bool scan_unicode_escape(struct scan *s)
{
	int32_t c = scan_hex4(s);

	if (c < 0)
		return fault(s, "bad \\u escape");
	if (c < 0xd800 || c > 0xdfff)
		return true;
	if (c > 0xdbff || !accept(s, '\\') || !accept(s, 'u'))
		return fault(s, "lone surrogate");
	c = scan_hex4(s);
	return (c >= 0xdc00 && c <= 0xdfff) || fault(s, "lone surrogate");
}

static bool scan_escape(struct scan *s)
{
	int c = peek(s);

	if (c <= 0 || !strchr("\"\\/bfnrtu", c))
		return fault(s, "bad escape");
	s->p++;
	return c != 'u' || scan_unicode_escape(s);
}

/* Behind the opening quote. */
static bool scan_string(struct scan *s)
{
	while (s->p < s->end) {
		uint8_t c = *s->p;
		size_t step;

		if (c == '"') {
			s->p++;
			return true;
		}
		if (c == '\\') {
			s->p++;
			if (!scan_escape(s))
				return false;
			continue;
		}
		if (c < 0x20)
			return fault(s, "control byte in a string");
		step = c < 0x80 ? 1 : text_utf8_step(s->p, (size_t)(s->end - s->p));
		if (step == 0)
			return fault(s, "not UTF-8");
		s->p += step;
	}
	return fault(s, "string without end");
}

static bool scan_digits(struct scan *s)
{
	const uint8_t *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p != from || fault(s, "bad number");
}

static bool scan_number(struct scan *s)
{
	(void)accept(s, '-');
	if (!accept(s, '0') && !scan_digits(s))
		return false;
	if (accept(s, '.') && !scan_digits(s))
		return false;
	if (!accept(s, 'e') && !accept(s, 'E'))
		return true;
	if (!accept(s, '+'))
		(void)accept(s, '-');
	return scan_digits(s);
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
		return fault(s, "unknown word");
	s->p += len;
	return true;
}

static bool scan_scalar(struct scan *s)
{
	switch (peek(s)) {
	case '"':
		s->p++;
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	case -1:
		return fault(s, "text ends early");
	default:
		return scan_number(s);
	}
}

static bool scan_key(struct scan *s)
{
	skip_space(s);
	if (!accept(s, '"'))
		return fault(s, "member name expected");
	if (!scan_string(s))
		return false;
	skip_space(s);
	return accept(s, ':') || fault(s, "':' expected");
}

static bool open_container(struct scan *s, bool is_object)
{
	if (s->depth == JSON_DEPTH_MAX) {
		s->fault = "nested too deeply";
		s->fault_code = ERR_TOO_LARGE;
		return false;
	}
	s->depth++;
	s->is_object = s->is_object << 1 | is_object;
	s->p++;
	return true;
}

/*
 * Behind a complete value: close containers until one goes on.  True: go on with the next value
 * when s->depth is above `base`, or done when it is `base`.
 */
static bool scan_after_value(struct scan *s, unsigned base)
{
	while (s->depth > base) {
		bool is_object = s->is_object & 1;

		skip_space(s);
		if (accept(s, ','))
			return !is_object || scan_key(s);
		if (!accept(s, is_object ? '}' : ']'))
			return fault(s, is_object ? "',' or '}' expected" : "',' or ']' expected");
		s->depth--;
		s->is_object >>= 1;
	}
	return true;
}

/* At '{' or '['.  True with *ret_is_empty set when it closed at once. */
static bool scan_open(struct scan *s, bool *ret_is_empty)
{
	bool is_object = peek(s) == '{';

	if (!open_container(s, is_object))
		return false;
	skip_space(s);
	*ret_is_empty = accept(s, is_object ? '}' : ']');
	if (*ret_is_empty) {
		s->depth--;
		s->is_object >>= 1;
		return true;
	}
	return !is_object || scan_key(s);
}

/* One value with all that is in it. */
static bool scan_value(struct scan *s)
{
	unsigned base = s->depth;

	do {
		bool is_empty = true;

		skip_space(s);
		if (peek(s) == '{' || peek(s) == '[') {
			if (!scan_open(s, &is_empty))
				return false;
			if (!is_empty)
				continue;
		} else if (!scan_scalar(s)) {
			return false;
		}
		if (!scan_after_value(s, base))
			return false;
	} while (s->depth > base);
	return true;
}

static bool scan_end(struct scan *s)
{
	skip_space(s);
	return s->p == s->end || fault(s, "something follows the value");
}

static int scan_failed(const struct scan *s, struct err *err)
{
	return err_set(err, s->fault_code, "not valid JSON: %s at byte %zu", s->fault,
		       (size_t)(s->p - s->begin));
}

static struct scan scan_init(const void *text, size_t len)
{
	const uint8_t *p = len ? text : (const uint8_t *)"";

	return (struct scan){ .begin = p, .p = p, .end = p + len };
}

int json_scan(const void *text, size_t len, struct err *err)
{
	struct scan s = scan_init(text, len);

	if (!scan_value(&s) || !scan_end(&s))
		return scan_failed(&s, err);
	return 0;
}

bool json_key_is(struct json_span key, const char *name)
{
	BOX_CLEANUP(mem_freep) char *decoded = NULL;
	size_t len = strlen(name);

	if (!memchr(key.at, '\\', key.len))
		return key.len == len + 2 && memcmp(key.at + 1, name, len) == 0;
	return json_span_string(key, &decoded, &len) == 0 && strcmp(decoded, name) == 0;
}

static bool scan_spanned_value(struct scan *s, struct json_span *ret)
{
	const uint8_t *from;

	skip_space(s);
	from = s->p;
	if (!scan_value(s))
		return false;
	*ret = (struct json_span){ (const char *)from, (size_t)(s->p - from) };
	return true;
}

/* Key and value of one member; both spans raw. */
static bool scan_member(struct scan *s, struct json_span *ret_key, struct json_span *ret_value)
{
	const uint8_t *from;

	skip_space(s);
	from = s->p;
	if (!accept(s, '"'))
		return fault(s, "member name expected");
	if (!scan_string(s))
		return false;
	*ret_key = (struct json_span){ (const char *)from, (size_t)(s->p - from) };
	skip_space(s);
	if (!accept(s, ':'))
		return fault(s, "':' expected");
	return scan_spanned_value(s, ret_value);
}

/* The outer container of a walk: opens it; *ret_is_empty when it closed at once. */
static bool walk_open(struct scan *s, bool is_object, bool *ret_is_empty)
{
	skip_space(s);
	if (peek(s) != (is_object ? '{' : '['))
		return fault(s, is_object ? "object expected" : "array expected");
	if (!open_container(s, is_object))
		return false;
	skip_space(s);
	*ret_is_empty = accept(s, is_object ? '}' : ']');
	return true;
}

static bool walk_close(struct scan *s, int bracket)
{
	if (!accept(s, bracket))
		return fault(s, bracket == '}' ? "',' or '}' expected" : "',' or ']' expected");
	return scan_end(s);
}

int json_each_member(const void *text, size_t len, json_member_fn *fn, void *arg, struct err *err)
{
	struct scan s = scan_init(text, len);
	struct json_span key, value;
	bool is_empty;

	if (!walk_open(&s, true, &is_empty))
		return scan_failed(&s, err);
	if (is_empty)
		return scan_end(&s) ? 0 : scan_failed(&s, err);
	do {
		int r;

		if (!scan_member(&s, &key, &value))
			return scan_failed(&s, err);
		r = fn(arg, key, value, err);
		if (r < 0)
			return r;
		skip_space(&s);
	} while (accept(&s, ','));
	return walk_close(&s, '}') ? 0 : scan_failed(&s, err);
}

int json_each_element(const void *text, size_t len, json_element_fn *fn, void *arg, struct err *err)
{
	struct scan s = scan_init(text, len);
	struct json_span value;
	bool is_empty;

	if (!walk_open(&s, false, &is_empty))
		return scan_failed(&s, err);
	if (is_empty)
		return scan_end(&s) ? 0 : scan_failed(&s, err);
	do {
		int r;

		if (!scan_spanned_value(&s, &value))
			return scan_failed(&s, err);
		r = fn(arg, value, err);
		if (r < 0)
			return r;
		skip_space(&s);
	} while (accept(&s, ','));
	return walk_close(&s, ']') ? 0 : scan_failed(&s, err);
}

struct wanted {
	const char *const *names;
	size_t count;
	struct json_span *ret;
};

static int keep_member(void *arg, struct json_span key, struct json_span value, struct err *err)
{
	const struct wanted *w = arg;

	for (size_t i = 0; i < w->count; i++) {
		if (!json_key_is(key, w->names[i]))
			continue;
		if (w->ret[i].at)
			return err_set_field(err, ERR_INVALID, w->names[i], NULL,
					     "not valid JSON: '%s' occurs twice", w->names[i]);
		w->ret[i] = value;
	}
	return 0;
}

int json_scan_members(const void *text, size_t len, const char *const *names, size_t count,
		      struct json_span *ret, struct err *err)
{
	struct wanted w = { names, count, ret };

	for (size_t i = 0; i < count; i++)
		ret[i] = (struct json_span){ NULL, 0 };
	return json_each_member(text, len, keep_member, &w, err);
}
