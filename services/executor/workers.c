/* The manager thread: starts workers, reads what they report, ends and replaces them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "pool_internal.h"
#include "launch.h"
#include "tasks.h"
#include "wire_io.h"

#define START_MS         10000u
#define BIND_MS          30000u /* imports of large modules on a busy machine */
#define SILENT_MS        2000u  /* a zygote that forks nothing for so long is stuck */
#define GRACE_MS         50u    /* from an answer to the kill: exit handlers hold up nobody */
#define BACKOFF_FIRST_MS 50u
#define BACKOFF_MAX_MS   5000u
#define TEND_MS          50u   /* between looks at everything */
#define WAKE_MS          250u  /* when nothing happens at all */
#define COUNT_MS         10u   /* between counts of threads: a bomb starts some 200 meanwhile */
#define UID_TASKS_MS     1000u /* between counts of all threads of this uid */
#define STARTING_MAX     4u    /* workers that start at the same time */
#define REPORTS          16

/* What a group may take beside its calls' memory limits. */
#define SPARE_PROCESSES 64u
#define PROCESS_EXTRA_MB \
	16u               /* page tables, channels, the interpreter's pages that a call wrote to */
#define GROUP_PERCENT 80u /* of the machine's memory, at most */

void backoff_grow(struct backoff *b, uint64_t now_ms)
{
	b->ms = b->ms ? b->ms * 2 : BACKOFF_FIRST_MS;
	if (b->ms > BACKOFF_MAX_MS)
		b->ms = BACKOFF_MAX_MS;
	b->retry_at_ms = now_ms + b->ms;
}

void worker_set_state(struct worker *w, enum worker_state state)
{
	w->state = state;
	w->state_ms = clock_mono_ms();
}

bool workers_share_thread_count(const struct pool *p)
{
	return !(p->ready.layers & LAYER_USERNS);
}

struct worker *worker_spare(const struct pool *p, int kind)
{
	struct worker *w = p->workers;

	while (w && !(w->state == WORKER_SPARE && w->kind == kind))
		w = w->next;
	return w;
}

/* ---- starting (manager thread) ---- */

static int send_config(const struct pool *p, const struct worker *w)
{
	BOX_CLEANUP(mem_freep) struct wire_message *m = mem_alloc(sizeof(*m));
	struct wire_config *c = &m->u.config;

	m->kind = WIRE_CONFIG;
	c->with_http = w->kind == WORKER_HTTP;
	c->without = p->config.without;
	(void)snprintf(c->runtime_dir, sizeof(c->runtime_dir), "%s", p->config.runtime_dir);
	(void)snprintf(c->module_dirs, sizeof(c->module_dirs), "%s", p->config.module_dirs);
	return wire_send(w->control, m, NULL, 0);
}

static int watch(const struct pool *p, struct worker *w)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = w };

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, w->control, &e) < 0 ? -errno : 0;
}

/* Before it does anything: it waits for its CONFIG.  0, or -errno. */
static int enter_group(const struct pool *p, struct worker *w)
{
	const struct cgroup_limits limits = { .memory_bytes = (uint64_t)p->config.tools_mb << 20,
					      .processes = SPARE_PROCESSES };
	int r = p->cgroups ? cgroup_add(p->cgroups, &limits, &w->group) : 0;

	return r == 0 && w->group ? cgroup_enter(w->group, w->pid) : r;
}

/* One that did not get as far as to be watched. */
static void abandon(struct worker *w)
{
	int status;

	if (w->pid > 0) {
		(void)kill(w->pid, SIGKILL);
		(void)waitpid(w->pid, &status, 0);
	}
	fd_closep(&w->control);
	cgroup_drop(w->group);
}

