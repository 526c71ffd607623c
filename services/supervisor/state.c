#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(char path[PATH_MAX], const char *run_dir, const char *name, const char *suffix)
{
	(void)snprintf(path, PATH_MAX, "%s/%s.%s", run_dir, name, suffix);
}

int state_lock(const char *run_dir, const char *name)
{
	char path[PATH_MAX];
	int fd;

	path_of(path, run_dir, name, "lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

/* Other accounts may write to the folder too: a link or pipe that one of them put there is not followed. */
static FILE *fresh_file(const char *path)
{
	FILE *out;
	int fd;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	out = fdopen(fd, "w");
	if (!out)
		(void)close(fd);
	return out;
}

int state_write(const char *run_dir, const char *name, const struct state *s)
{
	char path[PATH_MAX];
	char fresh[PATH_MAX];
	FILE *out;
	int r;

	path_of(path, run_dir, name, "state");
	path_of(fresh, run_dir, name, "state.new");
	out = fresh_file(fresh);
	if (!out)
		return -errno;
	(void)fchmod(fileno(out), 0644); /* `status` reads it as whoever asks */
	r = fprintf(out, "supervisor=%d\npid=%d\nready=%d\nsince=%lld\nrestarts=%lu\ntag=%s\n",
		    s->supervisor, s->pid, s->ready ? 1 : 0, (long long)s->since_unix, s->restarts,
		    s->tag);
	if (fclose(out) != 0 || r < 0)
		return -EIO;
	return rename(fresh, path) < 0 ? -errno : 0;
}

void state_remove(const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	path_of(path, run_dir, name, "state");
	(void)unlink(path);
}
