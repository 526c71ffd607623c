#include "pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"
#include "layers.h"
#include "log.h"
#include "mem.h"
#include "wire_io.h"

#define WORKER_CONTROL_FD 3
#define READY_MS          10000u
#define SILENT_MS         2000u /* a zygote that starts nothing for so long is stuck */
#define BACKOFF_FIRST_MS  50u
#define BACKOFF_MAX_MS    5000u
#define WAKE_MS           250
#define COUNT_MS          10 /* between counts of threads: a bomb starts some 200 meanwhile */

enum { WORKER_PLAIN, WORKER_HTTP, WORKER_COUNT };

struct pool_worker {
	bool with_http;
	pid_t pid;   /* 0: none */
	int control; /* -1: none */
	bool is_ready;
	struct wire_ready ready;
	struct wire_failed failed;
	uint64_t started_ms;
	uint64_t retry_at_ms;
	uint32_t backoff_ms;
};

struct pool {
	struct pool_config config;
	pthread_t manager;
	int wake_fd;
	pthread_mutex_t lock;   /* guards all below */
	pthread_cond_t changed; /* a worker became ready or failed */
	struct pool_worker workers[WORKER_COUNT];
	struct sandbox *sandboxes;
	uint64_t last_number;
	bool is_stopping;
};

static void signal_fd(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one)); /* full means that it is readable already */
}

/* ---- starting and losing a worker (manager thread, lock held) ---- */

/* Threads of this uid in one process, from its status file; 0 when it is another's or gone. */
static uint32_t count_process_tasks(const char *pid)
{
	char path[64], line[256];
	unsigned uid = ~0u, threads = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "Uid: %u", &uid);
		(void)sscanf(line, "Threads: %u", &threads);
	}
	if (f)
		(void)fclose(f);
	return uid == geteuid() ? threads : 0;
}

/*
 * Where user namespaces are missing the kernel counts threads for the whole uid: a limit on them must leave room
 * for those that are there already.
 */
static uint32_t count_uid_tasks(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	uint32_t tasks = 0;

	while (dir && (entry = readdir(dir)))
		tasks += entry->d_name[0] >= '1' && entry->d_name[0] <= '9'
				 ? count_process_tasks(entry->d_name)
				 : 0;
	if (dir)
		(void)closedir(dir);
	return tasks;
}

static bool shares_thread_count(const struct pool_worker *w)
{
	return !(w->ready.layers & LAYER_USERNS);
}

static int send_config(const struct pool *p, const struct pool_worker *w)
{
	BOX_CLEANUP(mem_freep) struct wire_message *m = mem_alloc(sizeof(*m));
	struct wire_config *c = &m->u.config;

	m->kind = WIRE_CONFIG;
	c->with_http = w->with_http;
	c->capacity = p->config.capacity;
	c->uid_tasks = count_uid_tasks();
	c->without = p->config.without;
	(void)snprintf(c->runtime_dir, sizeof(c->runtime_dir), "%s", p->config.runtime_dir);
	(void)snprintf(c->module_dirs, sizeof(c->module_dirs), "%s", p->config.module_dirs);
	return wire_send(w->control, m, NULL, 0);
}

/* posix_spawn changes neither; its type is older than const. */
static char *const *mutable_list(const char *const *list)
{
	return (char *const *)(uintptr_t)list;
}

/*
 * posix_spawn, because nng forbids fork() without an immediate exec.  Nothing is inherited but the
 * standard streams and the control socket; the environment is built, not passed on.
 */
static int spawn(const char *path, int control, pid_t *ret)
{
	static const char *const environment[] = {
		"LANG=C.UTF-8", "HOME=/scratch", "TMPDIR=/scratch", "PATH=/usr/bin:/bin", "TZ=UTC",
		"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
		/* native libraries must not start threads in the zygote */
		"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", NULL
	};
	static const char *const argv[] = { "mcpbox-worker", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, control, WORKER_CONTROL_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, WORKER_CONTROL_FD + 1);
	if (r == 0)
		r = posix_spawn(ret, path, &actions, &attr, mutable_list(argv),
				mutable_list(environment));
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return -r;
}