void worker_limit_group(const struct pool *p, struct worker *w)
{
	const struct wire_tool *of_call = &w->tool->limits;
	uint64_t one_mb = of_call->memory_mb + of_call->scratch_mb + PROCESS_EXTRA_MB;
	uint64_t all_mb = w->bound.base_kb / 1024 + p->config.capacity * one_mb;
	uint64_t most_mb = p->machine_mb * GROUP_PERCENT / 100;
	const struct cgroup_limits limits = {
		.memory_bytes = (most_mb > 0 && all_mb > most_mb ? most_mb : all_mb) << 20,
		.processes = p->config.capacity * of_call->threads + SLOTS_MAX + SPARE_PROCESSES,
	};
	int r = w->group ? cgroup_limit(w->group, &limits) : 0;

	if (r < 0) /* those of a spare stay in force */
		log_warn("executor.group_not_limited", F_INT("errno", -r));
}

/* Was this one of those that the kernel took because the group's memory was used up? */
static bool was_taken_for_memory(struct worker *w, const struct sandbox *s,
				 const struct wire_ended *ended)
{
	if (!w->group || s->was_killed || ended->how != WIRE_SIGNALED || ended->code != SIGKILL ||
	    cgroup_oom_kills(w->group) <= w->oom_kills)
		return false;
	w->oom_kills++;
	return true;
}

/* Lets go of the lock while the program is loaded. */
static void start_worker(struct pool *p, int kind)
{
	struct worker *w = mem_alloc(sizeof(*w));
	const char *step = "the start of the program";
	int r;

	(void)pthread_mutex_unlock(&p->lock);
	w->kind = kind;
	w->control = -1;
	worker_set_state(w, WORKER_STARTING);
	r = launch_worker(p->config.worker_path, &w->pid, &w->control);
	if (r == 0) {
		step = "its control group";
		r = enter_group(p, w);
	}
	if (r == 0)
		(void)send_config(p, w); /* when it fails, the socket says so */
	else
		abandon(w);
	(void)pthread_mutex_lock(&p->lock);
	if (r == 0)
		r = watch(p, w);
	if (w->control < 0) {
		log_error("executor.worker_not_started", F_INT("errno", -r));
		p->kinds[kind].failed = (struct wire_failed){ .error_number = (uint32_t)-r };
		(void)snprintf(p->kinds[kind].failed.step, sizeof(p->kinds[kind].failed.step), "%s",
			       step);
		backoff_grow(&p->kinds[kind].start, clock_mono_ms());
		free(w);
		return;
	}
	w->next = p->workers;
	p->workers = w;
	p->worker_count++;
}

static uint32_t count_workers(const struct pool *p, int kind, enum worker_state state)
{
	uint32_t count = 0;

	for (const struct worker *w = p->workers; w; w = w->next)
		count += w->kind == kind && w->state == state;
	return count;
}

static uint32_t missing(const struct pool *p, int kind, uint64_t now_ms)
{
	const struct kind *k = &p->kinds[kind];
	uint32_t have =
		count_workers(p, kind, WORKER_SPARE) + count_workers(p, kind, WORKER_STARTING);
	uint32_t want = tools_needing(p, kind);

	want += now_ms >= k->replace_at_ms ? k->target : 0;
	return want > have ? want - have : 0;
}

static void start_missing(struct pool *p, uint64_t now_ms)
{
	for (int kind = 0; kind < WORKER_KINDS; kind++) {
		uint32_t starting = count_workers(p, WORKER_PLAIN, WORKER_STARTING) +
				    count_workers(p, WORKER_HTTP, WORKER_STARTING);
		uint32_t count = missing(p, kind, now_ms);

		if (now_ms < p->kinds[kind].start.retry_at_ms)
			continue;
		for (; count > 0 && starting < STARTING_MAX && p->worker_count < WORKERS_MAX;
		     count--) {
			start_worker(p, kind);
			starting++;
		}
	}
}

/* ---- ending (manager thread but for worker_retire, lock held) ---- */

void worker_retire(struct pool *p, struct worker *w)
{
	worker_set_state(w, WORKER_RETIRING);
	pool_wake_manager(p);
}

static void lose_processes(struct pool *p, struct worker *w)
{
	for (size_t i = 0; i < SLOTS_MAX && w->processes > 0; i++) {
		struct sandbox *s = p->slots[i];

		if (!s || s->worker != w)
			continue;
		s->is_lost = true;
		sandbox_end(p, s);
	}
}

