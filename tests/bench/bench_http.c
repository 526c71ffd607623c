/*
 * Load generator: HTTP/1.1 keep-alive POSTs from N clients on one thread, each with one request under way,
 * every answer checked.
 *
 *	bench_http HOST PORT REQUEST-FILE EXPECTED CLIENTS WARM-UP-SECONDS SECONDS
 *
 * REQUEST-FILE holds the request as it goes out, head and body.  In it and in EXPECTED each "@@@@@@@@" stands for
 * the number of the call (8 digits); an answer is right when its status is 200 and EXPECTED is in it.  Answers of
 * the warm-up are checked and not counted.  One JSON object on stdout: calls, errors, seconds, rate, p50_us,
 * p99_us, max_us, cpu_us (of this program, per call), stages (means of Server-Timing in us), wrong (the
 * beginning of a wrong answer).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CLIENTS_MAX = 256,
	REQUEST_MAX = 65536,
	ANSWER_MAX = 65536,
	STAGES_MAX = 8,
	WRONG_MAX = 300
};
#define NUMBER     "@@@@@@@@"
#define NUMBER_LEN (sizeof(NUMBER) - 1)
#define FIRST_CALL 10000000u
#define STALL_MS   10000

struct client {
	int fd;
	uint64_t begun_us;
	char expected[256];
	size_t len;
	char answer[ANSWER_MAX + 1];
};

struct stage {
	char name[32];
	double sum_ms;
};

static struct {
	const char *host, *expected;
	uint16_t port;
	char request[REQUEST_MAX];
	size_t request_len;
	uint32_t number; /* of the next call */
	uint64_t count_from_us, until_us;
	uint32_t *took_us;
	size_t calls, room, errors;
	struct stage stages[STAGES_MAX];
	size_t stage_count;
	char wrong[WRONG_MAX + 1];
} bench;

static struct client clients[CLIENTS_MAX];

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void die(const char *what)
{
	(void)fprintf(stderr, "bench_http: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- one call ------------------------------------------------------------------------------- */

static void put_number(char *text, size_t len, uint32_t number)
{
	char digits[NUMBER_LEN + 3];
	char *at = text;

	(void)snprintf(digits, sizeof(digits), "%08u", number);
	while ((at = memmem(at, len - (size_t)(at - text), NUMBER, NUMBER_LEN)))
		memcpy(at, digits, NUMBER_LEN);
}

static void client_connect(struct client *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(bench.port) };
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || inet_pton(AF_INET, bench.host, &to.sin_addr) != 1 ||
	    connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("cannot connect");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void client_ask(struct client *c)
{
	char request[REQUEST_MAX];

	memcpy(request, bench.request, bench.request_len);
	put_number(request, bench.request_len, bench.number);
	(void)snprintf(c->expected, sizeof(c->expected), "%s", bench.expected);
	put_number(c->expected, strlen(c->expected), bench.number);
	bench.number++;
	c->len = 0;
	c->begun_us = now_us();
	if (send(c->fd, request, bench.request_len, MSG_NOSIGNAL) != (ssize_t)bench.request_len)
		die("cannot send");
}

/* ---- its answer ----------------------------------------------------------------------------- */

/* The whole answer is here: its head tells the length, or the last chunk has come. */
static bool is_whole(const struct client *c)
{
	const char *head_end = strstr(c->answer, "\r\n\r\n");
	const char *length = strcasestr(c->answer, "\r\nContent-Length:");

	if (!head_end)
		return false;
	if (length && length < head_end)
		return c->len >= (size_t)(head_end + 4 - c->answer) +
					 strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	return c->len >= 5 && memcmp(c->answer + c->len - 5, "0\r\n\r\n", 5) == 0;
}

static struct stage *stage_of(const char *name, size_t len)
{
	for (size_t i = 0; i < bench.stage_count; i++) {
		if (strlen(bench.stages[i].name) == len &&
		    memcmp(bench.stages[i].name, name, len) == 0)
			return &bench.stages[i];
	}
	if (bench.stage_count == STAGES_MAX || len >= sizeof(bench.stages[0].name))
		return NULL;
	memcpy(bench.stages[bench.stage_count].name, name, len);
	return &bench.stages[bench.stage_count++];
}

/* Server-Timing: a;dur=0.1, b;dur=2.5 */
static void note_stages(const char *answer)
{
	const char *at = strcasestr(answer, "\r\nServer-Timing:");

	at = at ? at + strlen("\r\nServer-Timing:") : "\r";
	while (*at != '\r' && *at) {
		size_t len;
		struct stage *s;

		at += strspn(at, " ,");
		len = strcspn(at, ";,\r");
		s = stage_of(at, len);
		at += len;
		if (strncmp(at, ";dur=", 5) != 0)
			break;
		if (s)
			s->sum_ms += strtod(at + 5, NULL);
		at += strcspn(at, ",\r");
	}
}

static void note(const struct client *c)
{
	uint64_t now = now_us();
	bool is_right =
		strncmp(c->answer, "HTTP/1.1 200 ", 13) == 0 && strstr(c->answer, c->expected);

	if (!is_right) {
		bench.errors++;
		(void)snprintf(bench.wrong, sizeof(bench.wrong), "%s", c->answer);
	}
	if (!is_right || c->begun_us < bench.count_from_us || now > bench.until_us)
		return;
	if (bench.calls == bench.room) {
		bench.room = bench.room ? bench.room * 2 : 65536;
		bench.took_us = realloc(bench.took_us, bench.room * sizeof(*bench.took_us));
		if (!bench.took_us)
			die("no memory");
	}
	bench.took_us[bench.calls++] = (uint32_t)(now - c->begun_us);
	note_stages(c->answer);
}

/* True when the answer is complete. */
static bool client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->answer + c->len, ANSWER_MAX - c->len, 0);

	if (n <= 0) {
		errno = n == 0 ? ECONNRESET : errno;
		die("the connection broke or the answer is too long");
	}
	c->len += (size_t)n;
	c->answer[c->len] = '\0';
	return is_whole(c);
}

