/* The control socket: who lives.  Answered from memory, whatever the database does. */
#include <string.h>
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "nouns.h"
#include "status.h"

/* An instance speaks for itself alone. */
static int check_self(const struct bus_request *rq, const PB(Instance) * i, struct err *err)
{
	if (!i || (enum bus_role)i->role != rq->from || i->boot_id.len != BOOT_ID_SIZE ||
	    memcmp(i->boot_id.data, rq->from_boot, BOOT_ID_SIZE) != 0)
		return err_set(err, ERR_DENIED, "an instance renews its own lease only");
	return 0;
}

static PB(Instance) * heap_copy(const PB(Instance) * i)
{
	size_t len;
	BOX_CLEANUP(mem_freep) uint8_t *packed = msg_pack(&i->base, &len);
	ProtobufCMessage *copy = NULL;

	if (msg_unpack(&mcpbox__v1__instance__descriptor, packed, len, &copy) < 0)
		box_bug("an instance does not survive packing");
	return (PB(Instance) *)copy;
}

static void answer_status(struct work *w)
{
	work_answer(w, &status_signed(w->reg->status, &w->arena)->base);
}

int lease_handle_renew(struct work *w, const void *message, struct err *err)
{
	const PB(RenewLeaseRequest) *in = message;
	int r = check_self(w->rq, in->instance, err);

	if (r != 0)
		return r;
	switch (lease_renew(w->reg->leases, in->instance, clock_mono_ms(), w->now_unix_ms)) {
	case LEASE_FULL:
		return err_set(err, ERR_BUSY, "too many instances");
	case LEASE_JOINED:
		log_info("instance.joined", F_STR("instance", in->instance->instance));
		status_instance(w->reg->status, heap_copy(in->instance), "instance.joined",
				"announced itself");
		break;
	case LEASE_CHANGED:
		status_tell(w->reg->status);
		break;
	case LEASE_KNOWN:
		break;
	}
	answer_status(w);
	return 0;
}

int lease_handle_status(struct work *w, const void *message, struct err *err)
{
	(void)message;
	(void)err;
	answer_status(w);
	return 0;
}

int lease_handle_leave(struct work *w, const void *message, struct err *err)
{
	const PB(LeaveRequest) *in = message;
	PB(Empty) reply = MCPBOX__V1__EMPTY__INIT;
	PB(Instance) * gone;

	if (in->boot_id.len != BOOT_ID_SIZE ||
	    memcmp(in->boot_id.data, w->rq->from_boot, BOOT_ID_SIZE) != 0)
		return err_set(err, ERR_DENIED, "an instance says good-bye for itself only");
	gone = lease_leave(w->reg->leases, in->boot_id.data);
	if (gone) {
		log_info("instance.left", F_STR("instance", gone->instance));
		status_instance(w->reg->status, gone, "instance.left", "said good-bye");
	}
	work_answer(w, &reply.base);
	return 0;
}
