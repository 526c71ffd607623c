/* Who may open a stream, and what it is bound to. */
#include <string.h>
#include "bus.h"
#include "clock.h"
#include "log.h"
#include "permit.h"
#include "stream.h"

#define PURPOSE(name) (1u << MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_##name)

/* What a role may open streams for. */
static const struct opener {
	enum bus_role role;
	uint32_t purposes;
} openers[] = {
	{ ROLE_EXECUTOR, PURPOSE(LIVE) | PURPOSE(TEST) | PURPOSE(REVIEW) },
};

static uint32_t purposes_of(enum bus_role role)
{
	for (size_t i = 0; i < ARRAY_LEN(openers); i++)
		if (openers[i].role == role)
			return openers[i].purposes;
	return 0;
}

static int check_mode(const PB(OpenRequest) * open, struct err *err)
{
	if (open->mode == MCPBOX__V1__OPEN_REQUEST__MODE__MODE_FORWARD)
		return 0;
	return err_set_field(err, ERR_UNSUPPORTED, "mode", "use the forward mode",
			     "this egress-proxy opens no tunnels");
}

static int check_grant(struct stream *s, struct call *c, struct err *err)
{
	int r = grant_get(s->listener->grants, &c->open->grant, &c->permit->grant_hash, &c->grant,
			  err);

	if (r < 0)
		return r;
	if (strcmp(c->grant->message->server_id, c->permit->server_id) != 0)
		return err_set(err, ERR_DENIED, "the grant is another server's");
	if (listener_streams_of_call(s->listener, c->open->call_id) >= grant_max_streams(c->grant))
		return err_set(err, ERR_BUSY, "the call has %u connections open already",
			       grant_max_streams(c->grant));
	return 0;
}

static uint64_t deadline_of(const PB(OpenRequest) * open, uint64_t frame_deadline)
{
	uint64_t own = clock_mono_ms() + open->deadline_ms;

	return open->deadline_ms ? own : frame_deadline;
}

/* The handler's message is freed behind its back; a stream keeps its own.  NULL when it lacks what
 * it needs. */
static PB(OpenRequest) * copy_open(const struct bus_request *rq)
{
	ProtobufCMessage *m = NULL;
	PB(OpenRequest) * open;

	if (msg_unpack(&mcpbox__v1__open_request__descriptor, rq->in_bytes, rq->in_len, &m) < 0)
		return NULL;
	open = (PB(OpenRequest) *)m;
	if (open->permit && open->call_id[0])
		return open;
	msg_free(m);
	return NULL;
}

static int bind_call(struct stream *s, const struct bus_request *rq, struct call *c,
		     struct err *err)
{
	struct exchange_env *env = s->listener->env;
	int r;

	c->open = copy_open(rq);
	if (!c->open)
		return err_set(err, ERR_INVALID, "an Open names its call and brings a permit");
	c->deadline_mono_ms = deadline_of(c->open, rq->deadline_mono_ms);
	r = check_mode(c->open, err);
	if (r == 0)
		r = permit_check(env->bus, c->open->permit, purposes_of(rq->from),
				 env->stale_max_ms, &c->permit, err);
	return r == 0 ? check_grant(s, c, err) : r;
}

static int handle_open(struct bus_request *rq, struct err *err)
{
	static const PB(OpenReply) reply = MCPBOX__V1__OPEN_REPLY__INIT;
	struct stream *s = rq->service;
	struct call c = { 0 };
	int r = bind_call(s, rq, &c, err);

	if (r < 0) {
		log_warn("egress.open_refused", F_STR("call", c.open ? c.open->call_id : ""),
			 F_INT("peer_pid", s->peer_pid), F_ERR(err));
		call_done(&c);
		return r;
	}
	call_join_tally(&c, &s->listener->tallies);
	s->call = c;
	bus_answer(rq, &reply.base);
	return 0;
}

static const struct bus_route routes[] = {
	/* message   callers              right  handler */
	{ MSG_OPEN, FROM(ROLE_EXECUTOR), 0, handle_open },
};

int handlers_answer(struct stream *s, const void *frame, size_t len, struct buf *ret_reply)
{
	const struct bus_server server = { .routes = routes,
					   .route_count = ARRAY_LEN(routes),
					   .service = s };

	return bus_answer_frame(s->listener->env->bus, &server, frame, len, "unix", ret_reply);
}
