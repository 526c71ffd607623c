/*
 * Round trip of a small question over tcp loopback, sealed, between two processes.
 *
 *	bench_bus <path of bus_test_peer> <port> [threads]
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus.h"
#include "clock.h"
#include "crypto.h"
#include "test_keys.h"

#define CALLS 5000

extern char **environ;

static struct bus *bus;

static int by_value(const void *a, const void *b)
{
	return (*(const uint64_t *)a > *(const uint64_t *)b) -
	       (*(const uint64_t *)a < *(const uint64_t *)b);
}

static void *ask(void *arg)
{
	uint64_t *took_us = arg;
	PB(ListServersRequest) request = MCPBOX__V1__LIST_SERVERS_REQUEST__INIT;

	for (int i = 0; i < CALLS; i++) {
		ProtobufCMessage *reply = NULL;
		uint64_t begun = clock_mono_us();
		struct err err = { 0 };

		if (bus_ask_registry(bus, MSG_LIST_SERVERS, &request.base, NULL, &reply, &err) <
		    0) {
			(void)fprintf(stderr, "%s\n", err.text);
			exit(1);
		}
		took_us[i] = clock_mono_us() - begun;
		msg_free(reply);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct bus_config config = { .instance = "gateway-bench", .slots = 4 };
	char *peer[] = { argc > 2 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, (char *)"32", NULL };
	int threads = argc > 3 ? atoi(argv[3]) : 1;
	uint64_t *took_us = malloc((size_t)threads * CALLS * sizeof(*took_us));
	pthread_t *ids = malloc((size_t)threads * sizeof(*ids));
	uint64_t begun, all_us;
	struct err err = { 0 };
	char addr[64];
	pid_t pid;

	if (argc < 3 || crypto_start() < 0 || !took_us || !ids ||
	    posix_spawn(&pid, peer[0], NULL, NULL, peer, environ) != 0)
		return 2;
	(void)snprintf(addr, sizeof(addr), "127.0.0.1:%s", argv[2]);
	config.registry_addrs = addr;
	config.keys = test_keys(ROLE_GATEWAY, 1);
	if (bus_new(&config, &bus, &err) < 0)
		return 2;
	ask(took_us); /* warm */
	begun = clock_mono_us();
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, ask, took_us + (size_t)i * CALLS) != 0)
			return 2;
	for (int i = 0; i < threads; i++)
		(void)pthread_join(ids[i], NULL);
	all_us = clock_mono_us() - begun;
	qsort(took_us, (size_t)threads * CALLS, sizeof(*took_us), by_value);
	(void)printf("threads %d: p50 %llu us, p99 %llu us, %llu calls/s\n", threads,
		     (unsigned long long)took_us[threads * CALLS / 2],
		     (unsigned long long)took_us[threads * CALLS * 99 / 100],
		     (unsigned long long)threads * CALLS * 1000000 / all_us);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)fflush(stdout);
	_exit(0);
}
