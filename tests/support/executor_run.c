/*
 * Runs tools in real sandboxes without a bus: the executor's pool, runs and verdicts in one process.
 *
 *	executor_run WORKER RUNTIME_DIR [--capacity N] [--without BITS] [--egress SOCKET]
 *	             [--cgroup DIRS] [--floor LAYERS] [--tools-mb N] [--generation-ms N] [--generation-calls N]
 *
 * One JSON object a line on stdin, one on stdout when it is done (in any order), "READY" and the layers first:
 *	in   {"id","code","arguments","modules":[...],"input_schema","output_schema","timeout_ms","memory_mb",...,
 *	      "warm","server","tool","cancel_after_ms"}
 *	out  {"id","outcome","content","structured","stdout","error","detail","ms","cpu_us","memory_kb",
 *	      "pid","wait_us","run_us","events":[...]}
 * What differs in anything but the arguments is another tool version; "server" and "tool" are names that
 * tell equal code apart.  "warm": its processes serve many calls.
 * {"id","inspect":true,"code"} gives {"id","inspection"}.  --egress: a stream is a plain connection to that
 * AF_UNIX socket.  Ends with its standard input.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "clock.h"
#include "crypto.h"
#include "json.h"
#include "json_proto.h"
#include "layers.h"
#include "log.h"
#include "mem.h"
#include "parse.h"
#include "run.h"

static struct pool *pool;
static const char *egress_socket;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t none_left = PTHREAD_COND_INITIALIZER;
static unsigned running;

struct order {
	json_t *tree;
	struct run run;
	struct job job;
	char *code, *arguments, *input_schema, *output_schema;
	char *modules[128];
	struct buf events;
	bool is_over;
};

static void say(struct buf *line)
{
	buf_add_char(line, '\n');
	(void)pthread_mutex_lock(&out_lock);
	(void)fwrite(line->data, 1, line->len, stdout);
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&out_lock);
}

static void add_text(struct buf *line, const char *key, const struct buf *text)
{
	buf_printf(line, ",\"%s\":", key);
	json_add_string(line, text->data, text->len);
}

static void add_json(struct buf *line, const char *key, const struct buf *text)
{
	buf_printf(line, ",\"%s\":", key);
	if (text->len > 0)
		buf_add(line, text->data, text->len);
	else
		buf_add_str(line, "null");
}

static enum event_fate on_event(void *arg, const struct hostcall *call)
{
	struct order *o = arg;

	buf_add_str(&o->events, o->events.len ? "," : "");
	buf_add(&o->events, call->event.at, call->event.len);
	return o->events.is_over ? EVENT_TOO_MANY : EVENT_KEPT;
}

static int open_stream(void *arg, uint32_t remaining_ms, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	(void)arg;
	(void)remaining_ms;
	if (!egress_socket)
		return err_set(err, ERR_UNAVAILABLE, "no egress-proxy here");
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", egress_socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the egress-proxy does not answer");
	return fd;
}

static const struct run_hooks hooks_template = { .on_event = on_event, .open_stream = open_stream };

static uint32_t number(const json_t *tree, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(tree, key));
}

static char *dump(const json_t *tree, const char *key, struct bytes *ret)
{
	char *text = json_dump(json_object_get(tree, key), &ret->len);

	ret->data = text;
	if (!text)
		ret->len = 0;
	return text;
}

static void add_name(const struct order *o, const char *key, struct buf *b)
{
	const char *name = json_string_value(json_object_get(o->tree, key));

	json_add_string(b, name ? name : "", name ? strlen(name) : 0);
}

/* The hash of all that makes a tool version. */
static void name_tool(struct order *o)
{
	BOX_CLEANUP(buf_done) struct buf b = BUF_INIT(2 * WIRE_PAYLOAD_MAX);
	struct err err = { 0 };

	add_name(o, "server", &b);
	add_name(o, "tool", &b);
	buf_add(&b, &o->job.limits, sizeof(o->job.limits));
	if (job_add_payload(&o->job, &b, &err) < 0)
		buf_add_str(&b, err.text); /* which pool_take says, too */
	crypto_hash(b.data, b.len, o->job.key);
}

