/*
 * Scratch space of calls: small file systems in memory, mounted by the first process of the
 * namespaces ("init": trusted, without Python, the only one that keeps the right to mount), asked
 * for by the zygote, used by one call process after the other.  A slot that a call has left changed
 * is unmounted and mounted anew; one that nobody touched is used again.  Either way each use has a
 * name of its own, which nobody can guess.  The directory that holds them is read-only for all but
 * init.
 *
 * One thread on either side.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "landlock.h"

#define SCRATCH_DIR   "/scratch"
#define SCRATCH_SLOTS 512

enum slot_state { SLOT_ABSENT, SLOT_ASKED, SLOT_RENAMED, SLOT_FREE, SLOT_USED };

struct scratch_slot {
	enum slot_state state;
	int ruleset;      /* narrows a call to this slot; -1: none */
	char path[32];    /* its name is random: calls learn nothing from it about each other */
	struct stat root; /* as it was mounted */
	struct statfs fill;
};

struct scratch {
	int init;  /* socket to the process that mounts; -1: no scratch on this host */
	int count; /* of the slots that were ever asked for, the first ones */
	struct scratch_slot slots[SCRATCH_SLOTS];
};

/* In init: serves until the other side is gone.  Does not return. */
void scratch_serve(int socket) __attribute__((noreturn));

/* In a call: takes the paths of all slots out of memory. */
void scratch_forget_paths(struct scratch *s);
/* In the zygote, while its paths are what they will be: the directory of all slots is made.  Returns
 * 0 or -errno. */
int scratch_open(const struct scratch *s);
/* In the zygote.  The size of every slot; once, before the first is taken.  Returns 0 or -errno. */
int scratch_set_size(const struct scratch *s, uint32_t size_mb);
/* A clean slot, which is now used; waits for init if there is none.  Returns its number, -EAGAIN
 * when all are used, or another -errno. */
int scratch_take(struct scratch *s, const struct landlock *l);
/* After the process that used it was reaped.  Returns 0 or -errno. */
int scratch_give_back(struct scratch *s, int slot);
/* When s->init is readable: takes one answer of init.  Returns 0 or -errno. */
int scratch_receive(struct scratch *s, const struct landlock *l);