static int start_worker(struct pool *p, struct pool_worker *w)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	if (ends[1] == WORKER_CONTROL_FD) { /* dup2 onto itself would keep close-on-exec */
		int other = fcntl(ends[1], F_DUPFD_CLOEXEC, WORKER_CONTROL_FD + 1);

		close(ends[1]);
		ends[1] = other;
	}
	r = spawn(p->config.worker_path, ends[1], &w->pid);
	close(ends[1]);
	if (r < 0) {
		w->pid = 0;
		close(ends[0]);
		return r;
	}
	w->control = ends[0];
	w->is_ready = false;
	w->started_ms = clock_mono_ms();
	r = send_config(p, w);
	return r == -EPIPE ? 0 : r; /* gone already: its end of the socket says so */
}

static void lose_sandboxes(struct pool *p, const struct pool_worker *w)
{
	for (struct sandbox *s = p->sandboxes; s; s = s->next) {
		if (s->worker == w && s->ended.how == 0) {
			s->is_lost = true;
			signal_fd(s->events_fd);
		}
	}
}

/* Kills what is left of it (its namespace goes along), reaps it, plans the next. */
static void lose_worker(struct pool *p, struct pool_worker *w)
{
	int status = 0;

	if (w->pid > 0) {
		(void)kill(w->pid, SIGKILL);
		(void)waitpid(w->pid, &status, 0);
	}
	if (w->control >= 0)
		close(w->control);
	if (w->is_ready && !p->is_stopping)
		log_warn("executor.worker_lost", F_BOOL("with_http", w->with_http),
			 F_INT("status", status));
	w->backoff_ms = w->is_ready ? BACKOFF_FIRST_MS : w->backoff_ms * 2;
	if (w->backoff_ms < BACKOFF_FIRST_MS)
		w->backoff_ms = BACKOFF_FIRST_MS;
	if (w->backoff_ms > BACKOFF_MAX_MS)
		w->backoff_ms = BACKOFF_MAX_MS;
	w->retry_at_ms = clock_mono_ms() + w->backoff_ms;
	w->pid = 0;
	w->control = -1;
	w->is_ready = false;
	lose_sandboxes(p, w);
}

/* ---- what workers report (manager thread, lock held) ---- */

static struct sandbox *find_sandbox(struct pool *p, const struct pool_worker *w, uint64_t number)
{
	struct sandbox *s = p->sandboxes;

	while (s && !(s->worker == w && s->number == number))
		s = s->next;
	return s;
}

