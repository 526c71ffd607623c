#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "scratch.h"

#define MIB          ((rlim_t)1024 * 1024)
#define THREAD_STACK (1024 * 1024)
/* Address space that a limit on data does not count: malloc arenas, thread stacks, mapped
 * libraries. */
#define ADDRESS_SLACK (160 * MIB)
/* What a tool's approved modules may take when they are imported, beside a call's memory. */
#define BIND_SLACK    (1024 * MIB)
#define FILE_SIZE_MAX (64 * MIB)
#define MAIN_STACK    (8 * MIB)

void limits_prepare_process(void)
{
	pthread_attr_t attr;

	(void)mallopt(M_ARENA_MAX, 2);
	if (pthread_attr_init(&attr) == 0) {
		if (pthread_attr_setstacksize(&attr, THREAD_STACK) == 0)
			(void)pthread_setattr_default_np(&attr);
		(void)pthread_attr_destroy(&attr);
	}
}

int limits_open_base(void)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* "Name:   123 kB" */
static bool find_number(const char *text, const char *name, uint64_t *ret)
{
	const char *at = strstr(text, name);
	unsigned long long v;

	if (!at || sscanf(at + strlen(name), "%llu", &v) != 1)
		return false;
	*ret = v;
	return true;
}

int limits_read_base(int fd, struct limits_base *ret)
{
	char text[4096];
	uint64_t threads, size_kb, data_kb;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = 0;
	if (!find_number(text, "\nVmSize:", &size_kb) ||
	    !find_number(text, "\nVmData:", &data_kb) || !find_number(text, "\nThreads:", &threads))
		return -EPROTO;
	/* VmData is what RLIMIT_DATA counts. */
	*ret = (struct limits_base){ .data_bytes = data_kb * 1024,
				     .address_bytes = size_kb * 1024,
				     .threads = (uint32_t)threads };
	return 0;
}

struct limit {
	int resource;
	rlim_t soft, hard;
};

static int apply(const struct limit *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rlimit now, want = { .rlim_cur = rows[i].soft, .rlim_max = rows[i].hard };

		/* The host's own limit may be lower; it may never be raised. */
		if (getrlimit(rows[i].resource, &now) < 0)
			return -errno;
		if (want.rlim_max > now.rlim_max)
			want.rlim_max = now.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		if (setrlimit(rows[i].resource, &want) < 0)
			return -errno;
	}
	return 0;
}

int limits_apply_zygote(const struct wire_tool *tool, const struct limits_base *base,
			bool has_own_count)
{
	rlim_t everyone = (rlim_t)SCRATCH_SLOTS * (tool->threads + 1);
	const struct limit rows[] = {
		/* soft: a call's own limit counts from what is held when all is imported */
		{ RLIMIT_DATA, base->data_bytes + tool->memory_mb * MIB + BIND_SLACK,
		  RLIM_INFINITY },
		/* the calls' processes and threads together, however they came to be */
		{ RLIMIT_NPROC, has_own_count ? everyone : RLIM_INFINITY,
		  has_own_count ? everyone : RLIM_INFINITY },
		{ RLIMIT_FSIZE, FILE_SIZE_MAX, FILE_SIZE_MAX },
		{ RLIMIT_CORE, 0, 0 },
		{ RLIMIT_MEMLOCK, 0, 0 },
		{ RLIMIT_MSGQUEUE, 0, 0 },
		{ RLIMIT_SIGPENDING, 64, 64 },
		{ RLIMIT_STACK, MAIN_STACK, MAIN_STACK },
		{ RLIMIT_NICE, 0, 0 },
		{ RLIMIT_RTPRIO, 0, 0 },
	};

	return apply(rows, sizeof(rows) / sizeof(rows[0]));
}

int limits_apply_call(const struct wire_tool *tool, const struct limits_base *base,
		      bool has_own_count)
{
	rlim_t memory = tool->memory_mb * MIB, cpu = (tool->cpu_ms + 999) / 1000;
	rlim_t threads = has_own_count ? tool->threads : tool->shared_nproc;
	bool is_warm = (tool->flags & TOOL_WARM) != 0;
	const struct limit rows[] = {
		/* private writable pages; going over gives MemoryError, not death */
		{ RLIMIT_DATA, base->data_bytes + memory, base->data_bytes + memory },
		/* second net, for mappings that DATA does not count */
		{ RLIMIT_AS, base->address_bytes + memory + ADDRESS_SLACK,
		  base->address_bytes + memory + ADDRESS_SLACK },
		/* counted per user namespace where there is one, else per uid of the host */
		{ RLIMIT_NPROC, threads, threads },
		{ RLIMIT_NOFILE, tool->files, tool->files },
		/* the hard limit kills; counts from the process' birth, so not over many calls */
		{ RLIMIT_CPU, is_warm ? RLIM_INFINITY : cpu, is_warm ? RLIM_INFINITY : cpu + 1 },
	};

	return apply(rows, sizeof(rows) / sizeof(rows[0]));
}
