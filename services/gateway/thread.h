/* Threads of the gateway: 1 MiB of stack, as the bus asks for; signals stay with main. */
#pragma once

#include <pthread.h>
#include "attrs.h"
#include "err.h"

int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg,
		 struct err *err) BOX_MUST_CHECK;