/* ---- the run -------------------------------------------------------------------------------- */

static void run(size_t count)
{
	int poll = epoll_create1(EPOLL_CLOEXEC);
	size_t left = count;

	for (size_t i = 0; i < count; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &clients[i] };

		client_connect(&clients[i]);
		if (epoll_ctl(poll, EPOLL_CTL_ADD, clients[i].fd, &e) < 0)
			die("epoll");
		client_ask(&clients[i]);
	}
	while (left > 0) {
		struct epoll_event events[CLIENTS_MAX];
		int n = epoll_wait(poll, events, CLIENTS_MAX, STALL_MS);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("no answer");
		}
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (!client_read(c))
				continue;
			note(c);
			if (now_us() < bench.until_us)
				client_ask(c);
			else
				left--;
		}
	}
	(void)close(poll);
}

static int by_value(const void *a, const void *b)
{
	return (*(const uint32_t *)a > *(const uint32_t *)b) -
	       (*(const uint32_t *)a < *(const uint32_t *)b);
}

static void print_text(const char *text)
{
	(void)putchar('"');
	for (; *text; text++) {
		if ((unsigned char)*text < ' ')
			(void)putchar(' ');
		else
			(void)printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	}
	(void)putchar('"');
}

static void print(double seconds)
{
	struct rusage usage;
	size_t n = bench.calls;
	double cpu_us;

	(void)getrusage(RUSAGE_SELF, &usage);
	cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
		 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	qsort(bench.took_us, n, sizeof(*bench.took_us), by_value);
	(void)printf("{\"calls\":%zu,\"errors\":%zu,\"seconds\":%.3f,\"rate\":%.1f,\"p50_us\":%u,"
		     "\"p99_us\":%u,\"max_us\":%u,\"cpu_us\":%.1f,\"stages\":{",
		     n, bench.errors, seconds, (double)n / seconds, n ? bench.took_us[n / 2] : 0,
		     n ? bench.took_us[n * 99 / 100] : 0, n ? bench.took_us[n - 1] : 0,
		     cpu_us / (double)(bench.number - FIRST_CALL));
	for (size_t i = 0; i < bench.stage_count && n; i++)
		(void)printf("%s\"%s\":%.1f", i ? "," : "", bench.stages[i].name,
			     bench.stages[i].sum_ms * 1000 / (double)n);
	(void)printf("},\"wrong\":");
	print_text(bench.wrong);
	(void)printf("}\n");
}

static void read_request(const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f)
		die(path);
	bench.request_len = fread(bench.request, 1, sizeof(bench.request), f);
	(void)fclose(f);
}

int main(int argc, char **argv)
{
	double warm_up, seconds;
	size_t count;

	if (argc != 8) {
		(void)fprintf(stderr, "usage: bench_http HOST PORT REQUEST-FILE EXPECTED CLIENTS "
				      "WARM-UP-SECONDS SECONDS\n");
		return 2;
	}
	bench.host = argv[1];
	bench.port = (uint16_t)atoi(argv[2]);
	read_request(argv[3]);
	bench.expected = argv[4];
	count = (size_t)atoi(argv[5]);
	warm_up = atof(argv[6]);
	seconds = atof(argv[7]);
	if (count < 1 || count > CLIENTS_MAX)
		return 2;
	bench.number = FIRST_CALL;
	bench.count_from_us = now_us() + (uint64_t)(warm_up * 1e6);
	bench.until_us = bench.count_from_us + (uint64_t)(seconds * 1e6);
	run(count);
	print(seconds);
	return bench.errors ? 1 : 0;
}