static void read_job(struct order *o)
{
	const json_t *name, *tree = o->tree;
	size_t i;

	o->job = (struct job){ .is_inspection = json_is_true(json_object_get(tree, "inspect")),
			       .modules = o->modules };
	o->code = mem_strdup(json_string_value(json_object_get(tree, "code")));
	o->job.code = (struct bytes){ o->code, strlen(o->code) };
	o->arguments = dump(tree, "arguments", &o->job.arguments);
	o->input_schema = dump(tree, "input_schema", &o->job.input_schema);
	o->output_schema = dump(tree, "output_schema", &o->job.output_schema);
	json_array_foreach(json_object_get(tree, "modules"), i, name)
	{
		if (i < ARRAY_LEN(o->modules))
			o->modules[o->job.module_count++] =
				(char *)(uintptr_t)json_string_value(name);
	}
	o->job.limits = (struct job_limits){ .timeout_ms = number(tree, "timeout_ms"),
					     .memory_mb = number(tree, "memory_mb"),
					     .cpu_ms = number(tree, "cpu_ms"),
					     .output_kb = number(tree, "output_kb"),
					     .result_kb = number(tree, "result_kb"),
					     .files = number(tree, "files"),
					     .threads = number(tree, "threads"),
					     .scratch_mb = number(tree, "scratch_mb") };
	job_limits_complete(&o->job.limits);
	o->job.is_warm = json_is_true(json_object_get(tree, "warm"));
	if (!o->job.is_inspection)
		name_tool(o);
}

static void begin_line(const struct order *o, struct buf *line)
{
	const char *id = json_string_value(json_object_get(o->tree, "id"));

	buf_add_str(line, "{\"id\":");
	json_add_string(line, id ? id : "", id ? strlen(id) : 0);
}

static void say_result(struct order *o, const struct run_facts *facts, const struct err *err)
{
	BOX_CLEANUP(buf_done) struct buf line = BUF_INIT(64u * 1024 * 1024);
	struct result result = RESULT_INIT;
	const struct run_times *t = &o->run.times;

	if (facts)
		result_judge(facts, &result);
	else
		result_fail(&result,
			    err->code == ERR_DEADLINE ? MCPBOX__V1__DONE__OUTCOME__OUTCOME_TIMEOUT
						      : MCPBOX__V1__DONE__OUTCOME__OUTCOME_INTERNAL,
			    err->text);
	begin_line(o, &line);
	buf_printf(&line, ",\"outcome\":\"%s\"", result_outcome_name(result.outcome));
	add_json(&line, "content", &result.content);
	add_json(&line, "structured", &result.structured);
	add_text(&line, "stdout", &result.output);
	add_text(&line, "error", &result.error_text);
	add_json(&line, "detail", &result.error_detail);
	buf_printf(&line, ",\"ms\":%u,\"cpu_us\":%llu,\"memory_kb\":%llu", o->run.duration_ms,
		   (unsigned long long)o->run.ended.cpu_us,
		   (unsigned long long)o->run.ended.memory_kb);
	buf_printf(&line, ",\"pid\":%d,\"wait_us\":%llu,\"run_us\":%llu,\"events\":[", o->run.pid,
		   (unsigned long long)(t->taken - t->started),
		   (unsigned long long)(t->answered - t->taken));
	buf_add(&line, o->events.data, o->events.len);
	buf_add_str(&line, "]}");
	say(&line);
	result_done(&result);
}

static void say_inspection(struct order *o, const struct run_facts *facts)
{
	BOX_CLEANUP(buf_done) struct buf line = BUF_INIT(8u * 1024 * 1024);
	BOX_CLEANUP(msg_freep) PB(InspectReply) *reply = NULL;
	struct err err = { 0 };

	begin_line(o, &line);
	if (facts && result_judge_inspection(facts, &reply, &err) == 0) {
		buf_add_str(&line, ",\"inspection\":");
		msg_to_json(&reply->base, 0, &line);
	} else {
		buf_add_str(&line, ",\"error\":");
		json_add_string(&line, err.text, strlen(err.text));
	}
	buf_add_char(&line, '}');
	say(&line);
}

static void *cancel_later(void *arg)
{
	struct order *o = arg;

	clock_sleep_ms(number(o->tree, "cancel_after_ms"));
	run_cancel(&o->run, "test");
	return NULL;
}

