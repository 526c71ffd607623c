/*
 * An executor for tests of the gateway: does what the arguments of a call say.
 *
 *	gateway_executor KEY_FILE REGISTRY_ADDRESS NAME CAPACITY
 *
 * {"do":"echo"} (or nothing): the arguments as result.  "value": the member `value`.  "error": a tool error.
 * "events": progress 1, 2 and a log message, then the result.  "hold": until it is cancelled.  "slow": answers
 * Running at once and Done after 300 ms.  "exit": the process dies.  "exit_once": it dies and
 * leaves the file that the member `file` names; where that is there already: echo.  "busy_once": likewise BUSY.
 * "excess": over its memory limit, and two refusals.
 * A spec is asked for at its first use.  Facts on standard output: {"ready":true}, {"execute":ID},
 * {"cancel":REASON}.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bus.h"
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"
#include "parse.h"

struct fake {
	struct bus *bus;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t cancelled;
	uint8_t known[64][CRYPTO_HASH_SIZE];
	size_t known_count;
	char cancelled_id[64];
	bool is_holding;
};

static void say(const char *key, const char *value)
{
	(void)printf("{\"%s\":\"%s\"}\n", key, value);
	(void)fflush(stdout);
}

/* ---- what a call does ---- */

static void finish(struct bus_request *rq, PB(Done) done, PB(Done__Outcome) outcome,
		   const char *text, const char *structured)
{
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	struct buf content = BUF_INIT(1u << 20);

	buf_add_str(&content, "[{\"type\":\"text\",\"text\":");
	json_add_string(&content, text, strlen(text));
	buf_add_str(&content, "}]");
	done.outcome = outcome;
	done.content_json = pb_bytes(content.data, content.len);
	done.structured_json = pb_text(structured);
	done.stdout = pb_text("printed\n");
	done.duration_ms = 5;
	if (outcome != MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK)
		done.error_text = pb_text(text);
	reply.done = &done;
	bus_answer(rq, &reply.base);
	buf_done(&content);
}

static void answer_done(struct bus_request *rq, PB(Done__Outcome) outcome, const char *text,
			const char *structured)
{
	finish(rq, (PB(Done))MCPBOX__V1__DONE__INIT, outcome, text, structured);
}

static void do_excess(struct bus_request *rq)
{
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	PB(Excess) excess = MCPBOX__V1__EXCESS__INIT;
	PB(Refusal) refused[] = { MCPBOX__V1__REFUSAL__INIT, MCPBOX__V1__REFUSAL__INIT };
	PB(Refusal) * list[] = { &refused[0], &refused[1] };
	static char limit[] = "memory_mb", import[] = "import", host[] = "host", os[] = "os",
		    name[] = "a.example:443";

	excess.limit = limit;
	excess.allowed = 64;
	excess.used = 61;
	refused[0].kind = import;
	refused[0].name = os;
	refused[0].line = 3;
	refused[0].count = 2;
	refused[1].kind = host;
	refused[1].name = name;
	refused[1].count = 1;
	done.excess = &excess;
	done.refused = list;
	done.n_refused = ARRAY_LEN(list);
	finish(rq, done, MCPBOX__V1__DONE__OUTCOME__OUTCOME_MEMORY, "memory limit 64 MiB exceeded",
	       NULL);
}

static void answer_running(struct bus_request *rq, uint32_t seq, PB(Event) * *events, size_t count)
{
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	PB(Running) running = MCPBOX__V1__RUNNING__INIT;

	running.seq = seq;
	running.events = events;
	running.n_events = count;
	reply.running = &running;
	bus_answer(rq, &reply.base);
}

static void do_events(struct bus_request *rq)
{
	PB(Event) a = MCPBOX__V1__EVENT__INIT, b = MCPBOX__V1__EVENT__INIT;
	PB(Event) * events[] = { &a, &b };

	a.seq = 1;
	a.progress_json = pb_text("{\"progress\":1,\"total\":2,\"message\":\"half\"}");
	b.seq = 2;
	b.log_json = pb_text("{\"level\":\"info\",\"data\":\"hello\"}");
	answer_running(rq, 2, events, 2);
}

