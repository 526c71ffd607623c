/* Servers: groups of tools that start, stop and reach hosts together. */
#pragma once

#include "work.h"

/* The whole object, as GetServer shows it. */
int server_load(struct work *w, const char *id, bool lock, PB(Server) * *ret, struct err *err);
/* Name grammar and reserved names, for servers (kind "server") and tools. */
int name_check(const char *kind, const char *name, struct err *err);
