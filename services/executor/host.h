/* Why this host lacks a wall, and how it is given one: words for whoever runs it. */
#pragma once

#include <stdint.h>

/* bits: LAYER_* of one row.  root: "" (tests: a tree with proc and sys in it).  Static text.  Reads files, so before
 * the process confines itself. */
const char *host_lacks(const char *root, uint32_t bits);