/* Ends it, and its processes with it: they go with its namespace, or by their parent-death signal. */
static void end_worker(struct pool *p, struct worker *w)
{
	(void)kill(w->pid, SIGKILL);
	close(w->control);
	w->control = -1;
	lose_processes(p, w);
	w->tool = NULL;
	worker_set_state(w, WORKER_DEAD);
}

static void lose_worker(struct pool *p, struct worker *w, const struct wire_failed *failed)
{
	struct kind *k = &p->kinds[w->kind];

	if (w->state == WORKER_DEAD)
		return;
	if (w->state != WORKER_RETIRING && !p->is_stopping)
		log_warn("executor.worker_lost", F_BOOL("with_http", w->kind == WORKER_HTTP),
			 F_UINT("state", w->state));
	if (w->state == WORKER_STARTING) {
		backoff_grow(&k->start, clock_mono_ms());
		if (failed)
			k->failed = *failed;
		(void)pthread_cond_broadcast(&p->changed);
	}
	tool_on_worker_lost(p, w, failed);
	end_worker(p, w);
}

/* Frees those that are gone.  True: some are not yet. */
static bool reap(struct pool *p)
{
	struct worker **at = &p->workers;
	bool is_waiting = false;

	while (*at) {
		struct worker *w = *at;
		int status;

		if (w->state != WORKER_DEAD || waitpid(w->pid, &status, WNOHANG) == 0) {
			is_waiting |= w->state == WORKER_DEAD;
			at = &w->next;
			continue;
		}
		*at = w->next;
		p->worker_count--;
		cgroup_drop(w->group);
		free(w);
	}
	return is_waiting;
}

/* ---- what workers report (manager thread, lock held) ---- */

static void on_ready(struct pool *p, struct worker *w, const struct wire_ready *ready)
{
	struct kind *k = &p->kinds[w->kind];
	struct tool *t;

	if (w->state != WORKER_STARTING)
		return;
	log_info("executor.worker_ready", F_BOOL("with_http", w->kind == WORKER_HTTP),
		 F_UINT("ms", clock_mono_ms() - w->state_ms), F_UINT("layers", ready->layers),
		 F_UINT("landlock", ready->landlock_abi), F_UINT("base_kb", ready->base_kb));
	w->ready = *ready;
	p->ready = *ready;
	k->was_ready = true;
	k->start = (struct backoff){ 0 };
	worker_set_state(w, WORKER_SPARE);
	t = tools_longest_needing(p, w->kind);
	if (t)
		tool_bind(p, t);
	(void)pthread_cond_broadcast(&p->changed);
}

static void on_failed(struct pool *p, struct worker *w, const struct wire_failed *failed)
{
	log_error("executor.worker_failed", F_STR("step", failed->step),
		  F_INT("errno", failed->error_number));
	lose_worker(p, w, failed);
}

/*
 * Without a pid namespace a worker that tool code has taken over could name any process, for us to
 * kill.  (A number that changed hands meanwhile proves nothing.)
 */
static bool is_child_of(const struct worker *w, pid_t pid, int pidfd)
{
	return pid == 0 || tasks_parent_of(pid) == w->pid || tasks_pid_of(pidfd) != pid;
}

/* Takes pidfd. */
static void on_started(struct pool *p, struct worker *w, uint64_t number, int pidfd)
{
	bool has_own_pids = (p->ready.layers & LAYER_PIDNS) != 0, is_own;
	struct sandbox *s;
	pid_t pid;
	int memory_fd;

	(void)pthread_mutex_unlock(&p->lock);
	pid = tasks_pid_of(pidfd);
	is_own = has_own_pids || is_child_of(w, pid, pidfd);
	memory_fd = is_own ? tasks_open_memory(pid) : -1;
	(void)pthread_mutex_lock(&p->lock);
	if (!is_own) {
		log_error("executor.worker_lied", F_INT("pid", pid));
		close(pidfd);
		(void)kill(w->pid, SIGKILL);
		return;
	}
	w->unanswered -= w->unanswered > 0;
	w->silent_since_ms = clock_mono_ms();
	s = sandbox_find(p, w, number);
	if (!s || s->pidfd >= 0) {
		close(pidfd);
		if (memory_fd >= 0)
			close(memory_fd);
		return;
	}
	s->pidfd = pidfd;
	s->memory_fd = memory_fd;
	s->pid = pid;
	if (s->stage == SANDBOX_TAKEN)
		sandbox_signal(s);
	if (s->was_killed)
		sandbox_kill(s);
}

