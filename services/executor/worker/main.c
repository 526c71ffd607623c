/*
 * mcpbox-worker: holds a warm Python and forks a confined process for each job.  Started by the
 * executor with the control socket as descriptor 3; speaks wire.h over it.  No keys, no network
 * library, no secrets; payloads pass through as descriptors that it never reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "../wire_io.h"
#include "confine.h"
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

static int start(struct worker *w, const char **ret_step)
{
	int r = confine_worker(w, ret_step);

	if (r == 0) {
		*ret_step = "output";
		r = give_pipes_as_output();
	}
	if (r == 0)
		r = python_start(&w->config, ret_step) < 0 ? -ENOEXEC : 0;
	if (r == 0)
		r = confine_worker_late(w, ret_step);
	return r;
}

static int announce(struct worker *w, int r, const char *step)
{
	static struct wire_message m;

	if (r == 0) {
		m.kind = WIRE_READY;
		m.u.ready.layers = worker_layers(w);
		m.u.ready.landlock_abi = (uint32_t)w->landlock.abi;
		m.u.ready.base_kb = (uint32_t)(w->base.data_bytes / 1024);
	} else {
		m.kind = WIRE_FAILED;
		m.u.failed.error_number = (uint32_t)-r;
		(void)snprintf(m.u.failed.step, sizeof(m.u.failed.step), "%s", step);
	}
	return wire_send(w->control, &m, NULL, 0);
}

int main(void)
{
	static struct worker w = { .control = CONTROL_FD };
	const char *step = "settings";
	int r = receive_config(&w);

	if (r < 0)
		return EXIT_FAILURE;
	limits_prepare_process();
	paths_collect(&w.config, &w.paths);
	r = start(&w, &step);
	if (announce(&w, r, step) < 0 || r < 0)
		_exit(EXIT_FAILURE);
	_exit(zygote_serve(&w) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
