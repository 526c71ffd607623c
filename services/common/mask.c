#include "mask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"
#include "parse.h"
#include "secret.h"

#define REPLACEMENT_SIZE 64
/* What is left of a value in base64 whose neighbours are not known; less would be found by chance. */
#define BASE64_MIN  8
#define PARTIAL_MIN 8
/* Of one value: raw, JSON 3, percent 6, base64 6; counted generously. */
#define FORMS_MAX(len) (((len) + 8) * 96)

struct pattern {
	const uint8_t *at;
	size_t len;
	struct secret *text; /* in the first pattern of a value: owns the forms of all of them */
	char replacement[REPLACEMENT_SIZE];
};

struct mask {
	struct pattern **patterns;
	size_t count, longest;
	uint8_t pairs[65536 / 8]; /* which two bytes begin a pattern */
};

struct mask *mask_new(void)
{
	return mem_alloc(sizeof(struct mask));
}

void mask_free(struct mask *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++) {
		secret_free(m->patterns[i]->text);
		free(m->patterns[i]);
	}
	free(m->patterns);
	crypto_wipe(m->pairs, sizeof(m->pairs));
	free(m);
}

bool mask_is_empty(const struct mask *m)
{
	return m->count == 0;
}

/* ---- the forms of a value ---- */

static unsigned pair_of(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static void add_pattern(struct mask *m, const uint8_t *at, size_t len, const char *replacement)
{
	struct pattern *p;

	for (size_t i = 0; i < m->count; i++)
		if (m->patterns[i]->len == len && memcmp(m->patterns[i]->at, at, len) == 0)
			return;
	p = mem_alloc(sizeof(*p));
	p->at = at;
	p->len = len;
	(void)snprintf(p->replacement, sizeof(p->replacement), "%s", replacement);
	m->patterns = mem_realloc_array(m->patterns, m->count + 1, sizeof(*m->patterns));
	m->patterns[m->count++] = p;
	m->longest = len > m->longest ? len : m->longest;
	m->pairs[pair_of(at) / 8] |= (uint8_t)(1u << pair_of(at) % 8);
}

struct forms {
	struct buf text;
	size_t from[32], count; /* where each begins */
};

static void next_form(struct forms *f)
{
	box_assert(f->count < ARRAY_LEN(f->from));
	f->from[f->count++] = f->text.len;
}

/* As json_add_string writes it, without the quotes. */
static void add_json(struct forms *f, const uint8_t *v, size_t len)
{
	uint8_t *quoted;

	next_form(f);
	quoted = f->text.data + f->text.len;
	json_add_string(&f->text, v, len);
	f->text.len -= 2;
	memmove(quoted, quoted + 1, (size_t)(f->text.data + f->text.len - quoted));
}

static uint32_t code_point(const uint8_t *p, size_t step)
{
	uint32_t c = *p & (0xffu >> (step + 1));

	for (size_t i = 1; i < step; i++)
		c = c << 6 | (p[i] & 0x3fu);
	return c;
}

static void add_unicode_escape(struct buf *b, uint32_t c)
{
	if (c < 0x10000)
		buf_printf(b, "\\u%04x", c);
	else
		buf_printf(b, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
			   0xdc00 + ((c - 0x10000) & 0x3ff));
}

/* As those write it who escape all that is not ASCII. */
static void add_json_ascii(struct forms *f, size_t from, size_t to)
{
	size_t step;

	next_form(f);
	for (size_t i = from; i < to; i += step) {
		const uint8_t *p = f->text.data + i;

		step = *p < 0x80 ? 1 : text_utf8_step(p, to - i);
		if (step > 1)
			add_unicode_escape(&f->text, code_point(p, step));
		else
			buf_add_char(&f->text, (char)*p);
		step += step == 0;
	}
}

/* And who escape "/". */
static void add_json_slash(struct forms *f, size_t from, size_t to)
{
	next_form(f);
	for (size_t i = from; i < to; i++) {
		if (f->text.data[i] == '/')
			buf_add_char(&f->text, '\\');
		buf_add_char(&f->text, (char)f->text.data[i]);
	}
}

/* How a writer of URLs or forms goes about it. */
struct percent {
	const char *digits, *unchanged;
	bool plus; /* for a space */
};

static void add_percent(struct forms *f, const uint8_t *v, size_t len, const struct percent *how)
{
	next_form(f);
	for (size_t i = 0; i < len; i++) {
		bool is_word = (v[i] >= 'a' && v[i] <= 'z') || (v[i] >= 'A' && v[i] <= 'Z') ||
			       (v[i] >= '0' && v[i] <= '9');

		if (is_word || (v[i] && strchr(how->unchanged, v[i]))) {
			buf_add_char(&f->text, (char)v[i]);
		} else if (how->plus && v[i] == ' ') {
			buf_add_char(&f->text, '+');
		} else {
			buf_add_char(&f->text, '%');
			buf_add_char(&f->text, how->digits[v[i] >> 4]);
			buf_add_char(&f->text, how->digits[v[i] & 15]);
		}
	}
}

static void add_percents(struct forms *f, const uint8_t *v, size_t len)
{
	static const char upper[] = "0123456789ABCDEF", lower[] = "0123456789abcdef";
	static const struct percent ways[] = {
		{ upper, "-._~", false },  { upper, "-._~", true }, { lower, "-._~", false },
		{ upper, "-._~/", false }, { upper, "-._*", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		add_percent(f, v, len, &ways[i]);
}

/*
 * Inside of a longer text that was encoded as one: the three ways in which the value can lie there, without the signs
 * that its unknown neighbours have a part in.
 */
static void add_base64(struct forms *f, const uint8_t *v, size_t len)
{
	BOX_CLEANUP(secret_freep) struct secret *shifted = secret_new(NULL, len + 2);

	for (size_t shift = 0; shift < 3; shift++) {
		size_t bits_from = shift * 8, bits_to = (shift + len) * 8;
		size_t first = (bits_from + 5) / 6, last = bits_to / 6;
		char *text;

		memset(shifted->data, 0, shift);
		memcpy(shifted->data + shift, v, len);
		text = format_base64(shifted->data, shift + len);
		if (last >= first + BASE64_MIN) {
			next_form(f);
			buf_add(&f->text, text + first, last - first);
			next_form(f);
			for (size_t i = first; i < last; i++)
				buf_add_char(&f->text, text[i] == '+'   ? '-'
						       : text[i] == '/' ? '_'
									: text[i]);
		}
		crypto_wipe(text, strlen(text));
		free(text);
	}
}

static void collect(struct forms *f, const uint8_t *v, size_t len)
{
	next_form(f);
	buf_add(&f->text, v, len);
	add_percents(f, v, len);
	add_base64(f, v, len);
}

static void collect_json(struct forms *f, const uint8_t *v, size_t len)
{
	size_t from = f->text.len, end;

	add_json(f, v, len);
	end = f->text.len;
	add_json_ascii(f, from, end);
	add_json_slash(f, from, end);
}

/* As header fields carry it, where that differs. */
static void collect_latin1(struct forms *f, const uint8_t *v, size_t len)
{
	BOX_CLEANUP(secret_freep) struct secret *latin1 = secret_new(NULL, len);
	size_t count = 0, step;

	for (size_t i = 0; i < len; i += step) {
		uint32_t c;

		step = v[i] < 0x80 ? 1 : text_utf8_step(v + i, len - i);
		c = step > 1 ? code_point(v + i, step) : v[i];
		if (step == 0 || c > 0xff)
			return;
		latin1->data[count++] = (uint8_t)c;
	}
	if (count < len && count >= MASK_VALUE_MIN)
		collect(f, latin1->data, count);
}

void mask_add(struct mask *m, const void *value, size_t len, size_t min, const char *replacement)
{
	struct forms f = { .text = BUF_INIT(FORMS_MAX(len)) };
	struct secret *text;
	size_t before = m->count;

	if (len < min || len < MASK_VALUE_MIN)
		return;
	/* All at once: growing would leave copies of it behind. */
	(void)buf_grow(&f.text, f.text.max);
	collect(&f, value, len);
	collect_json(&f, value, len);
	collect_latin1(&f, value, len);
	box_assert(!f.text.is_over);
	text = secret_new(f.text.data, f.text.len);
	for (size_t i = 0; i < f.count; i++) {
		size_t end = i + 1 < f.count ? f.from[i + 1] : f.text.len;

		add_pattern(m, text->data + f.from[i], end - f.from[i], replacement);
	}
	crypto_wipe(f.text.data, f.text.cap);
	buf_done(&f.text);
	if (m->count > before)
		m->patterns[before]->text = text;
	else
		secret_free(text); /* the same value again */
}

/* ---- a stream ---- */

void mask_begin(struct mask_stream *s, const struct mask *m)
{
	*s = (struct mask_stream){ .mask = m, .held = BUF_INIT(SIZE_MAX / 4) };
}

/* What is at p: the longest pattern that is there, or NULL.  *ret_partial: how much of a longer one may be. */
static const struct pattern *look(const struct mask *m, const uint8_t *p, size_t left,
				  size_t *ret_partial)
{
	const struct pattern *best = NULL;

	*ret_partial = 0;
	for (size_t i = 0; i < m->count; i++) {
		const struct pattern *at = m->patterns[i];
		size_t len = at->len < left ? at->len : left;

		if (memcmp(at->at, p, len) != 0)
			continue;
		if (at->len > left)
			*ret_partial = left;
		else if (!best || at->len > best->len)
			best = at;
	}
	return best;
}

static bool may_begin(const struct mask *m, const uint8_t *p, size_t left)
{
	/* A last byte alone may be the beginning of anything. */
	return left < 2 || (m->pairs[pair_of(p) / 8] & 1u << pair_of(p) % 8);
}

/* Returns how much of it is settled; the rest may become a value. */
static size_t pass(struct mask_stream *s, const uint8_t *p, size_t len, bool is_end,
		   bool hides_partial, struct buf *ret)
{
	const struct mask *m = s->mask;
	size_t done = 0, i = 0;

	while (i < len) {
		const struct pattern *found;
		size_t partial;

		if (!may_begin(m, p + i, len - i)) {
			i++;
			continue;
		}
		found = look(m, p + i, len - i, &partial);
		if (partial && !is_end)
			break;
		if (partial >= PARTIAL_MIN && hides_partial && !found) {
			buf_add(ret, p + done, i - done);
			buf_add_str(ret, m->patterns[0]->replacement);
			s->masked++;
			return len;
		}
		if (!found) {
			i++;
			continue;
		}
		buf_add(ret, p + done, i - done);
		buf_add_str(ret, found->replacement);
		s->masked++;
		i += found->len;
		done = i;
	}
	buf_add(ret, p + done, i - done);
	return i;
}

/* Frees what is held, which may be most of a value. */
static void drop(struct buf *held)
{
	if (held->data)
		crypto_wipe(held->data, held->cap);
	buf_done(held);
}

void mask_feed(struct mask_stream *s, const void *data, size_t len, struct buf *ret)
{
	const uint8_t *from = data;
	size_t used;

	if (mask_is_empty(s->mask)) {
		buf_add(ret, data, len);
		return;
	}
	if (s->held.len > 0) {
		struct buf whole = BUF_INIT(SIZE_MAX / 4);

		(void)buf_grow(&whole, s->held.len + len);
		buf_add(&whole, s->held.data, s->held.len);
		buf_add(&whole, data, len);
		drop(&s->held);
		used = pass(s, whole.data, whole.len, false, false, ret);
		buf_add(&s->held, whole.data + used, whole.len - used);
		drop(&whole);
		return;
	}
	used = pass(s, from, len, false, false, ret);
	buf_add(&s->held, from + used, len - used);
}

void mask_end(struct mask_stream *s, bool hides_partial, struct buf *ret)
{
	if (s->held.len > 0)
		(void)pass(s, s->held.data, s->held.len, true, hides_partial, ret);
	drop(&s->held);
}

void mask_cancel(struct mask_stream *s)
{
	drop(&s->held);
}

bool mask_text(const struct mask *m, const void *data, size_t len, struct buf *ret)
{
	struct mask_stream s;

	mask_begin(&s, m);
	mask_feed(&s, data, len, ret);
	mask_end(&s, false, ret);
	return s.masked > 0;
}
