/*
 * mcpbox-worker: a warm Python.  Started by the executor with the control socket as descriptor 3;
 * speaks wire.h over it: ready as a spare, then bound to one tool version, whose call processes it
 * forks.  No keys, no network library, no secrets; arguments of calls never pass through it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../wire_io.h"
#include "confine.h"
#include "heap.h"
#include "python.h"
#include "zygote.h"

static int receive_config(struct worker *w)
{
	static struct wire_message m;
	int fds[WIRE_FDS_MAX];
	size_t count;
	int r = wire_receive(w->control, &m, fds, &count);

	if (r == 0 && (m.kind != WIRE_CONFIG || count != 0))
		r = -EPROTO;
	if (r == 0)
		w->config = m.u.config;
	return r;
}

/* Python's own streams must find pipes when they are made: over a seekable file they would seek. */
static int give_pipes_as_output(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0 || dup2(fds[1], STDOUT_FILENO) < 0)
		return -errno;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* What a module prints when it is imported goes nowhere: nobody reads the pipe. */
static int drop_output(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int r = fd < 0 || dup2(fd, STDOUT_FILENO) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

static int start(struct worker *w, const char **ret_step)
{
	int r = confine_worker(w, ret_step);

	if (r == 0) {
		*ret_step = "output";
		r = give_pipes_as_output();
	}
	if (r == 0)
		r = python_start(&w->config, w->without_files, ret_step) < 0 ? -ENOEXEC : 0;
	if (r == 0) {
		*ret_step = "output";
		r = drop_output();
	}
	if (r == 0)
		r = confine_worker_late(w, ret_step);
	return r;
}

static uint32_t kilobytes(uint64_t bytes)
{
	return (uint32_t)(bytes / 1024);
}

static int announce(const struct worker *w, int r, const char *step, struct wire_message *m)
{
	if (r < 0) {
		*m = (struct wire_message){ .kind = WIRE_FAILED,
					    .u.failed.error_number = (uint32_t)-r };
		(void)snprintf(m->u.failed.step, sizeof(m->u.failed.step), "%s", step);
	}
	return wire_send(w->control, m, NULL, 0);
}

static int become_spare(struct worker *w)
{
	static struct wire_message m;
	const char *step = "settings";
	int r;

	limits_prepare_process();
	paths_collect(&w->config, &w->paths);
	r = start(w, &step);
	m = (struct wire_message){ .kind = WIRE_READY,
				   .u.ready = { .layers = worker_layers(w),
						.landlock_abi = (uint32_t)w->landlock.abi,
						.base_kb = kilobytes(w->base.data_bytes) } };
	return announce(w, r, step, &m) < 0 ? -EPIPE : r;
}

static int receive_tool(struct worker *w, int *ret_payload)
{
	static struct wire_message m;
	int fds[WIRE_FDS_MAX];
	size_t count;
	int r = wire_receive(w->control, &m, fds, &count);

	if (r == 0 && (m.kind != WIRE_TOOL || count != TOOL_FD_COUNT))
		r = -EPROTO;
	if (r == 0) {
		w->tool = m.u.tool;
		*ret_payload = fds[TOOL_FD_PAYLOAD];
	}
	return r;
}

/* The whole file from its beginning, or NULL. */
static uint8_t *read_payload(int fd, size_t *ret_len)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *data = size > 0 && size <= WIRE_PAYLOAD_MAX ? malloc((size_t)size) : NULL;

	if (data && pread(fd, data, (size_t)size, 0) != size) {
		free(data);
		return NULL;
	}
	*ret_len = (size_t)size;
	return data;
}

static int bind(struct worker *w, int payload_fd, const char **ret_step)
{
	size_t len;
	uint8_t *payload;
	int r;

	*ret_step = "payload";
	payload = read_payload(payload_fd, &len);
	close(payload_fd);
	if (!payload)
		return -EIO;
	*ret_step = "children";
	r = zygote_prepare();
	if (r == 0)
		r = confine_tool(w, ret_step);
	if (r == 0) {
		*ret_step = "binding the tool";
		r = python_bind(payload, len, (w->tool.flags & TOOL_LATE) != 0) < 0 ? -ENOEXEC : 0;
	}
	free(payload);
	if (r == 0) {
		python_before_fork(); /* once: the zygote itself runs no Python any more */
		heap_settle(w->maps_fd);
		r = confine_tool_late(w, ret_step);
	}
	return r;
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int become_zygote(struct worker *w)
{
	static struct wire_message m;
	const char *step = "tool";
	int payload = -1, r = receive_tool(w, &payload);
	uint64_t began_us = now_us();

	if (r < 0)
		return r;
	r = bind(w, payload, &step);
	m = (struct wire_message){ .kind = WIRE_BOUND,
				   .u.bound = { .base_kb = kilobytes(w->base.data_bytes),
						.bind_us = (uint32_t)(now_us() - began_us) } };
	return announce(w, r, step, &m) < 0 ? -EPIPE : r;
}

int main(void)
{
	static struct worker w = { .control = CONTROL_FD };
	int r = receive_config(&w);

	if (r == 0)
		r = become_spare(&w);
	if (r == 0)
		r = become_zygote(&w);
	if (r == 0)
		r = zygote_serve(&w);
	_exit(r == 0 || r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);
}
