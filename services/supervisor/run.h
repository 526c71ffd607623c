/*
 * The life of one supervised service: start, wait for READY=1, start again when it dies, drain on
 * SIGTERM.  One thread; the caller holds the lock (state_lock) and is a process of its own.
 */
#pragma once

#include "options.h"

/*
 * Runs until SIGTERM or SIGINT.  The outcome of the first start is written to report_fd as one byte
 * ('1' ready, '0' failed), which is then closed.  A service that never became ready is given up at
 * once: who started it should look at its log.  Returns the process's exit status.
 */
int run_service(const struct options *o, int report_fd);
