/*
 * What belongs to this deployment and is nobody's destination: the addresses of this host's
 * interfaces, and the listeners of our own services, which are refused even where the operator
 * pinned them or a person approved a private host.  Loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "address.h"
#include "bus.h"
#include "loop.h"

struct own;

/* Reads the interfaces now and every 10 s.  b: borrowed; NULL in tests. */
struct own *own_new(struct loop *l, struct bus *b);
void own_free(struct own *o);
/* From the newest Status: where the other services listen now. */
void own_update(struct own *o, const PB(Status) * status);

bool own_has_address(const struct own *o, const struct address *a);
bool own_has_listener(const struct own *o, const struct address *a, uint16_t port);
