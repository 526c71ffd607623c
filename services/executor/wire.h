/*
 * What supervisor and worker say to each other over the control socket (SOCK_SEQPACKET, one message
 * a packet, descriptors beside it).  Pure: bytes <-> struct; fuzzed.  wire_io.h moves the packets.
 *
 *	supervisor -> worker                       worker -> supervisor
 *	CONFIG (first, once)                       READY, or FAILED and its end: now a spare
 *	TOOL + payload (once)                      BOUND, or FAILED and its end: now a tool's zygote
 *	FORK + result, output, host (often)        STARTED + pidfd, later ENDED; or ENDED alone
 *
 * A worker ends when the control socket is closed, and takes its processes along.
 *
 * Bytes: u8 version, u8 kind, then the kind's fields in the order of its rows in wire.c, integers
 * little-endian, texts as u16 length + bytes.  Nothing may follow.
 *
 * The payload of TOOL is JSON (job.h), read from its beginning.  A process made by FORK confines
 * itself and waits on HOST, a stream socket, for
 *
 *	u32 little-endian length, at most WIRE_CALL_MAX, and as many bytes: {"arguments":{...},"secrets":{...}}
 *
 * which starts the call; from then on HOST carries the host calls (hostcalls.h) until the answer is
 * on RESULT: u32 little-endian length and as many bytes (result.h).  The process then exits; with
 * TOOL_WARM it waits for the next such frame instead.  HOST closed while it waits: it exits with 0.
 * A process that could not confine itself exits with WIRE_CONFINE_EXIT + step and has run nothing;
 * one whose call could not be read exits with WIRE_CALL_EXIT.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION      2
#define WIRE_PACKET_MAX   16384u
#define WIRE_PATHS_MAX    4096u
#define WIRE_TEXT_MAX     256u
#define WIRE_PAYLOAD_MAX  (8u * 1024 * 1024)
#define WIRE_CALL_MAX     (8u * 1024 * 1024)
#define WIRE_CALL_EXIT    119
#define WIRE_CONFINE_EXIT 120

enum wire_kind {
	WIRE_CONFIG = 1,
	WIRE_TOOL = 2,
	WIRE_FORK = 3,
	WIRE_READY = 4,
	WIRE_FAILED = 5,
	WIRE_BOUND = 6,
	WIRE_STARTED = 7,
	WIRE_ENDED = 8,
	WIRE_KIND_END
};

/* The order of descriptors that travel with a message. */
enum wire_tool_fd { TOOL_FD_PAYLOAD, TOOL_FD_COUNT };
enum wire_fork_fd { FORK_FD_RESULT, FORK_FD_OUTPUT, FORK_FD_HOST, FORK_FD_COUNT };

/* What a worker is started with. */
struct wire_config {
	uint32_t with_http; /* 1: load httpx before anything is bound */
	uint32_t without;   /* tests only: LAYER_* not to be applied */
	char runtime_dir[WIRE_PATHS_MAX / 4];
	char module_dirs[WIRE_PATHS_MAX]; /* absolute paths with ':' between, may be empty */
};

/* Bits of wire_config.without and wire_ready.layers. */
enum wire_layer {
	LAYER_SECCOMP = 1u << 0,
	LAYER_LANDLOCK = 1u << 1,
	LAYER_USERNS = 1u << 2,
	LAYER_PIDNS = 1u << 3,
	LAYER_MOUNTNS = 1u << 4,
	LAYER_NETNS = 1u << 5,
	LAYER_CGROUP = 1u << 6,
	LAYER_RLIMITS = 1u << 7,
	LAYER_NOFS = 1u << 8, /* no system call takes a path: stands in for Landlock */
	/* Only to be left out, by tests; always there otherwise, and not reported. */
	LAYER_CAPS = 1u << 9,      /* capabilities are dropped */
	LAYER_DUMPABLE = 1u << 10, /* nobody attaches to the zygote or to calls */
	LAYER_FDS = 1u << 11,      /* a call inherits what is placed for it and nothing else */
	LAYER_CALLNS = 1u << 12,   /* a call has a user namespace of its own */
};
#define LAYER_NAMESPACES (LAYER_USERNS | LAYER_PIDNS | LAYER_MOUNTNS | LAYER_NETNS)

#define TOOL_WARM (1u << 0) /* a process serves many calls; RLIMIT_CPU is then not set */
#define TOOL_LATE (1u << 1) /* modules are imported by the calls: one of them starts threads */

/* One tool version: a worker serves no other from then on. */
struct wire_tool {
	uint32_t flags;
	uint32_t memory_mb; /* limits of one call, none of them 0 but for scratch_mb */
	uint32_t cpu_ms;
	uint32_t files;
	uint32_t threads;
	uint32_t scratch_mb;   /* 0: none */
	uint32_t shared_nproc; /* RLIMIT_NPROC where calls have no user namespace of their own: the
				  kernel then counts all tasks of this uid */
};

struct wire_fork {
	uint64_t number; /* never 0; chosen by the supervisor, comes back in STARTED and ENDED */
};

struct wire_ready {
	uint32_t layers;
	uint32_t landlock_abi;
	uint32_t base_kb; /* data of the worker itself */
};

struct wire_bound {
	uint32_t base_kb; /* data of the zygote: a call's memory limit counts from there */
	uint32_t bind_us; /* from TOOL to here */
};

struct wire_failed {
	uint32_t error_number; /* errno, or 0; EBUSY: a module left threads behind when imported;
				   another worker can be given TOOL_LATE */
	char step[WIRE_TEXT_MAX];
};

struct wire_started {
	uint64_t number;
};

enum wire_how { WIRE_EXITED = 1, WIRE_SIGNALED = 2, WIRE_NOT_STARTED = 3 };

struct wire_ended {
	uint64_t number;
	uint32_t how;  /* enum wire_how */
	uint32_t code; /* exit status, signal number, or errno */
	uint64_t cpu_us;
	uint64_t memory_kb; /* peak resident size */
};

struct wire_message {
	enum wire_kind kind;
	union {
		struct wire_config config;
		struct wire_tool tool;
		struct wire_fork fork;
		struct wire_ready ready;
		struct wire_failed failed;
		struct wire_bound bound;
		struct wire_started started;
		struct wire_ended ended;
	} u;
};

/* Packs m into ret (at least WIRE_PACKET_MAX bytes).  Returns the length, or 0 for an unknown kind.
 */
size_t wire_pack(const struct wire_message *m, uint8_t *ret);
/* Returns 0, or -1 when the bytes are not exactly one message of a known kind; ret is written whole
 * or not to be used. */
int wire_unpack(const uint8_t *data, size_t len, struct wire_message *ret);
