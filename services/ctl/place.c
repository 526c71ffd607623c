#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mem.h"
#include "parse.h"
#include "place.h"

#define CONFIG_MAX (64u * 1024)

static char *default_data(void)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (geteuid() == 0)
		return mem_strdup("/var/lib/mcpbox");
	if (state && state[0] == '/')
		return mem_printf("%s/mcpbox", state);
	return mem_printf("%s/.local/state/mcpbox", home ? home : "");
}

static char *choose_data(const char *given)
{
	const char *env = getenv("MCPBOX_DATA");

	if (given)
		return mem_strdup(given);
	return env && *env ? mem_strdup(env) : default_data();
}

/* The value of `name` in lines of NAME=value, NAME='value' or NAME="value"; heap, NULL when absent.
 */
static char *config_value(const char *text, const char *name)
{
	size_t name_len = strlen(name);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		size_t len;
		const char *v;

		line += strspn(line, "\n");
		if (strncmp(line, name, name_len) != 0 || line[name_len] != '=')
			continue;
		v = line + name_len + 1;
		len = strcspn(v, "\r\n");
		if (len >= 2 && (v[0] == '"' || v[0] == '\'') && v[len - 1] == v[0])
			return mem_strndup(v + 1, len - 2);
		return mem_strndup(v, len);
	}
	return NULL;
}

/* What `up` remembered for this instance wins over the caller's environment, which may be
 * another's. */
static char *setting(const char *config, const char *name, const char *fallback)
{
	char *value = config ? config_value(config, name) : NULL;
	const char *env = getenv(name);

	if (value)
		return value;
	return mem_strdup(env && *env ? env : fallback);
}

int place_find(const char *data, struct place *ret, struct err *err)
{
	struct place p = { .data = choose_data(data) };
	BOX_CLEANUP(mem_freep) char *path = place_path(&p, "config.env");
	BOX_CLEANUP(mem_freep) char *config = NULL;
	BOX_CLEANUP(mem_freep) char *port = NULL;
	const char *token = getenv("MCPBOX_TOKEN");
	uint64_t number;
	size_t len;
	int r = place_read_file(path, CONFIG_MAX, &config, &len, err);

	/* Unreadable is no reason to stop: the defaults may be right, and who may not read the file
	 * may still hold a token. */
	if (r < 0 && r != -ERR_NOT_FOUND && r != -ERR_DENIED) {
		place_done(&p);
		return r;
	}
	port = setting(config, "MCPBOX_ADMIN_PORT", "3000");
	p.registry_addr = setting(config, "MCPBOX_REGISTRY_ADDR", "127.0.0.1:8100");
	p.bus_tls_cert = setting(config, "MCPBOX_BUS_TLS_CERT", "");
	p.bus_tls_ca = setting(config, "MCPBOX_BUS_TLS_CA", "");
	p.token = token && *token ? mem_strdup(token) : NULL;
	if (parse_u64(port, 1, 65535, &number) < 0) {
		place_done(&p);
		return err_set(err, ERR_INVALID, "MCPBOX_ADMIN_PORT is not a port: '%s'", port);
	}
	p.admin_port = (uint16_t)number;
	*ret = p;
	return 0;
}

void place_done(struct place *p)
{
	free(p->data);
	free(p->registry_addr);
	free(p->bus_tls_cert);
	free(p->bus_tls_ca);
	free(p->token);
	*p = (struct place){ 0 };
}

char *place_path(const struct place *p, const char *name)
{
	return mem_printf("%s/%s", p->data, name);
}

static int open_error(const char *path, struct err *err)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return err_set(err, ERR_NOT_FOUND, "%s does not exist", path);
	if (errno == EACCES || errno == EPERM)
		return err_set(err, ERR_DENIED, "%s may be read by its owner only", path);
	return err_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
}

int place_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	BOX_CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	BOX_CLEANUP(mem_freep) char *data = NULL;
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return open_error(path, err);
	data = mem_alloc(max + 2);
	while ((n = read(fd, data + len, max + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return open_error(path, err);
	if (len > max)
		return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
	*ret_len = len;
	*ret = TAKE(data);
	return 0;
}

static int make_parent(const char *path)
{
	BOX_CLEANUP(mem_freep) char *dir = mem_strdup(path);
	char *slash = strrchr(dir, '/');

	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return mkdir(dir, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

int place_write_file(const char *path, const void *data, size_t len, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *temporary = mem_printf("%s.XXXXXX", path);
	BOX_CLEANUP(fd_closep) int fd = -1;

	if (make_parent(path) == 0)
		fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot write %s: %s", path, strerror(errno));
	if (write_all(fd, data, len) < 0 || rename(temporary, path) < 0) {
		int saved = errno;

		(void)unlink(temporary);
		return err_set(err, ERR_UNAVAILABLE, "cannot write %s: %s", path, strerror(saved));
	}
	return 0;
}
