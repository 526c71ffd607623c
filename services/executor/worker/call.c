#include "call.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "python.h"
#include "worker.h"

/* Reads exactly len bytes.  False when the other side is gone before the first. */
static bool receive(void *to, size_t len)
{
	uint8_t *at = to;
	size_t have = 0;

	while (have < len) {
		/* without room for descriptors: none come */
		ssize_t n = recv(CALL_FD_HOST, at + have, len - have, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && have > 0)
			_exit(WIRE_CALL_EXIT);
		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return true;
}

/* Waits for the next call and lays it before Python.  False when there will be none. */
static bool receive_call(void)
{
	uint8_t head[4];
	size_t len;
	uint8_t *room;

	if (!receive(head, sizeof(head)))
		return false;
	len = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
	      (size_t)head[3] << 24;
	room = len > WIRE_CALL_MAX ? NULL : python_call_room(len);
	if (!room || !receive(room, len))
		_exit(WIRE_CALL_EXIT);
	return true;
}

/* The answer leaves from here, not from Python: a tool may have replaced os.write and json. */
static void write_answer(const char *answer, size_t len)
{
	uint8_t head[4] = { (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
			    (uint8_t)(len >> 24) };
	struct iovec parts[2] = { { .iov_base = head, .iov_len = sizeof(head) },
				  { .iov_base = (char *)(uintptr_t)answer, .iov_len = len } };
	struct iovec *part = parts;

	while (part < parts + 2) {
		ssize_t n = writev(CALL_FD_RESULT, part, (int)(parts + 2 - part));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* the tool closed it: its own answer is lost */
		for (; part < parts + 2 && (size_t)n >= part->iov_len; part++)
			n -= (ssize_t)part->iov_len;
		if (part < parts + 2) {
			part->iov_base = (char *)part->iov_base + n;
			part->iov_len -= (size_t)n;
		}
	}
}

/* On a busy machine calls wait for processes: then a rehearsal would only hold them up. */
static bool is_awaited(void)
{
	uint8_t first;

	return recv(CALL_FD_HOST, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void call_serve(bool has_scratch, bool is_warm)
{
	if (python_prepare(has_scratch, is_awaited()) < 0)
		_exit(WIRE_CALL_EXIT);
	do {
		const char *answer;
		size_t len;

		if (!receive_call())
			_exit(0);
		answer = python_run_call(&len);
		write_answer(answer, len);
	} while (is_warm);
	/* The supervisor reads what the process used before it lets go of it. */
	(void)receive(&(uint8_t){ 0 }, 1);
	_exit(0); /* never Py_Finalize: it takes long and runs tool code */
}
