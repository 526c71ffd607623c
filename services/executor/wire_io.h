/* Moves wire messages over the control socket.  No state; one thread per direction of a socket. */
#pragma once

#include <stddef.h>
#include "wire.h"

#define WIRE_FDS_MAX 8

/* Sends m with fds beside it (borrowed).  Returns 0 or -errno. */
int wire_send(int socket, const struct wire_message *m, const int *fds, size_t fd_count);

/*
 * Receives one message; blocks unless the socket is non-blocking.  ret_fds has room for
 * WIRE_FDS_MAX and holds the received descriptors (close-on-exec, the caller's), *ret_count of
 * them. Returns 0; -EPIPE when the other side is gone; -EPROTO for foreign bytes or cut descriptors
 * (any received are closed); -EAGAIN; another -errno.
 */
int wire_receive(int socket, struct wire_message *ret, int *ret_fds, size_t *ret_count);
