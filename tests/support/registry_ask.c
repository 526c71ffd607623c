/*
 * Asks a real registry on behalf of tests: JSON lines in, JSON lines out.  Every role's bus is made from
 * the root key when it is first needed.
 *
 *	registry_ask <root key hex> <registry address>
 *	{"as":"gateway","kind":"LOCAL","msg":"CREATE_SERVER","body":{"name":"news"}}
 *	{"ok":true,"reply":{...}}   or   {"ok":false,"code":"exists","text":"...","field":"","hint":""}
 *	{"do":"executor"}           joins as an executor that inspects code by looking for "def main"; what it is to
 *	                            execute, for a gateway too, it answers with purpose and audience of the permit and the arguments,
 *	                            or, when they are {"hang":true}, never
 *	{"do":"leave"}              the executor leaves
 *	{"do":"status"}             the Status inside what GetStatus answers
 *	{"do":"news"}               begins to collect audit events; {"do":"heard"} lists what came
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "buf.h"
#include "bus.h"
#include "crypto.h"
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "parse.h"

static struct secret *root;
static const char *addr;
static struct bus *buses[ROLE_COUNT];
static struct buf heard = BUF_INIT(4 * 1024 * 1024);
static pthread_mutex_t heard_lock = PTHREAD_MUTEX_INITIALIZER;

static struct keys *keys_of(enum bus_role role)
{
	char path[] = "/tmp/registry_ask.XXXXXX";
	int fd = mkstemp(path);
	struct err err = { 0 };
	struct keys *keys = NULL;

	if (fd < 0 || keys_write_role(root, role, 1, fd, &err) < 0 ||
	    keys_load(path, &keys, &err) < 0) {
		fprintf(stderr, "keys: %s\n", err.text);
		exit(2);
	}
	close(fd);
	unlink(path);
	return keys;
}

static struct bus *bus_of(enum bus_role role)
{
	struct bus_config config = { .registry_addrs = addr, .slots = 8 };
	struct err err = { 0 };

	if (buses[role])
		return buses[role];
	config.keys = keys_of(role);
	config.instance = mem_printf("%s-00000001", role_name(role));
	if (bus_new(&config, &buses[role], &err) < 0) {
		fprintf(stderr, "bus: %s\n", err.text);
		exit(2);
	}
	return buses[role];
}

/* ---- a fake executor ------------------------------------------------------------------------------ */

static char control_addr[64], work_addr[64];

/* An empty field has no address. */
static bool holds(ProtobufCBinaryData field, const char *text)
{
	return field.len && memmem(field.data, field.len, text, strlen(text)) != NULL;
}

/* Inspections of a source with "# hold" in it wait until {"do":"release"}. */
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t held_changed = PTHREAD_COND_INITIALIZER;
static unsigned held;
static bool is_released;

/* {"do":"held","count":n}: waits until that many are held. */
static void wait_held(unsigned count)
{
	(void)pthread_mutex_lock(&held_lock);
	while (held < count)
		(void)pthread_cond_wait(&held_changed, &held_lock);
	(void)pthread_mutex_unlock(&held_lock);
}

static void release(void)
{
	(void)pthread_mutex_lock(&held_lock);
	is_released = true;
	(void)pthread_cond_broadcast(&held_changed);
	(void)pthread_mutex_unlock(&held_lock);
}

static int inspect(struct bus_request *rq, struct err *err)
{
	const PB(InspectRequest) *in = (const PB(InspectRequest) *)rq->in;
	PB(InspectReply) reply = MCPBOX__V1__INSPECT_REPLY__INIT;
	bool broken = holds(in->python_code, "def (");
	ProtobufCBinaryData odd = pb_text("p: the type Odd is not known");

	(void)err;
	if (holds(in->python_code, "# hold")) {
		(void)pthread_mutex_lock(&held_lock);
		held++;
		(void)pthread_cond_broadcast(&held_changed);
		while (!is_released)
			(void)pthread_cond_wait(&held_changed, &held_lock);
		(void)pthread_mutex_unlock(&held_lock);
	}
	reply.valid = !broken;
	reply.has_main = !broken && holds(in->python_code, "def main(");
	if (broken) {
		reply.error = pb_text("invalid syntax");
		reply.error_line = 1;
	}
	if (reply.has_main) {
		reply.input_schema_json = pb_text("{\"type\":\"object\",\"properties\":{}}");
		reply.description = pb_text("What it does.");
	}
	if (holds(in->python_code, "p: Odd")) {
		reply.warnings = &odd;
		reply.n_warnings = 1;
	}
	if (holds(in->input_schema_json, "faulty"))
		reply.input_schema_error = pb_text("faulty in");
	if (holds(in->output_schema_json, "faulty"))
		reply.output_schema_error = pb_text("faulty out");
	bus_answer(rq, &reply.base);
	return 0;
}