static void *run_order(void *arg)
{
	struct order *o = arg;
	struct run_hooks hooks = hooks_template;
	struct run_facts facts;
	struct err err = { 0 };
	pthread_t canceller;
	bool has_canceller = number(o->tree, "cancel_after_ms") > 0;
	int r;

	read_job(o);
	hooks.arg = o;
	run_init(&o->run, pool, &o->job, &hooks);
	if (has_canceller)
		has_canceller = pthread_create(&canceller, NULL, cancel_later, o) == 0;
	r = run_do(&o->run, &facts, &err);
	if (o->job.is_inspection)
		say_inspection(o, r > 0 ? &facts : NULL);
	else
		say_result(o, r > 0 ? &facts : NULL, &err);
	if (has_canceller)
		(void)pthread_join(canceller, NULL);
	run_done(&o->run);
	buf_done(&o->events);
	free(o->code);
	free(o->arguments);
	free(o->input_schema);
	free(o->output_schema);
	json_decref(o->tree);
	free(o);
	(void)pthread_mutex_lock(&count_lock);
	running--;
	(void)pthread_cond_broadcast(&none_left);
	(void)pthread_mutex_unlock(&count_lock);
	return NULL;
}

static void take_line(const char *line, size_t len)
{
	struct order *o = mem_alloc(sizeof(*o));
	struct err err = { 0 };
	pthread_t thread;

	o->events = (struct buf)BUF_INIT(1024 * 1024);
	if (json_load(line, len, &o->tree, &err) < 0)
		box_bug("bad line: %s", err.text);
	(void)pthread_mutex_lock(&count_lock);
	running++;
	(void)pthread_mutex_unlock(&count_lock);
	if (pthread_create(&thread, NULL, run_order, o) != 0 || pthread_detach(thread) != 0)
		box_bug("no thread");
}

static void say_ready(void)
{
	BOX_CLEANUP(buf_done) struct buf line = BUF_INIT(1024);

	buf_add_str(&line, "READY ");
	pool_add_layers_json(pool, &line);
	say(&line);
}

static int option(int argc, char **argv, const char *name)
{
	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], name) == 0)
			return i + 1;
	}
	return 0;
}

static uint32_t option_number(int argc, char **argv, const char *name, uint32_t fallback)
{
	int at = option(argc, argv, name);
	uint64_t n = fallback;

	if (at && parse_u64(argv[at], 0, UINT32_MAX, &n) < 0)
		box_bug("bad %s", name);
	return (uint32_t)n;
}

int main(int argc, char **argv)
{
	struct pool_config config = { .module_dirs = "" };
	struct err err = { 0 };
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	if (argc < 3 || crypto_start() < 0)
		return 2;
	json_start();
	log_open("executor_run", "test", LOG_INFO);
	config.worker_path = argv[1];
	config.runtime_dir = argv[2];
	config.capacity = option_number(argc, argv, "--capacity", 8);
	if (option(argc, argv, "--module-dirs"))
		config.module_dirs = argv[option(argc, argv, "--module-dirs")];
	config.cgroup_dirs =
		option(argc, argv, "--cgroup") ? argv[option(argc, argv, "--cgroup")] : "";
	config.without = option_number(argc, argv, "--without", 0);
	config.tools_mb = option_number(argc, argv, "--tools-mb", 0);
	config.generation_ms = option_number(argc, argv, "--generation-ms", 0);
	config.generation_calls = option_number(argc, argv, "--generation-calls", 0);
	egress_socket =
		option(argc, argv, "--egress") ? argv[option(argc, argv, "--egress")] : NULL;
	if (layers_parse(option(argc, argv, "--floor") ? argv[option(argc, argv, "--floor")] : "",
			 &config.floor, &err) < 0 ||
	    pool_start(&config, &pool, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	say_ready();
	while ((len = getline(&line, &room, stdin)) > 0)
		take_line(line, (size_t)len);
	free(line);
	(void)pthread_mutex_lock(&count_lock);
	while (running > 0)
		(void)pthread_cond_wait(&none_left, &count_lock);
	(void)pthread_mutex_unlock(&count_lock);
	pool_stop(pool);
	return 0;
}
