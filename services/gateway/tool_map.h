/*
 * Keeps the catalog current: news says that state moved on, a thread fetches the new snapshot from
 * the registry (pages, then the spec and grant bytes that are not at hand) and swaps it in.  Also
 * renewed before permits run out.  When the registry is away the last catalog stays; permit_check()
 * decides how long it serves.
 */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "catalog.h"
#include "err.h"

struct tool_map;

/* on_change(arg, catalog) after each swap, on the map's thread. */
struct tool_map *tool_map_new(struct bus *b, void (*on_change)(void *arg, const struct catalog *c),
			      void *arg);
int tool_map_start(struct tool_map *m, struct err *err) BOX_MUST_CHECK;
void tool_map_stop(struct tool_map *m);

/* A Status arrived.  Quick; any thread. */
void tool_map_news(struct tool_map *m, const PB(Status) * status);
/* The current snapshot; the caller's reference.  Never NULL: empty before the first. */
struct catalog *tool_map_get(struct tool_map *m);
/* Fetch now and wait until the snapshot has state_seq, at most timeout_ms (-ERR_DEADLINE). */
int tool_map_wait(struct tool_map *m, uint64_t state_seq, uint32_t timeout_ms) BOX_MUST_CHECK;
