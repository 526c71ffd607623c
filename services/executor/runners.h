/* Threads that go on with calls whose question was answered already.  Made when they are needed,
 * kept for the next.  Any thread. */
#pragma once

#include <stdint.h>
#include "attrs.h"

struct runners;

/* For the life of the process. */
struct runners *runners_new(uint32_t max, void (*run)(void *arg));
/* Has run(arg) called on one of them.  -EAGAIN: no thread could be had. */
int runners_submit(struct runners *r, void *arg) BOX_MUST_CHECK;