static void kill_process(const struct sandbox *s)
{
	(void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

/* The process behind a pidfd, as seen from here; 0 when it is gone. */
static pid_t pid_of(int pidfd)
{
	char path[64], line[128];
	pid_t pid = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "Pid: %d", &pid);
	if (f)
		(void)fclose(f);
	return pid > 0 ? pid : 0;
}

/* Takes pidfd. */
static void on_started(struct pool *p, struct pool_worker *w, const struct wire_started *started,
		       int pidfd)
{
	struct sandbox *s = find_sandbox(p, w, started->number);

	if (!s) { /* released meanwhile: nobody waits for it */
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
		close(pidfd);
		return;
	}
	s->pidfd = pidfd;
	s->pid = shares_thread_count(w) ? pid_of(pidfd) : 0;
	s->was_started = true;
	if (s->was_killed)
		kill_process(s);
	signal_fd(s->events_fd);
}

static void on_ended(struct pool *p, struct pool_worker *w, const struct wire_ended *ended)
{
	struct sandbox *s = find_sandbox(p, w, ended->number);

	if (!s || ended->how < WIRE_EXITED || ended->how > WIRE_NOT_STARTED)
		return;
	s->ended = *ended;
	signal_fd(s->events_fd);
}

static void on_ready(struct pool *p, struct pool_worker *w, const struct wire_ready *ready)
{
	w->ready = *ready;
	w->is_ready = true;
	log_info("executor.worker_ready", F_BOOL("with_http", w->with_http),
		 F_UINT("ms", clock_mono_ms() - w->started_ms), F_UINT("layers", ready->layers),
		 F_UINT("landlock", ready->landlock_abi), F_UINT("base_kb", ready->base_kb));
	(void)pthread_cond_broadcast(&p->changed);
}

static void on_failed(struct pool *p, struct pool_worker *w, const struct wire_failed *failed)
{
	w->failed = *failed;
	log_error("executor.worker_failed", F_STR("step", failed->step),
		  F_INT("errno", failed->error_number));
	(void)pthread_cond_broadcast(&p->changed);
}

/* Returns a negative number when the worker is of no more use. */
static int read_report(struct pool *p, struct pool_worker *w, struct wire_message *m)
{
	int fds[WIRE_FDS_MAX];
	size_t count;
	int r = wire_receive(w->control, m, fds, &count);

	if (r < 0)
		return r;
	switch (m->kind) {
	case WIRE_STARTED:
		if (count == 1) {
			on_started(p, w, &m->u.started, fds[0]);
			count = 0; /* taken */
		}
		break;
	case WIRE_ENDED:
		on_ended(p, w, &m->u.ended);
		break;
	case WIRE_READY:
		on_ready(p, w, &m->u.ready);
		break;
	case WIRE_FAILED:
		on_failed(p, w, &m->u.failed);
		break;
	default:
		r = -EPROTO;
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return r;
}

/* Without user namespaces the kernel's thread limit is one for all calls: one tool could use it up.
 * So each is counted, and killed when it goes over its own. */
static void count_threads(struct pool *p)
{
	for (struct sandbox *s = p->sandboxes; s; s = s->next) {
		char pid[16];

		if (s->pid == 0 || s->was_killed || s->ended.how != 0)
			continue;
		(void)snprintf(pid, sizeof(pid), "%d", s->pid);
		s->threads_seen = count_process_tasks(pid);
		if (s->threads_seen > s->threads_max) {
			s->was_killed = true;
			/* The reason before the death, or its reader may find only a closed pipe. */
			signal_fd(s->events_fd);
			kill_process(s);
		}
	}
}

/* ---- manager thread ---- */

static bool is_stuck(const struct pool *p, const struct pool_worker *w, uint64_t now)
{
	if (w->pid > 0 && !w->is_ready)
		return now - w->started_ms > READY_MS;
	for (const struct sandbox *s = p->sandboxes; s; s = s->next) {
		if (s->worker == w && !s->was_started && s->ended.how == 0 && !s->is_lost &&
		    now - s->submitted_ms > SILENT_MS)
			return true;
	}
	return false;
}

static void tend_worker(struct pool *p, struct pool_worker *w, bool is_readable,
			struct wire_message *m)
{
	uint64_t now = clock_mono_ms();

	if (w->pid == 0) {
		if (now >= w->retry_at_ms && start_worker(p, w) < 0)
			lose_worker(p, w);
		return;
	}
	if (is_readable && read_report(p, w, m) < 0) {
		lose_worker(p, w);
		return;
	}
	if (is_stuck(p, w, now)) {
		log_error("executor.worker_stuck", F_BOOL("with_http", w->with_http));
		lose_worker(p, w);
	}
}

static void *manage(void *arg)
{
	struct pool *p = arg;
	BOX_CLEANUP(mem_freep) struct wire_message *m = mem_alloc(sizeof(*m));
	struct pollfd polls[WORKER_COUNT + 1] = { 0 };
	int wait_ms;

	(void)pthread_mutex_lock(&p->lock);
	while (!p->is_stopping) {
		for (size_t i = 0; i < WORKER_COUNT; i++) {
			bool is_readable = polls[i].revents != 0;

			tend_worker(p, &p->workers[i],
				    is_readable && polls[i].fd == p->workers[i].control, m);
			polls[i] = (struct pollfd){ .fd = p->workers[i].control, .events = POLLIN };
		}
		count_threads(p);
		polls[WORKER_COUNT] = (struct pollfd){ .fd = p->wake_fd, .events = POLLIN };
		wait_ms = p->sandboxes && shares_thread_count(&p->workers[WORKER_PLAIN]) ? COUNT_MS
											 : WAKE_MS;
		(void)pthread_mutex_unlock(&p->lock);
		(void)poll(polls, WORKER_COUNT + 1, wait_ms);
		(void)pthread_mutex_lock(&p->lock);
	}
	for (size_t i = 0; i < WORKER_COUNT; i++)
		lose_worker(p, &p->workers[i]);
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- outside ---- */

static bool all_ready(const struct pool *p)
{
	for (size_t i = 0; i < WORKER_COUNT; i++) {
		if (!p->workers[i].is_ready)
			return false;
	}
	return true;
}

static const struct wire_failed *any_failed(const struct pool *p)
{
	for (size_t i = 0; i < WORKER_COUNT; i++) {
		if (p->workers[i].failed.step[0])
			return &p->workers[i].failed;
	}
	return NULL;
}

static int wait_until_ready(struct pool *p, struct err *err)
{
	const struct wire_failed *failed = NULL;
	struct timespec until;
	int r = 0;

	clock_abs_after(READY_MS, &until);
	(void)pthread_mutex_lock(&p->lock);
	while (r == 0 && !all_ready(p) && !(failed = any_failed(p)))
		r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	if (failed)
		r = err_set(err, ERR_UNAVAILABLE,
			    "the sandbox cannot be built: %s failed (errno %u)", failed->step,
			    failed->error_number);
	else if (r != 0)
		r = err_set(err, ERR_UNAVAILABLE, "the sandbox worker was not ready in time");
	else
		r = layers_check(&p->workers[WORKER_PLAIN].ready, p->config.floor, err);
	(void)pthread_mutex_unlock(&p->lock);
	return r;
}

static void init_lock(struct pool *p)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int pool_start(const struct pool_config *config, struct pool **ret, struct err *err)
{
	struct pool *p = mem_alloc(sizeof(*p));
	int r;

	p->config = *config;
	init_lock(p);
	for (size_t i = 0; i < WORKER_COUNT; i++) {
		p->workers[i].control = -1;
		p->workers[i].with_http = i == WORKER_HTTP;
	}
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0 || pthread_create(&p->manager, NULL, manage, p) != 0) {
		free(p);
		return err_set(err, ERR_UNAVAILABLE, "no thread for the sandbox workers");
	}
	r = wait_until_ready(p, err);
	if (r < 0)
		pool_stop(p);
	else
		*ret = p;
	return r;
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	(void)pthread_mutex_unlock(&p->lock);
	signal_fd(p->wake_fd);
	(void)pthread_join(p->manager, NULL);
	close(p->wake_fd);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

void pool_add_layers_json(struct pool *p, struct buf *ret)
{
	(void)pthread_mutex_lock(&p->lock);
	layers_add_json(&p->workers[WORKER_PLAIN].ready, ret);
	(void)pthread_mutex_unlock(&p->lock);
}

/* The kind that the job wants, or the other while that one is being replaced. */
static struct pool_worker *choose(struct pool *p, bool wants_http)
{
	struct pool_worker *first = &p->workers[wants_http ? WORKER_HTTP : WORKER_PLAIN];
	struct pool_worker *second = &p->workers[wants_http ? WORKER_PLAIN : WORKER_HTTP];

	return first->is_ready ? first : second->is_ready ? second : NULL;
}

static int send_job(struct pool *p, struct sandbox *s, const struct job *job, const int *fds)
{
	BOX_CLEANUP(mem_freep) struct wire_message *m = mem_alloc(sizeof(*m));

	m->kind = WIRE_JOB;
	m->u.job = job_wire(job, s->number);
	s->submitted_ms = clock_mono_ms();
	s->threads_max = job->limits.threads;
	s->next = p->sandboxes;
	p->sandboxes = s;
	return wire_send(s->worker->control, m, fds, JOB_FD_COUNT);
}

static void unlink_sandbox(struct pool *p, const struct sandbox *s)
{
	for (struct sandbox **at = &p->sandboxes; *at; at = &(*at)->next) {
		if (*at == s) {
			*at = s->next;
			return;
		}
	}
}

int pool_submit(struct pool *p, struct sandbox *s, const struct job *job, const int *fds,
		struct err *err)
{
	int r = -EAGAIN;

	(void)pthread_mutex_lock(&p->lock);
	s->number = ++p->last_number;
	s->pidfd = -1;
	s->worker = p->is_stopping ? NULL : choose(p, job_wants_http(job));
	if (s->worker)
		r = send_job(p, s, job, fds);
	if (r < 0)
		unlink_sandbox(p, s);
	(void)pthread_mutex_unlock(&p->lock);
	if (r < 0)
		return err_set(err, ERR_UNAVAILABLE, "no sandbox is ready; the tool did not run");
	return 0;
}

void pool_kill(struct pool *p, struct sandbox *s)
{
	(void)pthread_mutex_lock(&p->lock);
	s->was_killed = true;
	if (s->pidfd >= 0 && s->ended.how == 0)
		kill_process(s);
	(void)pthread_mutex_unlock(&p->lock);
}

struct sandbox pool_look(struct pool *p, const struct sandbox *s)
{
	struct sandbox copy;

	(void)pthread_mutex_lock(&p->lock);
	copy = *s;
	(void)pthread_mutex_unlock(&p->lock);
	return copy;
}

void pool_release(struct pool *p, struct sandbox *s)
{
	(void)pthread_mutex_lock(&p->lock);
	unlink_sandbox(p, s);
	if (s->pidfd >= 0) {
		if (s->ended.how == 0)
			kill_process(s);
		close(s->pidfd);
		s->pidfd = -1;
	}
	(void)pthread_mutex_unlock(&p->lock);
}
