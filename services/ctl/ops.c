#include <stdio.h>
#include <unistd.h>
#include "crypto.h"
#include "log.h"
#include "mem.h"
#include "ops.h"

#define SLOTS      4
#define TIMEOUT_MS 15000 /* verifying a long chain takes its time */

struct ops {
	struct keys *keys;
	struct bus_tls *tls;
	struct bus *bus;
};

/* What the libraries log is for services; a person gets the error that comes back. */
static void quiet_log(void)
{
	log_open("ctl", "ctl", LOG_ERROR);
}

static int open_keys(const struct ctl *ctl, struct keys **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = place_path(&ctl->place, "keys/ops.key");

	if (access(path, R_OK) < 0)
		return err_set_field(
			err, ERR_DENIED, NULL,
			"run it as the instance's owner, or name the instance with --data",
			"%s cannot be read", path);
	return keys_load(path, ret, err);
}

static int open_bus(struct ops *ops, const struct ctl *ctl, const struct bus_news *news,
		    struct err *err)
{
	const struct bus_config config = {
		.keys = ops->keys,
		.instance = "ctl",
		.registry_addrs = ctl->place.registry_addr,
		.slots = SLOTS,
		.tls = ops->tls,
	};
	int r = bus_new(&config, &ops->bus, err);

	return r == 0 && news ? bus_news_start(ops->bus, news, err) : r;
}

int ops_open(const struct ctl *ctl, const struct bus_news *news, struct ops **ret, struct err *err)
{
	static struct ops
		only; /* one bus per process; it keeps its sockets until the end (bus.h) */
	struct ops *ops = &only;
	int r = crypto_start();

	quiet_log();
	if (r == 0)
		r = open_keys(ctl, &ops->keys, err);
	if (r == 0)
		r = bus_tls_load(ctl->place.bus_tls_cert, ctl->place.bus_tls_ca, &ops->tls, err);
	if (r == 0)
		r = open_bus(ops, ctl, news, err);
	if (r < 0) {
		ops_close(ops);
		return r;
	}
	*ret = ops;
	return 0;
}

void ops_close(struct ops *ops)
{
	if (ops->bus)
		bus_stop(ops->bus);
}

int ops_ask(struct ops *ops, uint16_t msg, const ProtobufCMessage *request, ProtobufCMessage **ret,
	    struct err *err)
{
	PB(Principal) owner = MCPBOX__V1__PRINCIPAL__INIT;
	const struct bus_call_opts opts = {
		.timeout_ms = TIMEOUT_MS,
		.repeatable = true,
		.principal = &owner,
	};
	int r;

	owner.kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_OWNER;
	r = bus_ask_registry(ops->bus, msg, request, &opts, ret, err);
	if (r == -ERR_UNAVAILABLE && !err->hint[0])
		(void)snprintf(err->hint, sizeof(err->hint), "is it running?  ./mcpbox up");
	return r;
}

int ops_status(struct ops *ops, PB(Status) * *ret, struct err *err)
{
	PB(GetStatusRequest) rq = MCPBOX__V1__GET_STATUS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	const PB(SignedStatus) * signed_status;
	ProtobufCMessage *status = NULL;
	int r = ops_ask(ops, MSG_GET_STATUS, &rq.base, &reply, err);

	if (r < 0)
		return r;
	/* The reply was sealed by the registry for us; its signature is for those who hear it as
	 * news. */
	signed_status = (const PB(SignedStatus) *)reply;
	if (msg_unpack(&mcpbox__v1__status__descriptor, signed_status->status.data,
		       signed_status->status.len, &status) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the registry's status cannot be read");
	*ret = (PB(Status) *)status;
	return 0;
}
