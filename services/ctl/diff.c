#include <stdint.h>
#include <string.h>
#include "diff.h"
#include "err.h"
#include "mem.h"

#define PAIRS_MAX (16u * 1024 * 1024)

struct line {
	const char *at;
	size_t len;
};

struct lines {
	struct line *v;
	size_t count;
};

enum step { STEP_SAME, STEP_OUT, STEP_IN };

struct script {
	enum step *steps;
	size_t count;
};

static struct lines split(const char *text)
{
	struct lines l = { 0 };
	size_t max = 1;

	for (const char *p = text; *p; p++)
		max += *p == '\n';
	l.v = mem_alloc_array(max, sizeof(*l.v));
	while (*text) {
		size_t len = strcspn(text, "\n");

		l.v[l.count++] = (struct line){ text, len };
		text += len + (text[len] == '\n');
	}
	return l;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static void add(struct script *s, enum step step, size_t times)
{
	while (times-- > 0)
		s->steps[s->count++] = step;
}

/* Longest common subsequence of a and b: table[i * (nb+1) + j] is its length for a[i..] and b[j..].
 */
static uint32_t *common_lengths(const struct line *a, size_t na, const struct line *b, size_t nb)
{
	size_t width = nb + 1;
	uint32_t *table = mem_alloc_array((na + 1) * width, sizeof(*table));

	for (size_t i = na; i-- > 0;) {
		for (size_t j = nb; j-- > 0;) {
			uint32_t skip_a = table[(i + 1) * width + j];
			uint32_t skip_b = table[i * width + j + 1];

			if (same(&a[i], &b[j]))
				table[i * width + j] = table[(i + 1) * width + j + 1] + 1;
			else
				table[i * width + j] = skip_a > skip_b ? skip_a : skip_b;
		}
	}
	return table;
}

static void compare_middle(const struct line *a, size_t na, const struct line *b, size_t nb,
			   struct script *ret)
{
	size_t width = nb + 1, i = 0, j = 0;
	uint32_t *table;

	if ((na + 1) > PAIRS_MAX / width) {
		add(ret, STEP_OUT, na);
		add(ret, STEP_IN, nb);
		return;
	}
	table = common_lengths(a, na, b, nb);
	while (i < na && j < nb) {
		if (same(&a[i], &b[j])) {
			add(ret, STEP_SAME, 1);
			i++, j++;
		} else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) {
			add(ret, STEP_OUT, 1);
			i++;
		} else {
			add(ret, STEP_IN, 1);
			j++;
		}
	}
	add(ret, STEP_OUT, na - i);
	add(ret, STEP_IN, nb - j);
	free(table);
}

/* Equal beginnings and ends are most of a usual edit; only what lies between is compared. */
static struct script compare(const struct lines *a, const struct lines *b)
{
	struct script s = { .steps = mem_alloc_array(a->count + b->count + 1, sizeof(*s.steps)) };
	size_t least = a->count < b->count ? a->count : b->count;
	size_t head = 0, tail = 0;

	while (head < least && same(&a->v[head], &b->v[head]))
		head++;
	while (tail < least - head && same(&a->v[a->count - 1 - tail], &b->v[b->count - 1 - tail]))
		tail++;
	add(&s, STEP_SAME, head);
	compare_middle(a->v + head, a->count - head - tail, b->v + head, b->count - head - tail,
		       &s);
	add(&s, STEP_SAME, tail);
	return s;
}

/* One past the hunk that begins at `from`: it ends where the context of the next change does not
 * reach. */
static size_t hunk_end(const struct script *s, size_t from)
{
	size_t quiet = 0;

	for (size_t i = from; i < s->count; i++) {
		quiet = s->steps[i] == STEP_SAME ? quiet + 1 : 0;
		if (quiet > 2 * DIFF_CONTEXT)
			return i + 1 - quiet + DIFF_CONTEXT;
	}
	return s->count - quiet + (quiet < DIFF_CONTEXT ? quiet : DIFF_CONTEXT);
}

static size_t count_steps(const struct script *s, size_t from, size_t to, enum step other)
{
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		n += s->steps[i] != other;
	return n;
}

static void write_hunk(const struct lines *a, const struct lines *b, const struct script *s,
		       size_t from, size_t to, struct buf *ret)
{
	static const char marks[] = { [STEP_SAME] = ' ', [STEP_OUT] = '-', [STEP_IN] = '+' };
	size_t i = count_steps(s, 0, from, STEP_IN), j = count_steps(s, 0, from, STEP_OUT);

	buf_printf(ret, "@@ -%zu,%zu +%zu,%zu @@\n", i + 1, count_steps(s, from, to, STEP_IN),
		   j + 1, count_steps(s, from, to, STEP_OUT));
	for (size_t k = from; k < to; k++) {
		const struct line *line = s->steps[k] == STEP_IN ? &b->v[j] : &a->v[i];

		buf_add_char(ret, marks[s->steps[k]]);
		buf_add(ret, line->at, line->len);
		buf_add_char(ret, '\n');
		i += s->steps[k] != STEP_IN;
		j += s->steps[k] != STEP_OUT;
	}
}

void diff_unified(const char *before, const char *after, struct buf *ret)
{
	struct lines a = split(before), b = split(after);
	struct script s = compare(&a, &b);

	for (size_t i = 0; i < s.count;) {
		size_t from, to;

		if (s.steps[i] == STEP_SAME) {
			i++;
			continue;
		}
		from = i < DIFF_CONTEXT ? 0 : i - DIFF_CONTEXT;
		to = hunk_end(&s, i);
		write_hunk(&a, &b, &s, from, to, ret);
		i = to;
	}
	free(s.steps);
	free(a.v);
	free(b.v);
}
