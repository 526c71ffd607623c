/*
 * Seal and open the bus frame.  Pure: no sockets, no clock; fuzzed.
 *
 * Layout (little-endian), 104 bytes of header, then nonce, then sealed payload:
 *	0  magic "MBX1"          4  protocol version u8      5  kind u8 (request, reply, news)
 *	6  message number u16    8  key generation u32       12 sender role u8, receiver role u8, 2 zero
 *	16 sender boot id [16]   32 receiver boot id [16]    48 counter u64
 *	56 request id [16]       72 reply: request's counter u64; else 0
 *	80 nonce [24]            104 XChaCha20-Poly1305(payload) with bytes 0..79 as associated data
 *
 * One key per ordered pair of roles.  Nothing is parsed before it opens: role bytes choose the key,
 * and the tag proves them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "buf.h"

#define FRAME_MAX       (8u * 1024 * 1024)
#define FRAME_HEADER    80u
#define FRAME_OVERHEAD  (80u + 24u + 16u)
#define FRAME_PROTOCOL  1
#define BOOT_ID_SIZE    16
#define REQUEST_ID_SIZE 16

/* Equals mcpbox.v1.Role. */
enum bus_role {
	ROLE_NONE = 0,
	ROLE_REGISTRY = 1,
	ROLE_GATEWAY = 2,
	ROLE_EXECUTOR = 3,
	ROLE_EGRESS = 4,
	ROLE_ADMIN = 5,
	ROLE_OPS = 6,
	ROLE_COUNT
};
const char *role_name(enum bus_role role);      /* "gateway" */
enum bus_role role_from_name(const char *name); /* ROLE_NONE when unknown */
#define FROM(role) (1u << (role))

enum frame_kind { FRAME_REQUEST = 1, FRAME_REPLY = 2, FRAME_NEWS = 3 };

struct frame_header {
	enum frame_kind kind;
	uint16_t msg;
	uint32_t key_generation;
	enum bus_role from, to; /* news: to = ROLE_NONE */
	uint8_t from_boot[BOOT_ID_SIZE];
	uint8_t to_boot[BOOT_ID_SIZE]; /* zero: not known yet (answered STALE_PEER), and in news */
	uint64_t counter;              /* per sender boot id, from 1 */
	uint8_t request_id[REQUEST_ID_SIZE];
	uint64_t reply_to; /* reply: counter of the request */
};

struct keys; /* keys.h */

/* Append a sealed frame to ret.  -ERR_DENIED when keys hold no key for that pair, -ERR_TOO_LARGE. */
int frame_seal(const struct keys *keys, const struct frame_header *h, const void *payload,
	       size_t len, struct buf *ret) BOX_MUST_CHECK;

/*
 * Open a frame received by `self`.  On success ret_payload (borrowed from scratch, wiped by the caller's
 * buf_done) holds the plain bytes.  Checks shape, version, roles, tag; not boot ids and counters, which are the
 * server's (frame_window) and the client's business.
 * Returns -ERR_INVALID (shape), -ERR_UNSUPPORTED (version), -ERR_DENIED (no key or forged).
 */
int frame_open(const struct keys *keys, enum bus_role self, const void *frame, size_t len,
	       struct frame_header *ret_header, struct buf *ret_payload) BOX_MUST_CHECK;

/* Replay window over the counters of one sender boot id.  At 10,000 frames a second it is 0.4 s wide: so long may a
 * thread be kept from sending what it has sealed. */
#define FRAME_WINDOW_BITS 4096
struct frame_window {
	uint64_t highest;
	uint64_t seen[FRAME_WINDOW_BITS / 64];
};
/* True when the counter was not seen and is not too old; marks it. */
bool frame_window_accept(struct frame_window *w, uint64_t counter);
