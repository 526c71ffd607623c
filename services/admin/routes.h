/* The table of REST routes: the first place to look. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "http_server.h"

struct route;

/* The table as the HTTP server takes it; heap, caller frees. */
struct http_route *routes_for_http(void) BOX_MUST_CHECK;
size_t routes_count(void);
const struct route *routes_at(size_t i);
size_t routes_index(const struct route *route);
/* Paths that speak JSON only; all others belong to the web UI. */
bool routes_is_api(const char *path);
