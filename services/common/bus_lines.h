/*
 * Lines: plain TCP connections for questions that come by the thousand (tool calls).  A line carries the same
 * sealed frames as the bus' sockets, one question at a time, and its two ends are read by the threads that
 * ask and answer; a question over nng passes some twenty threads on its way there and back.
 *
 * The answerer speaks first, one byte, when it has a thread for the line; else it closes.  A frame on a line: its length (u32, little-endian), then its bytes.  Only beside tcp:// listeners: where the
 * bus has certificates, and wherever no line can be had, questions go over nng.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "buf.h"
#include "bus_slots.h"

struct bus;
struct bus_server;

/* ---- asking: any thread; a line belongs to who took it ---- */

struct lines;
struct line;
struct lines *lines_new(void);
/* Whoever waits on a line finds it broken; nothing can be taken any more. */
void lines_stop(struct lines *all);

/* addr: of the peer's work socket; port: of its lines.  -ERR_UNAVAILABLE when there is none within 1 s. */
int line_take(struct lines *all, const char *addr, uint16_t port, struct line **ret) BOX_MUST_CHECK;
/* One frame there, one back.  ret: valid until line_give_back(). */
enum exchange line_exchange(struct line *line, const struct buf *question, uint64_t deadline_ms,
			    struct slot_answer *ret);
void line_give_back(struct line *line);

/* ---- answering ---- */

struct line_server;
/* Listen on the host of `server->listen`, any port; NULL where that cannot be.  in_flight: shared with the
 * server's own socket. */
struct line_server *line_server_start(struct bus *b, const struct bus_server *server,
				      _Atomic uint32_t *in_flight);
uint16_t line_server_port(const struct line_server *s);
/* What is at work answers; then all connections are closed. */
void line_server_stop(struct line_server *s);