/* Deaths after which nobody shall find the same memory layout again. */
static bool is_suspicious(const struct wire_ended *ended)
{
	return ended->how == WIRE_SIGNALED &&
	       (ended->code == SIGSEGV || ended->code == SIGABRT || ended->code == SIGSYS);
}

static void on_ended(struct pool *p, struct worker *w, const struct wire_ended *ended)
{
	struct sandbox *s = sandbox_find(p, w, ended->number);
	struct tool *t;

	if (!s || ended->how < WIRE_EXITED || ended->how > WIRE_NOT_STARTED)
		return;
	t = s->tool;
	if (s->pidfd < 0) {
		w->unanswered -= w->unanswered > 0;
		w->silent_since_ms = clock_mono_ms();
	}
	if (t->current == w)
		t->wants_renewal |= is_suspicious(ended);
	if (s->stage == SANDBOX_WAITING && ended->how == WIRE_EXITED &&
	    ended->code >= WIRE_CONFINE_EXIT)
		log_error("executor.call_not_confined",
			  F_UINT("step", ended->code - WIRE_CONFINE_EXIT));
	if (s->stage == SANDBOX_WAITING)
		backoff_grow(&t->fork, clock_mono_ms());
	s->ended = *ended;
	s->ran_out_of_memory = was_taken_for_memory(w, s, ended);
	sandbox_end(p, s);
	tool_refill(p, t);
}