/* {"purpose":6,"audience":[3,4],"arguments":{...}} */
static void describe(const PB(ExecuteRequest) * in, struct buf *b)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	const PB(Permit) * permit;

	if (msg_unpack(&mcpbox__v1__permit__descriptor, in->permit->permit.data,
		       in->permit->permit.len, &m) < 0)
		exit(2);
	permit = (const PB(Permit) *)m;
	buf_printf(b, "{\"purpose\":%d,\"audience\":[", permit->purpose);
	for (size_t i = 0; i < permit->n_audience; i++)
		buf_printf(b, "%s%d", i ? "," : "", permit->audience[i]);
	buf_add_str(b, "],\"arguments\":");
	buf_add(b, in->arguments_json.data, in->arguments_json.len);
	buf_add_char(b, '}');
}

static int execute(struct bus_request *rq, struct err *err)
{
	const PB(ExecuteRequest) *in = (const PB(ExecuteRequest) *)rq->in;
	PB(ExecuteReply) reply = MCPBOX__V1__EXECUTE_REPLY__INIT;
	PB(Done) done = MCPBOX__V1__DONE__INIT;
	struct buf value = BUF_INIT(1024 * 1024);

	(void)err;
	if (holds(in->arguments_json, "hang"))
		pause();
	describe(in, &value);
	done.outcome = MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK;
	done.structured_json = pb_bytes(value.data, value.len);
	done.content_json = pb_text("[{\"type\":\"text\",\"text\":\"done\"}]");
	done.stdout = pb_text("printed");
	done.duration_ms = 7;
	reply.done = &done;
	bus_answer(rq, &reply.base);
	buf_done(&value);
	return 0;
}

static int ping(struct bus_request *rq, struct err *err)
{
	PB(PingReply) reply = MCPBOX__V1__PING_REPLY__INIT;

	(void)err;
	reply.capacity = 4;
	bus_answer(rq, &reply.base);
	return 0;
}

static void fill_lease(void *arg, PB(Instance) * i)
{
	(void)arg;
	i->control_addr = control_addr;
	i->work_addr = work_addr;
	i->capacity = 4;
	i->layers_json = pb_text("{}");
}

static int start_executor(struct err *err)
{
	static const struct bus_route routes[] = {
		{ MSG_INSPECT, FROM(ROLE_REGISTRY), 0, inspect },
		{ MSG_EXECUTE, FROM(ROLE_REGISTRY) | FROM(ROLE_GATEWAY), 0, execute },
		{ MSG_PING, FROM(ROLE_GATEWAY), 0, ping },
	};
	struct bus *b = bus_of(ROLE_EXECUTOR);
	struct bus_server work = {
		.listen = "tcp://127.0.0.1:0", .capacity = 4, .routes = routes, .route_count = 3
	};
	struct bus_server control = { .listen = "tcp://127.0.0.1:0",
				      .is_control = true,
				      .capacity = 1,
				      .routes = routes,
				      .route_count = 3 };
	int r = bus_serve_start(b, &work, work_addr, sizeof(work_addr), err);

	if (r == 0)
		r = bus_serve_start(b, &control, control_addr, sizeof(control_addr), err);
	return r == 0 ? bus_lease_start(b, fill_lease, NULL, err) : r;
}

/* ---- news ----------------------------------------------------------------------------------------- */

static void on_audit(void *arg, const PB(AuditEvent) * event)
{
	(void)arg;
	pthread_mutex_lock(&heard_lock);
	if (heard.len)
		buf_add_char(&heard, ',');
	msg_to_json(&event->base, 0, &heard);
	pthread_mutex_unlock(&heard_lock);
}

static void print_heard(void)
{
	pthread_mutex_lock(&heard_lock);
	printf("{\"ok\":true,\"reply\":[%s]}\n", buf_str(&heard));
	pthread_mutex_unlock(&heard_lock);
}

/* ---- commands ------------------------------------------------------------------------------------- */

static const char *text_of(json_t *line, const char *key, const char *fallback)
{
	const char *s = json_string_value(json_object_get(line, key));

	return s ? s : fallback;
}

static void print_error(const struct err *err)
{
	json_t *e =
		json_pack("{s:b, s:s, s:s, s:s, s:s, s:s}", "ok", 0, "code",
			  err_row(err->code)->name, "text", err->text, "field", err->field, "hint",
			  err->hint, "current", err->current_json ? err->current_json : "");
	char *text = json_dumps(e, JSON_COMPACT);

	printf("%s\n", text);
	free(text);
	json_decref(e);
}

