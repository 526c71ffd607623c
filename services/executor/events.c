#include "events.h"

#include <string.h>
#include "mem.h"

struct event {
	struct event *next;
	uint32_t seq;
	enum hostcall_op op;
	size_t len;
	char text[];
};

/* RFC 5424, lowest first; names as MCP spells them. */
static const char *const levels[] = { "debug", "info",     "notice", "warning",
				      "error", "critical", "alert",  "emergency" };

void events_init(struct events *e)
{
	*e = (struct events){ 0 };
	e->end = &e->first;
}

void events_done(struct events *e)
{
	events_acknowledge(e, UINT32_MAX);
}

bool events_add(struct events *e, const struct hostcall *call)
{
	struct event *event;

	if (e->count >= EVENTS_COUNT_MAX || e->bytes + call->event.len > EVENTS_PENDING_MAX)
		return false;
	event = mem_alloc(sizeof(*event) + call->event.len);
	event->seq = ++e->last_seq;
	event->op = call->op;
	event->len = call->event.len;
	memcpy(event->text, call->event.at, call->event.len);
	*e->end = event;
	e->end = &event->next;
	e->count++;
	e->bytes += event->len;
	return true;
}

void events_acknowledge(struct events *e, uint32_t seq)
{
	while (e->first && e->first->seq <= seq) {
		struct event *event = e->first;

		e->first = event->next;
		e->count--;
		e->bytes -= event->len;
		free(event);
	}
	if (!e->first)
		e->end = &e->first;
}

size_t events_list(const struct events *e, uint32_t after_seq, PB(Event) * **ret)
{
	PB(Event) **list = mem_alloc_array((size_t)e->count + 1, sizeof(*list) + sizeof(**list));
	PB(Event) *at = (PB(Event) *)(void *)(list + e->count + 1);
	size_t n = 0;

	for (const struct event *event = e->first; event; event = event->next) {
		if (event->seq <= after_seq)
			continue;
		mcpbox__v1__event__init(at);
		at->seq = event->seq;
		if (event->op == HOSTCALL_PROGRESS)
			at->progress_json = pb_bytes(event->text, event->len);
		else
			at->log_json = pb_bytes(event->text, event->len);
		list[n++] = at++;
	}
	*ret = list;
	return n;
}

static int rank(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (strlen(levels[i]) == len && memcmp(levels[i], name, len) == 0)
			return (int)i;
	}
	return -1;
}

bool events_wants_level(const char *wanted, struct json_span level)
{
	int floor = rank(wanted, strlen(wanted));

	return floor >= 0 && level.len > 2 && rank(level.at + 1, level.len - 2) >= floor;
}
