/*
 * The environment of a service, read from a file of lines NAME=value.  Values are taken as they
 * stand: no quotes, no expansion.  Empty lines and lines that begin with # are skipped.
 */
#pragma once

/*
 * Reads path and adds the `count` strings of `more` (borrowed, copied).
 * Returns a NULL-terminated array on the heap (envfile_free), or NULL with errno set: EINVAL for a
 * line that is not NAME=value, E2BIG above 256 lines or 64 KiB.
 */
char **envfile_read(const char *path, const char *const *more, int count);
void envfile_free(char **env);
