/*
 * What supervisor and worker say to each other over the control socket (SOCK_SEQPACKET, one message
 *a packet, descriptors beside it).  Pure: bytes <-> struct; fuzzed.  wire_io.h moves the packets.
 *
 *	supervisor -> worker    CONFIG (first, once), JOB + 4 descriptors
 *	worker -> supervisor    READY or FAILED (once), then per job STARTED + pidfd, ENDED
 *
 * Bytes: u8 version, u8 kind, then the kind's fields in the order of its rows in wire.c, integers
 * little-endian, texts as u16 length + bytes.  Nothing may follow.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION    1
#define WIRE_PACKET_MAX 16384u
#define WIRE_PATHS_MAX  4096u
#define WIRE_TEXT_MAX   256u

enum wire_kind {
	WIRE_CONFIG = 1,
	WIRE_JOB = 2,
	WIRE_READY = 3,
	WIRE_FAILED = 4,
	WIRE_STARTED = 5,
	WIRE_ENDED = 6,
	WIRE_KIND_END
};

/* The order of descriptors that travel with a JOB. */
enum wire_job_fd { JOB_FD_PAYLOAD, JOB_FD_RESULT, JOB_FD_OUTPUT, JOB_FD_HOST, JOB_FD_COUNT };

/* What a worker is started with. */
struct wire_config {
	uint32_t with_http; /* 1: load httpx before forking */
	uint32_t capacity;  /* calls at once: sizes the shared thread limit of hosts without user
			       namespaces */
	uint32_t uid_tasks; /* threads of this uid outside the sandbox, counted by the supervisor */
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
};
#define LAYER_NAMESPACES (LAYER_USERNS | LAYER_PIDNS | LAYER_MOUNTNS | LAYER_NETNS)

struct wire_job {
	uint64_t number; /* never 0; chosen by the supervisor, comes back in STARTED and ENDED */
	uint32_t memory_mb;
	uint32_t cpu_ms;
	uint32_t files;
	uint32_t threads;
	uint32_t scratch_mb;
};

struct wire_ready {
	uint32_t layers;
	uint32_t landlock_abi;
	uint32_t base_kb; /* data of the zygote itself, before any call */
};

struct wire_failed {
	uint32_t error_number; /* errno, or 0 */
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
		struct wire_job job;
		struct wire_ready ready;
		struct wire_failed failed;
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
