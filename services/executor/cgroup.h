/*
 * Control groups: one leaf per worker, which bounds what all processes of a tool version hold together; what rlimits
 * do not see (scratch pages, kernel memory) counts here.  A group per call is not worth it: moving a process
 * costs more than forking it.
 *
 * Two shapes, one behaviour: v2 (one directory with the memory and pids controllers) or v1 (two directories, one of
 * each hierarchy).  `./mcpbox up` as root makes the directories and hands them over; in a container the
 * supervisor takes its own cgroup where that is writable.
 *
 * All calls: the manager thread, which Landlock does not bind, but for cgroup_oom_kills: any thread.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include "attrs.h"
#include "err.h"

struct cgroups;
struct cgroup;
struct cgroup_limits {
	uint64_t memory_bytes; /* swap is not allowed on top */
	uint32_t processes;    /* threads count, too */
};

/*
 * dirs: directories handed over, with ':' between, or "": the own cgroup.  Ends and removes what an earlier run left
 * there.  -ERR_UNSUPPORTED with what is missing: go on without groups.
 */
int cgroups_open(const char *dirs, struct cgroups **ret, struct err *err) BOX_MUST_CHECK;
/* Every group has to be dropped.  Ends what is left in them; good for NULL. */
void cgroups_close(struct cgroups *all);
unsigned cgroups_version(const struct cgroups *all); /* 1 or 2; 0 for NULL */

/* An empty group.  0, or -errno. */
int cgroup_add(struct cgroups *all, const struct cgroup_limits *limits,
	       struct cgroup **ret) BOX_MUST_CHECK;
/* Moves a process there; what it forks from then on is born there.  0, or -errno. */
int cgroup_enter(struct cgroup *g, pid_t pid) BOX_MUST_CHECK;
/* May be raised and lowered at any time.  0, or -errno. */
int cgroup_limit(struct cgroup *g, const struct cgroup_limits *limits) BOX_MUST_CHECK;
/* How many of its processes the kernel has killed because the group's memory was used up. */
uint64_t cgroup_oom_kills(const struct cgroup *g);
/* Ends what is in it and removes it, at the latest in a cgroups_sweep() to come.  Good for NULL. */
void cgroup_drop(struct cgroup *g);
/* Removes what could not be removed yet because a process took its time to end.  Call it now and then. */
void cgroups_sweep(struct cgroups *all);

/* The number behind "oom_kill " on a line of memory.events (v2) or memory.oom_control (v1); 0 without one.  Pure. */
uint64_t cgroup_parse_oom_kills(const char *text);