static const struct msg_row *row_of(const char *name)
{
	for (unsigned n = 1; n < 256; n++)
		if (msg_row((uint16_t)n) && strcmp(msg_row((uint16_t)n)->name, name) == 0)
			return msg_row((uint16_t)n);
	fprintf(stderr, "no message %s\n", name);
	exit(2);
}

static PB(Principal__Kind) kind_of(const char *name)
{
	char full[64];
	const ProtobufCEnumValue *v;

	snprintf(full, sizeof(full), "KIND_%s", name);
	v = protobuf_c_enum_descriptor_get_value_by_name(&mcpbox__v1__principal__kind__descriptor,
							 full);
	return v ? (PB(Principal__Kind))v->value : MCPBOX__V1__PRINCIPAL__KIND__KIND_UNSPECIFIED;
}

static int ask(json_t *line, ProtobufCMessage **ret, struct err *err)
{
	const struct msg_row *row = row_of(text_of(line, "msg", ""));
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	uint8_t request_id[REQUEST_ID_SIZE];
	struct bus_call_opts opts = { .timeout_ms = 8000, .principal = &principal };
	const char *id = text_of(line, "request_id", NULL);
	size_t len = 0;
	BOX_CLEANUP(mem_freep) char *body = json_dump(json_object_get(line, "body"), &len);
	ProtobufCMessage *in = NULL;
	int r = json_to_msg(row->request, body, len, NULL, &in, err);

	if (r < 0)
		return r;
	principal.kind = kind_of(text_of(line, "kind", "SYSTEM"));
	principal.id = (char *)(uintptr_t)text_of(line, "id", "");
	principal.remote = (char *)(uintptr_t)text_of(line, "remote", "");
	principal.secret = pb_text(text_of(line, "secret", ""));
	if (id && parse_hex(id, request_id, sizeof(request_id)) == 0)
		opts.request_id = request_id;
	r = bus_ask_registry(bus_of(role_from_name(text_of(line, "as", "gateway"))), row->number,
			     in, &opts, ret, err);
	msg_free(in);
	return r;
}

static int ask_status(ProtobufCMessage **ret, struct err *err)
{
	static const PB(GetStatusRequest) request = MCPBOX__V1__GET_STATUS_REQUEST__INIT;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	const PB(SignedStatus) * envelope;
	int r = bus_ask_registry(bus_of(ROLE_OPS), MSG_GET_STATUS, &request.base, NULL, &reply,
				 err);

	if (r < 0)
		return r;
	envelope = (const PB(SignedStatus) *)reply;
	return msg_unpack(&mcpbox__v1__status__descriptor, envelope->status.data,
			  envelope->status.len, ret);
}

static int run(json_t *line, struct err *err)
{
	static const struct bus_news news = { .on_audit = on_audit };
	const char *what = text_of(line, "do", "");
	struct buf out = BUF_INIT(16 * 1024 * 1024);
	ProtobufCMessage *reply = NULL;
	int r = 0;

	if (strcmp(what, "heard") == 0) {
		print_heard();
		return 0;
	}
	if (strcmp(what, "executor") == 0)
		r = start_executor(err);
	else if (strcmp(what, "news") == 0)
		r = bus_news_start(bus_of(ROLE_OPS), &news, err);
	else if (strcmp(what, "status") == 0)
		r = ask_status(&reply, err);
	else if (strcmp(what, "held") == 0)
		wait_held((unsigned)json_integer_value(json_object_get(line, "count")));
	else if (strcmp(what, "release") == 0)
		release();
	else if (strcmp(what, "leave") == 0)
		bus_stop(bus_of(ROLE_EXECUTOR));
	else
		r = ask(line, &reply, err);
	if (r == 0 && reply)
		msg_to_json(reply, 0, &out);
	if (r == 0)
		printf("{\"ok\":true,\"reply\":%s}\n", out.len ? buf_str(&out) : "{}");
	buf_done(&out);
	if (reply)
		msg_free(reply);
	return r;
}

int main(int argc, char **argv)
{
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	json_start();
	if (argc != 3 || crypto_start() < 0)
		return 2;
	root = secret_new(NULL, CRYPTO_KEY_SIZE);
	if (parse_hex(argv[1], root->data, CRYPTO_KEY_SIZE) < 0)
		return 2;
	addr = argv[2];
	(void)!setvbuf(stdout, NULL, _IOLBF, 0);
	while ((len = getline(&text, &room, stdin)) > 0) {
		struct err err = { 0 };
		json_t *line = NULL;

		if (json_load(text, (size_t)len, &line, &err) < 0 || run(line, &err) < 0)
			print_error(&err);
		err_done(&err);
		json_decref(line);
		fflush(stdout);
	}
	free(text);
	_exit(0); /* sockets of the bus stay open by design */
}