static void do_hold(struct bus_request *rq, const char *call_id)
{
	struct fake *f = rq->service;

	(void)pthread_mutex_lock(&f->lock);
	f->is_holding = true;
	while (strcmp(f->cancelled_id, call_id) != 0)
		(void)pthread_cond_wait(&f->cancelled, &f->lock);
	(void)pthread_mutex_unlock(&f->lock);
	answer_done(rq, MCPBOX__V1__DONE__OUTCOME__OUTCOME_CANCELLED, "cancelled", NULL);
}

static bool knows(struct fake *f, const PB(Permit) * p, const PB(ExecuteRequest) * in)
{
	bool known = false;

	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->known_count; i++)
		known |= memcmp(f->known[i], p->spec_hash.data, CRYPTO_HASH_SIZE) == 0;
	if (!known && in->n_blobs > 0 && f->known_count < ARRAY_LEN(f->known)) {
		crypto_hash(in->blobs[0]->data.data, in->blobs[0]->data.len,
			    f->known[f->known_count++]);
		known = memcmp(f->known[f->known_count - 1], p->spec_hash.data, CRYPTO_HASH_SIZE) ==
			0;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return known;
}

static void answer_need(struct bus_request *rq, const PB(Permit) * p)
{
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	ProtobufCBinaryData need[] = { p->spec_hash };

	reply.need = need;
	reply.n_need = 1;
	bus_answer(rq, &reply.base);
}

/* The first to see the file missing makes it and fails. */
static int act_once(struct bus_request *rq, const char *what, const char *path, const char *text,
		    struct err *err)
{
	FILE *f = path ? fopen(path, "wx") : NULL;

	if (!f) {
		answer_done(rq, MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK, text, text);
		return 0;
	}
	(void)fclose(f);
	if (strcmp(what, "busy_once") == 0)
		return err_set(err, ERR_BUSY, "full");
	_exit(3);
}

static int act(struct bus_request *rq, const PB(ExecuteRequest) * in, const json_t *arguments,
	       struct err *err)
{
	const char *what = json_string_value(json_object_get(arguments, "do"));
	BOX_CLEANUP(mem_freep) char *value = NULL;
	BOX_CLEANUP(mem_freep)
	char *text = mem_strndup((const char *)in->arguments_json.data, in->arguments_json.len);
	size_t len;

	if (!what || strcmp(what, "echo") == 0) {
		answer_done(rq, MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK, text, text);
	} else if (strcmp(what, "value") == 0) {
		value = json_dump(json_object_get(arguments, "value"), &len);
		answer_done(rq, MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK, value, value);
	} else if (strcmp(what, "error") == 0) {
		answer_done(rq, MCPBOX__V1__DONE__OUTCOME__OUTCOME_TOOL_ERROR,
			    "ValueError: bad city", NULL);
	} else if (strcmp(what, "events") == 0) {
		do_events(rq);
	} else if (strcmp(what, "slow") == 0) {
		answer_running(rq, 0, NULL, 0);
	} else if (strcmp(what, "hold") == 0) {
		do_hold(rq, in->call_id);
	} else if (strcmp(what, "excess") == 0) {
		do_excess(rq);
	} else if (strcmp(what, "exit") == 0) {
		_exit(3);
	} else {
		return act_once(rq, what, json_string_value(json_object_get(arguments, "file")),
				text, err);
	}
	return 0;
}

static int execute(struct bus_request *rq, struct err *err)
{
	const PB(ExecuteRequest) *in = (const PB(ExecuteRequest) *)rq->in;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *permit = NULL;
	BOX_CLEANUP(json_decrefp) json_t *arguments = NULL;

	if (msg_unpack(&mcpbox__v1__permit__descriptor, in->permit->permit.data,
		       in->permit->permit.len, &permit) < 0 ||
	    json_load(in->arguments_json.data, in->arguments_json.len, &arguments, err) < 0)
		return err_set(err, ERR_INVALID, "bad call");
	if (!knows(rq->service, (const PB(Permit) *)permit, in)) {
		answer_need(rq, (const PB(Permit) *)permit);
		return 0;
	}
	say("execute", in->call_id);
	return act(rq, in, arguments, err);
}

