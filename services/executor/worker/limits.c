#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB          ((rlim_t)1024 * 1024)
#define THREAD_STACK (1024 * 1024)
/* Address space that a limit on data does not count: malloc arenas, thread stacks, mapped
 * libraries. */
#define ADDRESS_SLACK (160 * MIB)
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
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int limits_read_base(int fd, struct limits_base *ret)
{
	char text[256];
	unsigned long long size, data;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = 0;
	/* size resident shared text lib data dt, in pages (proc(5)); data counts what RLIMIT_DATA
	 * counts */
	if (sscanf(text, "%llu %*u %*u %*u %*u %llu", &size, &data) != 2)
		return -EPROTO;
	ret->address_bytes = size * page;
	ret->data_bytes = data * page;
	return 0;
}

int limits_apply(const struct wire_job *job, const struct limits_base *base)
{
	rlim_t memory = job->memory_mb * MIB, cpu = (job->cpu_ms + 999) / 1000;
	const struct {
		int resource;
		rlim_t soft, hard;
	} rows[] = {
		/* private writable pages; going over gives MemoryError, not death */
		{ RLIMIT_DATA, base->data_bytes + memory, base->data_bytes + memory },
		/* second net, for mappings that DATA does not count */
		{ RLIMIT_AS, base->address_bytes + memory + ADDRESS_SLACK,
		  base->address_bytes + memory + ADDRESS_SLACK },
		/* SIGXCPU is ignored by pid 1 of a namespace; the hard limit kills */
		{ RLIMIT_CPU, cpu, cpu + 1 },
		/* counted per user namespace where there is one, else per uid of the host */
		{ RLIMIT_NPROC, base->nproc ? base->nproc : job->threads,
		  base->nproc ? base->nproc : job->threads },
		{ RLIMIT_NOFILE, job->files, job->files },
		{ RLIMIT_FSIZE, FILE_SIZE_MAX, FILE_SIZE_MAX },
		{ RLIMIT_CORE, 0, 0 },
		{ RLIMIT_MEMLOCK, 0, 0 },
		{ RLIMIT_MSGQUEUE, 0, 0 },
		{ RLIMIT_SIGPENDING, 64, 64 },
		{ RLIMIT_STACK, MAIN_STACK, MAIN_STACK },
		{ RLIMIT_NICE, 0, 0 },
		{ RLIMIT_RTPRIO, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
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
