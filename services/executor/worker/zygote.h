/* The loop of a tool's zygote: forks processes for calls, until the supervisor is gone. */
#pragma once

#include "worker.h"

/* Before the filter, which refuses it: what tells of ended children.  Returns 0 or -errno. */
int zygote_prepare(void);
/* Serves.  Returns 0 when the supervisor closed the control socket, else -errno. */
int zygote_serve(struct worker *w);
