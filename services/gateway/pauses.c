#include "pauses.h"

#include <stdio.h>
#include <string.h>

static struct pause *find(const struct pauses *p, const uint8_t *boot_id, const char *name)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct pause *row = &p->rows[i];

		if (memcmp(row->boot_id, boot_id, BOOT_ID_SIZE) == 0 &&
		    strcmp(row->name, name) == 0)
			return (struct pause *)(uintptr_t)row;
	}
	return NULL;
}

static struct pause *new_row(struct pauses *p)
{
	struct pause *first = &p->rows[0];

	if (p->count < PAUSES_MAX)
		return &p->rows[p->count++];
	for (size_t i = 1; i < p->count; i++) {
		if (p->rows[i].until_ms < first->until_ms)
			first = &p->rows[i];
	}
	return first;
}

void pauses_set(struct pauses *p, const uint8_t *boot_id, const char *name, uint64_t until_ms)
{
	struct pause *row = find(p, boot_id, name);

	if (!row) {
		row = new_row(p);
		memcpy(row->boot_id, boot_id, BOOT_ID_SIZE);
		(void)snprintf(row->name, sizeof(row->name), "%s", name);
	}
	row->until_ms = until_ms;
}

bool pauses_hold(const struct pauses *p, const uint8_t *boot_id, const char *name, uint64_t now_ms)
{
	const struct pause *row = p->count > 0 ? find(p, boot_id, name) : NULL;

	return row && row->until_ms > now_ms;
}

void pauses_lift(struct pauses *p, const uint8_t *boot_id, const char *name)
{
	struct pause *row = find(p, boot_id, name);

	if (row)
		*row = p->rows[--p->count];
}
