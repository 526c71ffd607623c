/* The loop of the zygote: a process per job, until the supervisor is gone. */
#pragma once

#include "worker.h"

/* Serves.  Returns 0 when the supervisor closed the control socket, else -errno. */
int zygote_serve(struct worker *w);
