#include "heap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

#define PIECE ((size_t)2 * 1024 * 1024)
#define ROOM  (256 * PIECE) /* address space; arenas beyond it are mapped one by one */

static struct {
	uint8_t *at, *end; /* NULL: none */
	size_t used, open; /* open: whole pieces that may be written */
} heap;

static size_t up_to_piece(uintptr_t address)
{
	return (PIECE - address % PIECE) % PIECE;
}

void heap_prepare(void)
{
	uint8_t *room = mmap(NULL, ROOM + PIECE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room != MAP_FAILED) {
		heap.at = room + up_to_piece((uintptr_t)room);
		heap.end = room + ROOM + PIECE;
		(void)munmap(room, (size_t)(heap.at - room)); /* EINVAL: nothing is before it */
	}
	/* malloc goes on behind what somebody else took from the break */
	(void)sbrk((intptr_t)up_to_piece((uintptr_t)sbrk(0)));
}

static void *map(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void *heap_take(size_t size)
{
	uint8_t *arena;

	if (!heap.at || size > PIECE || heap.used + size > ROOM)
		return map(size);
	if (heap.used + size > heap.open) {
		if (mprotect(heap.at + heap.open, PIECE, PROT_READ | PROT_WRITE) < 0)
			return NULL;
		heap.open += PIECE;
	}
	arena = heap.at + heap.used;
	heap.used += size;
	return arena;
}

void heap_give_back(void *arena, size_t size)
{
	(void)munmap(arena, size);
}

int heap_open_maps(void)
{
	return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
}

/* Fills the last pieces of both up, since only whole ones can become huge pages. */
static void round_up(void)
{
	size_t rest = up_to_piece((uintptr_t)sbrk(0));

	(void)sbrk((intptr_t)rest);
	if (heap.at)
		(void)munmap(heap.at + heap.open, (size_t)(heap.end - heap.at) - heap.open);
	heap.at = NULL;
}

/* A line of proc_pid_maps(5): memory of the process' own, written to at will? */
static bool is_own_memory(const char *line, uintptr_t *ret_from, uintptr_t *ret_to)
{
	unsigned long from, to, inode;

	if (sscanf(line, "%lx-%lx rw-p %*x %*x:%*x %lu", &from, &to, &inode) != 3 || inode != 0)
		return false;
	*ret_from = from;
	*ret_to = to;
	return strstr(line, "[stack]") == NULL;
}

static void collapse(uintptr_t from, uintptr_t to)
{
	from += up_to_piece(from);
	to -= to % PIECE;
	if (from < to)
		(void)madvise((void *)from, to - from, MADV_COLLAPSE);
}

void heap_settle(int maps_fd)
{
	FILE *maps = maps_fd < 0 ? NULL : fdopen(maps_fd, "r");
	char line[512];
	uintptr_t from, to;

	round_up();
	while (maps && fgets(line, sizeof(line), maps)) {
		if (is_own_memory(line, &from, &to))
			collapse(from, to);
	}
	if (maps)
		(void)fclose(maps);
}
