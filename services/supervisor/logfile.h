/*
 * A log that is appended to and rotated by size: FILE, FILE.1 (newest) ... FILE.3.  It is cut only
 * at the end of a line.  A full disk loses lines, never the service.  One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct logfile {
	const char *path; /* borrowed */
	size_t max_bytes;
	size_t size;
	int fd;
	bool at_line_start;
};

/* Returns 0, or -errno when the file cannot be opened. */
int logfile_open(struct logfile *log, const char *path, size_t max_bytes);
void logfile_append(struct logfile *log, const char *data, size_t len);
/* One JSON line about the supervised service itself, with one number. */
void logfile_event(struct logfile *log, const char *service, const char *event, const char *key,
		   long number);
void logfile_close(struct logfile *log);
