#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "test.h"
#include "buf.h"
#include "cleanup.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "service.h"

struct settings {
	char *log_level;
	uint32_t port;
};

static const struct cfg_row rows[] = {
	CFG(struct settings, "TEST_PORT", CFG_UINT, port, "8000", 1, 65535, 0, "a port"),
	CFG_LOG_LEVEL(struct settings, log_level),
};

static int judge(const void *settings, struct err *err)
{
	const struct settings *s = settings;

	return s->port == 13 ? err_set(err, ERR_INVALID, "TEST_PORT: not this one") : 0;
}

static const struct service_info info = {
	.name = "test", .rows = rows, .row_count = ARRAY_LEN(rows), .judge = judge
};

/* ---- a service in a child, its stdout and stderr in one file ---- */

struct child {
	pid_t pid;
	int ready; /* our end of NOTIFY_FD */
	char output[32];
};

static int serve(char *option, bool fails)
{
	static char name[] = "mcpbox-test";
	char *argv[] = { name, option, NULL };
	struct settings cfg = { 0 };
	struct service s = { 0 };
	int r = service_init(&s, &info, option ? 2 : 1, argv, &cfg);

	if (r == 0 && fails)
		service_fail(&s);
	if (r == 0)
		r = service_run(&s);
	cfg_free(rows, ARRAY_LEN(rows), &cfg);
	return service_exit_code(r);
}

static void run_child(const struct child *c, int notify, char *option, bool fails)
{
	int file = open(c->output, O_RDWR);
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", notify);
	(void)setenv("NOTIFY_FD", number, 1);
	(void)dup2(file, STDOUT_FILENO);
	(void)dup2(file, STDERR_FILENO);
	exit(serve(option, fails));
}

static struct child start_child(char *option, bool fails)
{
	struct child c = { .output = "/tmp/box_service_XXXXXX" };
	int ends[2];

	(void)fflush(NULL);
	close(mkstemp(c.output));
	assert_int_equal(pipe(ends), 0);
	c.pid = fork();
	if (c.pid == 0) {
		close(ends[0]);
		run_child(&c, ends[1], option, fails);
	}
	close(ends[1]);
	c.ready = ends[0];
	return c;
}

/* Exit status; ret_text: what was printed, heap. */
static int end_child(struct child *c, char **ret_text)
{
	BOX_CLEANUP(fd_closep) int file = open(c->output, O_RDONLY);
	int status = 0;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFEXITED(status));
	*ret_text = mem_alloc(16384);
	assert_true(read(file, *ret_text, 16383) >= 0);
	close(c->ready);
	(void)unlink(c->output);
	return WEXITSTATUS(status);
}

static void is_ready_then_ends_when_told(void **state)
{
	struct child c = start_child(NULL, false);
	BOX_CLEANUP(mem_freep) char *text = NULL;
	char ready[16] = "";

	(void)state;
	assert_int_equal(read(c.ready, ready, sizeof(ready) - 1), 8);
	assert_string_equal(ready, "READY=1\n");
	assert_int_equal(read(c.ready, ready, sizeof(ready)), 0);
	kill(c.pid, SIGTERM);
	assert_int_equal(end_child(&c, &text), 0);
	assert_non_null(strstr(text, "\"event\":\"process.started\""));
	assert_non_null(strstr(text, "\"event\":\"process.stopping\",\"signal\":\"TERM\""));
	assert_non_null(strstr(text, "\"instance\":\"test-"));
}

static void ends_with_an_error_when_a_part_failed(void **state)
{
	struct child c = start_child(NULL, true);
	BOX_CLEANUP(mem_freep) char *text = NULL;

	(void)state;
	assert_int_equal(end_child(&c, &text), EXIT_FAILURE);
}

static void answers_options_and_ends(void **state)
{
	static const struct {
		const char *option, *answer;
		int status;
	} cases[] = {
		{ "--version", "mcpbox-test " BOX_VERSION "\n", 0 },
		{ "--help", "usage: mcpbox-test ", 0 },
		{ "--print-config", "TEST_PORT\t8000\ta port\n", 0 },
		{ "--print-config-table", "{\"name\":\"TEST_PORT\",\"kind\":\"number\"", 0 },
		{ "--nonsense", "unrecognized option", EXIT_FAILURE },
		{ "nonsense", "unknown argument: nonsense", EXIT_FAILURE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		BOX_CLEANUP(mem_freep) char *option = mem_strdup(cases[i].option);
		BOX_CLEANUP(mem_freep) char *text = NULL;
		struct child c = start_child(option, false);

		assert_int_equal(end_child(&c, &text), cases[i].status);
		if (!strstr(text, cases[i].answer))
			fail_msg("%s: %s", option, text);
	}
}

static void is_refused(const char *name, const char *value, const char *option, const char *told)
{
	BOX_CLEANUP(mem_freep) char *argument = option ? mem_strdup(option) : NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;
	struct child c;

	setenv(name, value, 1);
	c = start_child(argument, false);
	unsetenv(name);
	assert_int_equal(end_child(&c, &text), EXIT_FAILURE);
	assert_non_null(strstr(text, told));
}

/* A start and --print-config judge alike: `up` asks the one before it does the other. */
static void refuses_bad_settings(void **state)
{
	static const char *const bad[][3] = {
		{ "TEST_PORT", "0", "TEST_PORT: bad value" },
		{ "TEST_PORT", "13", "TEST_PORT: not this one" },
		{ "MCPBOX_LOG_LEVEL", "loud", "MCPBOX_LOG_LEVEL: unknown level" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		is_refused(bad[i][0], bad[i][1], NULL, bad[i][2]);
		is_refused(bad[i][0], bad[i][1], "--print-config", bad[i][2]);
	}
}

static int log_and_harden(void)
{
	service_harden();
	log_open("test", "test-1", LOG_INFO);
	log_debug("test.hidden");
	log_info("test.shown", F_STR("text", "a\"b\n\xff"), F_INT("n", -1), F_UINT("u", 1),
		 F_BOOL("b", true), F_STR("none", NULL));
	return 0;
}

static void logs_one_json_object_a_line(void **state)
{
	struct child c = { .output = "/tmp/box_service_XXXXXX", .ready = dup(0) };
	BOX_CLEANUP(mem_freep) char *text = NULL;

	(void)state;
	close(mkstemp(c.output));
	c.pid = fork();
	if (c.pid == 0) {
		(void)dup2(open(c.output, O_WRONLY), STDERR_FILENO);
		_exit(log_and_harden());
	}
	assert_int_equal(end_child(&c, &text), 0);
	assert_null(strstr(text, "test.hidden"));
	assert_int_equal(json_scan(text, strlen(text), NULL), 0);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_non_null(strstr(text, "\"event\":\"test.shown\",\"text\":\"a\\\"b\\n\xef\xbf\xbd\","
				     "\"n\":-1,\"u\":1,\"b\":true,\"none\":null}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_ready_then_ends_when_told),
		cmocka_unit_test(ends_with_an_error_when_a_part_failed),
		cmocka_unit_test(answers_options_and_ends),
		cmocka_unit_test(refuses_bad_settings),
		cmocka_unit_test(logs_one_json_object_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
