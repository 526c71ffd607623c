#include "refusals.h"

#include <string.h>
#include "cleanup.h"
#include "mem.h"

static const struct {
	const char *raw, *kind;
} kinds[] = {
	{ "\"import\"", "import" },
	{ "\"host\"", "host" },
	{ "\"syscall\"", "syscall" },
};

static const char *kind_of(struct json_span raw)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (raw.len == strlen(kinds[i].raw) && memcmp(raw.at, kinds[i].raw, raw.len) == 0)
			return kinds[i].kind;
	}
	return NULL;
}

/* Names of modules and hosts, and the words of the runtime, are made of these. */
static char plain(char c)
{
	static const char also[] = "._-:*[]/ ";
	bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || (c && strchr(also, c));

	return is_plain ? c : '?';
}

static void copy_name(struct json_span raw, char ret[REFUSAL_NAME_MAX])
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len = 0;

	if (json_span_string(raw, &text, &len) < 0)
		len = 0;
	if (len >= REFUSAL_NAME_MAX)
		len = REFUSAL_NAME_MAX - 1;
	for (size_t i = 0; i < len; i++)
		ret[i] = plain(text[i]);
	ret[len] = '\0';
}

static uint32_t line_of(struct json_span raw)
{
	uint32_t n = 0;

	for (size_t i = 0; i < raw.len && i < 7; i++) {
		if (raw.at[i] < '0' || raw.at[i] > '9')
			return 0;
		n = n * 10 + (uint32_t)(raw.at[i] - '0');
	}
	return raw.len <= 7 ? n : 0;
}

void refusals_add(struct refusals *r, const struct hostcall *call)
{
	struct refusal fresh = { .kind = kind_of(call->kind), .count = 1 };

	if (!fresh.kind)
		return;
	copy_name(call->name, fresh.name);
	fresh.line = line_of(call->line);
	for (size_t i = 0; i < r->count; i++) {
		struct refusal *row = &r->rows[i];

		if (row->kind == fresh.kind && strcmp(row->name, fresh.name) == 0) {
			row->count += row->count < UINT32_MAX;
			return;
		}
	}
	if (r->count < REFUSALS_MAX)
		r->rows[r->count++] = fresh;
}

size_t refusals_list(const struct refusals *r, PB(Refusal) * **ret)
{
	PB(Refusal) **list = mem_alloc_array(r->count + 1, sizeof(*list) + sizeof(**list));
	PB(Refusal) *at = (PB(Refusal) *)(void *)(list + r->count + 1);

	for (size_t i = 0; i < r->count; i++, at++) {
		mcpbox__v1__refusal__init(at);
		at->kind = (char *)(uintptr_t)r->rows[i].kind;
		at->name = (char *)(uintptr_t)r->rows[i].name;
		at->line = r->rows[i].line;
		at->count = r->rows[i].count;
		list[i] = at;
	}
	*ret = list;
	return r->count;
}
