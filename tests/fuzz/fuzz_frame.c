/*
 * Bytes that claim to be a frame.  A first byte chooses: as they are; or under a right seal, so
 * that the fuzzer gets behind it, into the answering of a registry.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bus.h"
#include "crypto.h"
#include "test_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct bus *bus;
	struct keys *registry, *gateway;
	uint64_t counter;
} f;

static int accept_any(struct bus_request *rq, struct err *err)
{
	(void)rq;
	(void)err;
	return 0;
}

static const struct bus_route routes[] = {
	{ MSG_CREATE_TOOL, FROM(ROLE_GATEWAY), 0, accept_any },
	{ MSG_SHIP_RECORDS, FROM(ROLE_GATEWAY), 0, accept_any },
	{ MSG_RENEW_LEASE, FROM(ROLE_GATEWAY), 0, accept_any },
	{ MSG_GET_BLOBS, FROM(ROLE_GATEWAY), 0, accept_any },
};

static bool forget_refusal(void *arg, enum bus_refusal cause, const char *remote, uint64_t count)
{
	(void)arg;
	(void)cause;
	(void)remote;
	(void)count;
	return true;
}

static void start_once(void)
{
	struct bus_config config = { .instance = "registry-fuzz",
				     .registry_addrs = "127.0.0.1:1",
				     .slots = 4 };
	struct err err = { 0 };

	if (f.bus)
		return;
	if (crypto_start() < 0)
		box_bug("no crypto");
	f.registry = test_keys(ROLE_REGISTRY, 1);
	f.gateway = test_keys(ROLE_GATEWAY, 1);
	config.keys = f.registry;
	if (bus_new(&config, &f.bus, &err) < 0)
		box_bug("%s", err.text);
	bus_on_refused(f.bus, forget_refusal, NULL);
}

static void answer(const uint8_t *frame, size_t len)
{
	struct bus_server server = { .routes = routes, .route_count = ARRAY_LEN(routes) };
	struct buf reply = BUF_INIT(FRAME_MAX);
	bool is_answered = bus_answer_frame(f.bus, &server, frame, len, "fuzz:1", &reply) == 0;

	if (is_answered != (reply.len > 0))
		box_bug("no answer, and yet bytes");
	buf_done(&reply);
}

/* The rest as payload of a request that opens and is fresh. */
static void answer_sealed(uint8_t row, const uint8_t *payload, size_t len)
{
	struct frame_header h = {
		.kind = FRAME_REQUEST,
		.msg = routes[row % ARRAY_LEN(routes)].msg,
		.key_generation = 1,
		.from = ROLE_GATEWAY,
		.to = ROLE_REGISTRY,
		.counter = ++f.counter,
	};
	struct buf frame = BUF_INIT(FRAME_MAX);

	memcpy(h.to_boot, bus_boot_id(f.bus), BOOT_ID_SIZE);
	/* Where a Request has its id: the header's must be the same. */
	if (len >= 2 + REQUEST_ID_SIZE)
		memcpy(h.request_id, payload + 2, REQUEST_ID_SIZE);
	if (frame_seal(f.gateway, &h, payload, len, &frame) == 0)
		answer(frame.data, frame.len);
	buf_done(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	start_once();
	if (size < 2)
		return 0;
	if (data[0] & 1)
		answer(data + 1, size - 1);
	else
		answer_sealed(data[1], data + 2, size - 2);
	return 0;
}