/* Returns a negative number when there is nothing more to read, or the worker is of no more use. */
static int read_report(struct pool *p, struct worker *w, struct wire_message *m)
{
	int fds[WIRE_FDS_MAX];
	size_t count;
	int r = wire_receive(w->control, m, fds, &count);

	if (r < 0)
		return r;
	switch (m->kind) {
	case WIRE_STARTED:
		if (count == 1) {
			on_started(p, w, m->u.started.number, fds[0]);
			count = 0; /* taken */
		}
		break;
	case WIRE_ENDED:
		on_ended(p, w, &m->u.ended);
		break;
	case WIRE_BOUND:
		tool_on_bound(p, w, &m->u.bound);
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

static void read_reports(struct pool *p, struct worker *w, struct wire_message *m)
{
	int r = 0;

	while (r == 0 && w->state != WORKER_DEAD)
		r = read_report(p, w, m);
	if (r < 0 && r != -EAGAIN)
		lose_worker(p, w, NULL);
}

/* ---- threads, where the kernel counts them for the whole uid ---- */

/* One tool could use up the number that is for all: so each process is counted, and killed when it
 * goes over its own. */
static void count_threads_of(struct pool *p, struct sandbox *s)
{
	uint64_t number = s->number;
	pid_t pid = s->pid;
	uint32_t threads;

	(void)pthread_mutex_unlock(&p->lock);
	threads = tasks_of_process(pid);
	(void)pthread_mutex_lock(&p->lock);
	if (p->slots[number % SLOTS_MAX] != s || s->number != number)
		return;
	s->threads_seen = threads;
	if (s->threads_seen > s->threads_max && !s->was_killed) {
		/* The reason before the death, or its reader may find only a closed pipe. */
		sandbox_signal(s);
		sandbox_kill(s);
	}
}

static void count_threads(struct pool *p)
{
	for (size_t i = 0; i < SLOTS_MAX && p->taken > 0; i++) {
		struct sandbox *s = p->slots[i];

		if (s && s->stage == SANDBOX_TAKEN && s->pid > 0 && !s->was_killed)
			count_threads_of(p, s);
	}
}

/* ---- looking after everything ---- */

static bool is_stuck(const struct worker *w, uint64_t now_ms)
{
	switch (w->state) {
	case WORKER_STARTING:
		return ms_since(w->state_ms, now_ms) > START_MS;
	case WORKER_BINDING:
		return ms_since(w->state_ms, now_ms) > BIND_MS;
	case WORKER_BOUND:
	case WORKER_RETIRING:
		return w->unanswered > 0 && ms_since(w->silent_since_ms, now_ms) > SILENT_MS;
	default:
		return false;
	}
}

static void tend_worker(struct pool *p, struct worker *w, uint64_t now_ms)
{
	if (w->state == WORKER_RETIRING && w->processes == 0) {
		end_worker(p, w);
	} else if (is_stuck(w, now_ms)) {
		log_error("executor.worker_stuck", F_UINT("state", w->state));
		lose_worker(p, w, NULL);
	}
}

/* Processes that had time enough to go. */
static void end_leaving(struct pool *p, uint64_t now_ms)
{
	for (size_t i = 0; i < SLOTS_MAX && p->leaving > 0; i++) {
		struct sandbox *s = p->slots[i];

		if (s && s->stage == SANDBOX_LEAVING && !s->was_killed &&
		    ms_since(s->stage_ms, now_ms) >= GRACE_MS)
			sandbox_kill(s);
	}
}

static void count_uid_tasks(struct pool *p, uint64_t now_ms)
{
	uint32_t tasks;

	if (!workers_share_thread_count(p) || ms_since(p->uid_tasks_ms, now_ms) < UID_TASKS_MS)
		return;
	(void)pthread_mutex_unlock(&p->lock);
	tasks = tasks_of_uid();
	(void)pthread_mutex_lock(&p->lock);
	p->uid_tasks = tasks;
	p->uid_tasks_ms = now_ms;
}

static void tend(struct pool *p, uint64_t now_ms)
{
	count_uid_tasks(p, now_ms);
	tools_tend(p, now_ms);
	for (struct worker *w = p->workers; w; w = w->next)
		tend_worker(p, w, now_ms);
	end_leaving(p, now_ms);
	cgroups_sweep(p->cgroups);
	start_missing(p, now_ms);
}

static int wait_ms(const struct pool *p, bool is_reaping)
{
	bool is_counting = p->taken > 0 && workers_share_thread_count(p);

	if (is_counting || is_reaping)
		return COUNT_MS;
	return (int)(p->leaving > 0 || p->taken > 0 || p->tools ? TEND_MS : WAKE_MS);
}

static void read_wake(const struct pool *p)
{
	uint64_t ignored;

	(void)!read(p->wake_fd, &ignored, sizeof(ignored));
}

static void stop_all(struct pool *p)
{
	for (struct worker *w = p->workers; w; w = w->next)
		lose_worker(p, w, NULL);
	while (reap(p))
		clock_sleep_ms(1);
}

void *workers_manage(void *arg)
{
	struct pool *p = arg;
	BOX_CLEANUP(mem_freep) struct wire_message *m = mem_alloc(sizeof(*m));
	struct epoll_event events[REPORTS];
	uint64_t tended_ms = 0;

	(void)pthread_mutex_lock(&p->lock);
	while (!p->is_stopping) {
		uint64_t now = clock_mono_ms();
		int count, wait;

		if (p->is_urgent || ms_since(tended_ms, now) >= TEND_MS) {
			p->is_urgent = false;
			tended_ms = now;
			tend(p, now);
		}
		if (workers_share_thread_count(p))
			count_threads(p);
		wait = wait_ms(p, reap(p));
		(void)pthread_mutex_unlock(&p->lock);
		count = epoll_wait(p->epoll_fd, events, REPORTS, wait);
		(void)pthread_mutex_lock(&p->lock);
		for (int i = 0; i < count; i++) {
			struct worker *w = events[i].data.ptr;

			if (!w)
				read_wake(p);
			else if (w->state != WORKER_DEAD)
				read_reports(p, w, m);
		}
	}
	stop_all(p);
	/* Here, because the thread that stops the pool may no longer remove a directory. */
	cgroups_close(p->cgroups);
	p->cgroups = NULL;
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}
