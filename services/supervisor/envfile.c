#include "envfile.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES 256
#define MAX_BYTES 65536

void envfile_free(char **env)
{
	for (char **e = env; e && *e; e++)
		free(*e);
	free(env);
}

static bool is_assignment(const char *line)
{
	const char *p = line;

	while (isupper((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_')
		p++;
	return p > line && *p == '=' && !isdigit((unsigned char)line[0]);
}

static int add(char **env, int *n, const char *text)
{
	if (*n == MAX_LINES)
		return -E2BIG;
	env[*n] = strdup(text);
	if (!env[*n])
		return -ENOMEM;
	(*n)++;
	return 0;
}

static int add_lines(char **env, int *n, FILE *in)
{
	char *line = NULL;
	size_t size = 0;
	size_t total = 0;
	ssize_t len;
	int r = 0;

	while (r == 0 && (len = getline(&line, &size, in)) >= 0) {
		total += (size_t)len;
		line[strcspn(line, "\n")] = '\0';
		if (total > MAX_BYTES)
			r = -E2BIG;
		else if (line[0] == '\0' || line[0] == '#')
			continue;
		else
			r = is_assignment(line) ? add(env, n, line) : -EINVAL;
	}
	free(line);
	return r;
}

char **envfile_read(const char *path, const char *const *more, int count)
{
	FILE *in = fopen(path, "re");
	char **env;
	int n = 0;
	int r;

	if (!in)
		return NULL;
	env = calloc(MAX_LINES + 1, sizeof(*env));
	r = env ? 0 : -ENOMEM;
	for (int i = 0; r == 0 && i < count; i++)
		r = add(env, &n, more[i]);
	if (r == 0)
		r = add_lines(env, &n, in);
	(void)fclose(in);
	if (r == 0)
		return env;
	envfile_free(env);
	errno = -r;
	return NULL;
}
