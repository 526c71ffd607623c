#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "about.h"
#include "log.h"
#include "mem.h"
#include "routes.h"
#include "static_files.h"

#define FILE_MAX_BYTES (8u * 1024 * 1024)

static const char built_in_page[] =
	"<!doctype html>\n<html lang=\"en\">\n<head><meta "
	"charset=\"utf-8\"><title>MCPBox</title></head>\n"
	"<body>\n<h1>MCPBox</h1>\n"
	"<p>The web interface comes later. Until then a person decides at the command line:</p>\n"
	"<pre>./mcpbox ctl login\n./mcpbox ctl pending\n./mcpbox ctl show X\n./mcpbox ctl approve "
	"X\n"
	"./mcpbox ctl reject X --reason \"why\"\n./mcpbox ctl audit tail</pre>\n"
	"<p>Scripts use REST under <code>/auth</code> and <code>/api</code> on this port.</p>\n"
	"</body>\n</html>\n";

const char *static_files_type(const char *path)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".mjs", "text/javascript; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".ico", "image/x-icon" },
		{ ".woff2", "font/woff2" },
		{ ".json", "application/json" },
		{ ".webmanifest", "application/manifest+json" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".map", "application/json" },
	};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < ARRAY_LEN(types); i++)
		if (strcmp(dot, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}

bool static_files_is_page(const char *path)
{
	const char *last = strrchr(path, '/');

	return !routes_is_api(path) && !strchr(last ? last : path, '.');
}

/* The kernel keeps the walk below the directory: no "..", no link that leads out. */
static int open_beneath(const char *dir, const char *relative)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	BOX_CLEANUP(fd_closep) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir_fd < 0)
		return -1;
	return (int)syscall(SYS_openat2, dir_fd, relative, &how, sizeof(how));
}

static int read_into(int fd, struct buf *ret)
{
	struct stat st;
	uint8_t *room;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)
		return -1;
	room = buf_grow(ret, (size_t)st.st_size);
	if (!room)
		return -1;
	while ((n = read(fd, room, (size_t)st.st_size - ret->len)) > 0) {
		room += n;
		ret->len += (size_t)n;
	}
	return n < 0 ? -1 : 0;
}

static int serve_file(struct call *call, const char *relative)
{
	BOX_CLEANUP(fd_closep) int fd = open_beneath(call->admin->cfg.web_dir, relative);

	if (fd < 0 || read_into(fd, &call->body) < 0)
		return -ERR_NOT_FOUND;
	call->content_type = static_files_type(relative);
	return 0;
}

/* A script asks what this is; a browser, which names both or HTML alone, gets the page. */
static bool wants_json(const struct http_request *rq)
{
	const char *accept = http_header(rq, "Accept");

	return accept && strstr(accept, "application/json") && !strstr(accept, "text/html");
}

int static_files_serve(struct call *call, struct err *err)
{
	const char *path = http_path(call->rq);
	int r = -ERR_NOT_FOUND;

	if (strcmp(path, "/") == 0 && wants_json(call->rq)) {
		about_write(&call->body);
		return 0;
	}
	if (!call->admin->cfg.web_dir && strcmp(path, "/") == 0) {
		call->content_type = "text/html; charset=utf-8";
		buf_add_str(&call->body, built_in_page);
		return 0;
	}
	if (call->admin->cfg.web_dir && path[0] == '/' && path[1])
		r = serve_file(call, path + 1);
	if (r < 0 && call->admin->cfg.web_dir && static_files_is_page(path))
		r = serve_file(call, "index.html"); /* the UI's router takes it from there */
	return r < 0 ? err_set(err, ERR_NOT_FOUND, "there is nothing at this address") : 0;
}
