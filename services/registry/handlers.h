/* The dispatch table (handlers.c) as routes of the two sockets. */
#pragma once

#include <stdbool.h>
#include "bus.h"

#define HANDLERS_MAX 128

/* Rows of the control socket, or of the work socket; the count. */
size_t handlers_routes(bool control, struct bus_route ret[HANDLERS_MAX]);
