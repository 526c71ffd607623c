#include "logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT 3

static int reopen(struct logfile *log)
{
	struct stat st;
	int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	log->fd = fd;
	log->size = fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
	return 0;
}

int logfile_open(struct logfile *log, const char *path, size_t max_bytes)
{
	*log = (struct logfile){
		.path = path, .max_bytes = max_bytes, .fd = -1, .at_line_start = true
	};
	return reopen(log);
}

void logfile_close(struct logfile *log)
{
	if (log->fd >= 0)
		(void)close(log->fd);
	log->fd = -1;
}

static void rotate(struct logfile *log)
{
	char from[PATH_MAX];
	char to[PATH_MAX];

	for (int i = KEPT; i > 0; i--) {
		(void)snprintf(to, sizeof(to), "%s.%d", log->path, i);
		(void)snprintf(from, sizeof(from), i > 1 ? "%s.%d" : "%s", log->path, i - 1);
		(void)rename(from, to); /* what is missing has nothing to move */
	}
	logfile_close(log);
	(void)reopen(log);
}

/* Writes all of it or gives up: a log that cannot be written must not stop the service. */
static void write_all(struct logfile *log, const char *data, size_t len)
{
	while (len > 0 && log->fd >= 0) {
		ssize_t n = write(log->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
		log->size += (size_t)n;
	}
}

void logfile_append(struct logfile *log, const char *data, size_t len)
{
	const char *newline = len > 0 ? memchr(data, '\n', len) : NULL;

	if (log->size >= log->max_bytes && log->at_line_start) {
		rotate(log);
	} else if (log->size >= log->max_bytes && newline) {
		size_t first = (size_t)(newline - data) + 1;

		write_all(log, data, first);
		data += first;
		len -= first;
		rotate(log);
	}
	write_all(log, data, len);
	if (len > 0)
		log->at_line_start = data[len - 1] == '\n';
}

void logfile_event(struct logfile *log, const char *service, const char *event, const char *key,
		   long number)
{
	char line[512];
	char when[32];
	struct timespec now;
	struct tm tm;
	int n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, sizeof(line),
		     "{\"time\":\"%s.%03ldZ\",\"level\":\"info\",\"service\":\"supervisor\","
		     "\"instance\":\"%s\",\"event\":\"%s\",\"%s\":%ld}\n",
		     when, now.tv_nsec / 1000000, service, event, key, number);
	if (n > 0 && (size_t)n < sizeof(line))
		logfile_append(log, line, (size_t)n);
}