static int wait_more(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	const PB(WaitRequest) *in = (const PB(WaitRequest) *)rq->in;
	PB(Event) e = MCPBOX__V1__EVENT__INIT;
	PB(Event) * events[] = { &e };

	if (in->after_seq == 2) {
		e.seq = 3;
		e.progress_json = pb_text("{\"progress\":2,\"total\":2}");
		clock_sleep_ms(20); /* progress that follows closely is dropped */
		answer_running(rq, 3, events, 1);
		return 0;
	}
	if (in->after_seq == 0)
		clock_sleep_ms(300);
	answer_done(rq, MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK, "done", NULL);
	return 0;
}

static int cancel(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	struct fake *f = rq->service;
	const PB(CancelRequest) *in = (const PB(CancelRequest) *)rq->in;
	PB(CancelReply) reply = MCPBOX__V1__CANCEL_REPLY__INIT;

	(void)pthread_mutex_lock(&f->lock);
	reply.known = f->is_holding;
	(void)snprintf(f->cancelled_id, sizeof(f->cancelled_id), "%s", in->call_id);
	(void)pthread_cond_broadcast(&f->cancelled);
	(void)pthread_mutex_unlock(&f->lock);
	if (reply.known)
		say("cancel", in->reason);
	bus_answer(rq, &reply.base);
	return 0;
}

static int ping(struct bus_request *rq, struct err *err BOX_UNUSED)
{
	PB(PingReply) reply = MCPBOX__V1__PING_REPLY__INIT;

	reply.line_port = bus_line_port(((struct fake *)rq->service)->bus);
	bus_answer(rq, &reply.base);
	return 0;
}

static const struct bus_route work[] = {
	{ MSG_EXECUTE, FROM(ROLE_GATEWAY), 0, execute },
	{ MSG_WAIT, FROM(ROLE_GATEWAY), 0, wait_more },
};
static const struct bus_route control[] = {
	{ MSG_CANCEL, FROM(ROLE_GATEWAY), 0, cancel },
	{ MSG_PING, FROM(ROLE_GATEWAY), 0, ping },
};

static uint32_t capacity;

static void fill(void *arg BOX_UNUSED, PB(Instance) * instance)
{
	instance->capacity = capacity;
}

static int start(struct fake *f, char **argv, struct err *err)
{
	struct bus_config config = { .instance = argv[3], .registry_addrs = argv[2], .slots = 4 };
	struct bus_server server = {
		.listen = "tcp://127.0.0.1:0", .capacity = 16, .service = f, .has_lines = true
	};
	const struct bus_news news = { 0 };
	struct keys *keys = NULL;
	char addr[64];
	int r = keys_load(argv[1], &keys, err);

	if (r < 0)
		return r;
	config.keys = keys;
	r = bus_new(&config, &f->bus, err);
	server.routes = work;
	server.route_count = ARRAY_LEN(work);
	if (r == 0)
		r = bus_serve_start(f->bus, &server, addr, sizeof(addr), err);
	server.routes = control;
	server.route_count = ARRAY_LEN(control);
	server.is_control = true;
	if (r == 0)
		r = bus_serve_start(f->bus, &server, addr, sizeof(addr), err);
	if (r == 0)
		r = bus_news_start(f->bus, &news, err);
	return r == 0 ? bus_lease_start(f->bus, fill, NULL, err) : r;
}

int main(int argc, char **argv)
{
	static struct fake fake = { .lock = PTHREAD_MUTEX_INITIALIZER,
				    .cancelled = PTHREAD_COND_INITIALIZER };
	struct err err = { 0 };
	uint64_t n = 0;
	char c;

	if (argc != 5 || crypto_start() < 0 || parse_u64(argv[4], 1, 64, &n) < 0)
		return 2;
	capacity = (uint32_t)n;
	json_start();
	if (start(&fake, argv, &err) < 0) {
		(void)fprintf(stderr, "gateway_executor: %s\n", err.text);
		return 1;
	}
	(void)printf("{\"ready\":true}\n");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	_exit(0);
}
