#include "peer_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

struct peer_process peer_process;

/* True when it says that it is ready, false when its ports are taken. */
static bool peer_spawn(uint16_t port, const char *capacity)
{
	posix_spawn_file_actions_t actions;
	char port_text[8], word[8] = "";
	char *argv[] = { (char *)(uintptr_t)peer_process.path, port_text,
			 (char *)(uintptr_t)capacity, NULL };
	int out[2];

	(void)snprintf(port_text, sizeof(port_text), "%u", port);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
	assert_int_equal(
		posix_spawn(&peer_process.pid, peer_process.path, &actions, NULL, argv, environ),
		0);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(out[1]);
	for (size_t len = 0; len < 6;) {
		ssize_t n = read(out[0], word + len, 6 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	(void)close(out[0]);
	return strcmp(word, "ready\n") == 0;
}

void peer_reap(void)
{
	int status;

	if (peer_process.pid > 0)
		(void)waitpid(peer_process.pid, &status, 0);
	peer_process.pid = 0;
}

void peer_kill(void)
{
	if (peer_process.pid > 0)
		(void)kill(peer_process.pid, SIGKILL);
	peer_reap();
}

/* Three ports in a row that were free a moment ago. */
static uint16_t port_guess(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	(void)close(fd);
	return ntohs(sa.sin_port) > 65000 ? 20000 : ntohs(sa.sin_port);
}

void peer_start(const char *capacity)
{
	for (int tries = 0; tries < 20; tries++) {
		peer_process.port = port_guess();
		if (peer_spawn(peer_process.port, capacity))
			return;
		peer_reap();
	}
	fail_msg("no ports for the peer");
}

/* The same ports again; they may be busy for a moment after a kill. */
void peer_restart(const char *capacity)
{
	for (int tries = 0; tries < 100; tries++) {
		if (peer_spawn(peer_process.port, capacity))
			return;
		peer_reap();
	}
	fail_msg("the peer does not come back");
}
