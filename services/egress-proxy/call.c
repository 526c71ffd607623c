#include "call.h"

#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "mem.h"

void call_done(struct call *c)
{
	if (c->open)
		msg_free(&c->open->base);
	if (c->permit)
		msg_free(&c->permit->base);
	if (c->tally)
		c->tally->streams--;
	grant_unref(c->grant);
	*c = (struct call){ 0 };
}

static void remove_first(struct tally **at)
{
	struct tally *t = *at;

	*at = t->next;
	free(t->call_id);
	free(t);
}

static void drop_old(struct tally **at, uint64_t now)
{
	while (*at) {
		if ((*at)->streams == 0 && now > (*at)->deadline_mono_ms)
			remove_first(at);
		else
			at = &(*at)->next;
	}
}

static struct tally *find_or_add(struct tally **tallies, const char *call_id)
{
	struct tally *t = *tallies;

	while (t && strcmp(t->call_id, call_id) != 0)
		t = t->next;
	if (t)
		return t;
	t = mem_alloc(sizeof(*t));
	t->call_id = mem_strdup(call_id);
	t->next = *tallies;
	*tallies = t;
	return t;
}

void call_join_tally(struct call *c, struct tally **tallies)
{
	drop_old(tallies, clock_mono_ms());
	c->tally = find_or_add(tallies, c->open->call_id);
	c->tally->streams++;
	if (c->tally->deadline_mono_ms < c->deadline_mono_ms)
		c->tally->deadline_mono_ms = c->deadline_mono_ms;
}

void call_free_tallies(struct tally **tallies)
{
	while (*tallies)
		remove_first(tallies);
}
