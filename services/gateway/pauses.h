/*
 * Who said BUSY to whom: for a moment an executor is not asked again for a tool, or for a server, whose share of
 * it is used up.  Others are.  Pure; bounded: when there are too many, the one that ends first goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "frame.h"

#define PAUSES_MAX 64
#define PAUSE_NAME 96

struct pause {
	uint8_t boot_id[BOOT_ID_SIZE];
	char name[PAUSE_NAME]; /* key of a tool version, or id of a server */
	uint64_t until_ms;
};
struct pauses {
	struct pause rows[PAUSES_MAX];
	size_t count;
};

void pauses_set(struct pauses *p, const uint8_t *boot_id, const char *name, uint64_t until_ms);
bool pauses_hold(const struct pauses *p, const uint8_t *boot_id, const char *name, uint64_t now_ms);
/* There is room again. */
void pauses_lift(struct pauses *p, const uint8_t *boot_id, const char *name);
