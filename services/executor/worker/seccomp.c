#include "seccomp.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Stands for the pid that is not known yet; patched by filter_load_call(). */
#define OWN_PID 0x7ab5c0deu
/* Stands for the lowest address of the main thread's stack; replaced when a row is added. */
#define STACK_LOW 0x7ab57ac10000ull

enum answer {
	ALLOW,
	REFUSE, /* EPERM: ordinary code tries it and shows the message */
	ABSENT, /* ENOSYS: libraries fall back */
	NO_SUPPORT, /* EOPNOTSUPP: as of a file system that has no such thing; libraries go on without */
	NO_MEMORY, /* ENOMEM */
	PRETEND,   /* 0: says that it did, and does nothing */
	KILL,      /* no honest use; ends the process with SIGSYS */
};

/* Whose filter a row belongs to; the kernel takes the stricter answer of the two. */
enum stage {
	ALL,    /* the zygote's, which its calls inherit */
	ZYGOTE, /* there too, but only for forking and confining calls ... */
	CALL,   /* ... which this takes away: in the second filter */
	SIGNAL, /* as ZYGOTE, where something else keeps its signals inside; else refused */
};

/* Landlock and the mount tree decide about paths, but Landlock sees no changes of mode and time. */
enum path_use { NO_PATH, TAKES_PATH, CHANGES_OWN };

#define CONDITIONS_MAX 2
struct row {
	const char *name;
	enum stage stage;
	enum answer answer;
	enum path_use path;
	unsigned count;
	struct scmp_arg_cmp when[CONDITIONS_MAX];
};

/* Shapes of rows. */
#define STAGED(n, stage, answer)                    \
	{                                           \
		(n), (stage), (answer), NO_PATH, 0, \
		{                                   \
			{                           \
				0                   \
			}                           \
		}                                   \
	}
#define STAGED_IF(n, stage, answer, a)              \
	{                                           \
		(n), (stage), (answer), NO_PATH, 1, \
		{                                   \
			a                           \
		}                                   \
	}
#define STAGED_IF2(n, stage, answer, a, b)          \
	{                                           \
		(n), (stage), (answer), NO_PATH, 2, \
		{                                   \
			a, b                        \
		}                                   \
	}
#define ONLY_NR(n, answer) STAGED(n, ALL, answer)
/* Not by way of the two above: their last arguments would be taken apart. */
#define IF(n, answer, a)                        \
	{                                       \
		(n), ALL, (answer), NO_PATH, 1, \
		{                               \
			a                       \
		}                               \
	}
#define IF2(n, answer, a, b)                    \
	{                                       \
		(n), ALL, (answer), NO_PATH, 2, \
		{                               \
			a, b                    \
		}                               \
	}
#define PATH(n, use)                       \
	{                                  \
		(n), ALL, ALLOW, (use), 0, \
		{                          \
			{                  \
				0          \
			}                  \
		}                          \
	}
#define WITH_PATH(n) PATH(n, TAKES_PATH)
#define PATH_IF(n, answer, a)                      \
	{                                          \
		(n), ALL, (answer), TAKES_PATH, 1, \
		{                                  \
			a                          \
		}                                  \
	}
/* What is emptied must be opened for writing: else Landlock sees it only since Linux 6.2. */
#define OPEN(n, flags)                                                         \
	PATH_IF(n, ALLOW, BITS(flags, O_TRUNC, 0)),                            \
		PATH_IF(n, ALLOW, BITS(flags, O_ACCMODE, O_WRONLY)),           \
		PATH_IF(n, ALLOW, BITS(flags, O_ACCMODE, O_RDWR)),             \
		PATH_IF(n, REFUSE, BITS(flags, O_TRUNC | O_ACCMODE, O_TRUNC)), \
		PATH_IF(n, REFUSE, BITS(flags, O_TRUNC | O_ACCMODE, O_TRUNC | O_ACCMODE))
#define EQ(arg, v)                                       \
	{                                                \
		(arg), SCMP_CMP_EQ, (scmp_datum_t)(v), 0 \
	}
#define NOT(arg, v)                                      \
	{                                                \
		(arg), SCMP_CMP_NE, (scmp_datum_t)(v), 0 \
	}
#define BELOW(arg, v)                                    \
	{                                                \
		(arg), SCMP_CMP_LT, (scmp_datum_t)(v), 0 \
	}
#define FROM(arg, v)                                     \
	{                                                \
		(arg), SCMP_CMP_GE, (scmp_datum_t)(v), 0 \
	}
#define BITS(arg, mask, v)                                                         \
	{                                                                          \
		(arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(v) \
	}

/* Exactly what glibc's pthread_create asks for: every other clone would be a process or a
 * namespace. */
#define THREAD_FLAGS                                                                        \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
/* And what its fork() asks for. */
#define FORK_FLAGS        (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)
#define FUTEX_OP_MASK     (~(uint64_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME))
#define CLOCKS            16 /* above: the CPU clocks of other processes */
#define FUTEX_WAKE_MASK   (~(uint64_t)FUTEX_CLOCK_REALTIME)
#define FUTEX_PRIVATE(op) (FUTEX_##op | FUTEX_PRIVATE_FLAG)
#define PR_SET_VMA_       0x53564d41 /* names of anonymous memory, glibc 2.39 */
#ifndef MADV_COLLAPSE                /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif
#define MAP_SHARED_ANON (MAP_SHARED | MAP_ANONYMOUS)

static const struct row rows[] = {
	/* bytes through descriptors that one has */
	ONLY_NR("read", ALLOW),
	ONLY_NR("write", ALLOW),
	ONLY_NR("readv", ALLOW),
	ONLY_NR("writev", ALLOW),
	ONLY_NR("pread64", ALLOW),
	ONLY_NR("pwrite64", ALLOW),
	ONLY_NR("preadv", ALLOW),
	ONLY_NR("pwritev", ALLOW),
	/* RWF_NOWAIT would tell what others have read */
	IF("preadv2", ALLOW, EQ(5, 0)),
	IF("pwritev2", ALLOW, EQ(5, 0)),
	ONLY_NR("lseek", ALLOW),
	ONLY_NR("sendfile", ALLOW),
	ONLY_NR("copy_file_range", ALLOW),
	ONLY_NR("close", ALLOW),
	ONLY_NR("close_range", ALLOW),
	ONLY_NR("dup", ALLOW),
	ONLY_NR("dup2", ALLOW),
	ONLY_NR("dup3", ALLOW),
	ONLY_NR("pipe", ALLOW),
	ONLY_NR("pipe2", ALLOW),
	ONLY_NR("eventfd2", ALLOW),
	ONLY_NR("fstat", ALLOW),
	ONLY_NR("ftruncate", ALLOW),
	ONLY_NR("fallocate", ALLOW),
	/* scratch is memory; of any other file they would have the host's disk work for us */
	ONLY_NR("fsync", PRETEND),
	ONLY_NR("fdatasync", PRETEND),
	ONLY_NR("fadvise64", PRETEND), /* drops pages that all calls share */
	ONLY_NR("fchdir", ALLOW),
	ONLY_NR("getdents64", ALLOW),
	ONLY_NR("fstatfs", ALLOW),
	ONLY_NR("getcwd", ALLOW),
	ONLY_NR("umask", ALLOW),

	/* paths: Landlock and the mount tree say which */
	OPEN("open", 1),
	OPEN("openat", 2),
	WITH_PATH("creat"),
	WITH_PATH("stat"),
	WITH_PATH("lstat"),
	WITH_PATH("newfstatat"),
	WITH_PATH("statx"),
	WITH_PATH("access"),
	WITH_PATH("faccessat"),
	WITH_PATH("faccessat2"),
	WITH_PATH("readlink"),
	WITH_PATH("readlinkat"),
	WITH_PATH("statfs"),
	WITH_PATH("chdir"),
	WITH_PATH("mkdir"),
	WITH_PATH("mkdirat"),
	WITH_PATH("rmdir"),
	WITH_PATH("rename"),
	WITH_PATH("renameat"),
	WITH_PATH("renameat2"),
	WITH_PATH("unlink"),
	WITH_PATH("unlinkat"),
	WITH_PATH("link"),
	WITH_PATH("linkat"),
	WITH_PATH("symlink"),
	WITH_PATH("symlinkat"),
	PATH("chmod", CHANGES_OWN),
	PATH("fchmod", CHANGES_OWN),
	PATH("fchmodat", CHANGES_OWN),
	PATH("utime", CHANGES_OWN),
	PATH("utimes", CHANGES_OWN),
	PATH("utimensat", CHANGES_OWN),
	PATH("futimesat", CHANGES_OWN),
	PATH("truncate", CHANGES_OWN), /* Landlock sees it since Linux 6.2 */

	/* waiting */
	/* no epoll: what is watched counts for the whole uid, a million of them from one call, in
	   kernel memory that no limit sees; the runtime has Python wait with poll */
	ONLY_NR("epoll_create1", ABSENT),
	ONLY_NR("poll", ALLOW),
	ONLY_NR("ppoll", ALLOW),
	ONLY_NR("select", ALLOW),
	ONLY_NR("pselect6", ALLOW),
	ONLY_NR("nanosleep", ALLOW),
	IF("clock_nanosleep", ALLOW, BELOW(0, CLOCKS)),
	ONLY_NR("pause", ALLOW),
	ONLY_NR("timerfd_create", ALLOW),
	ONLY_NR("timerfd_settime", ALLOW),
	ONLY_NR("timerfd_gettime", ALLOW),
	ONLY_NR("getitimer", ALLOW),
	ONLY_NR("setitimer", ALLOW),
	ONLY_NR("alarm", ALLOW),
	ONLY_NR("restart_syscall", ALLOW),

	/* memory: never writable and executable, never shared without a file or growing like a
	   stack (RLIMIT_DATA does not count those) */
	ONLY_NR("brk", ALLOW),
	ONLY_NR("munmap", ALLOW),
	/* A piece of the main stack that is moved away keeps growing uncounted. */
	IF("mremap", ALLOW, BELOW(0, STACK_LOW)),
	IF("mremap", NO_MEMORY, FROM(0, STACK_LOW)),
	ONLY_NR("msync", PRETEND),
	ONLY_NR("mincore", ABSENT), /* which pages of a file others have read */
	IF2("mmap", ALLOW, BITS(2, PROT_EXEC, 0), BITS(3, MAP_ANONYMOUS | MAP_GROWSDOWN, 0)),
	IF2("mmap", ALLOW, BITS(2, PROT_EXEC, 0),
	    BITS(3, MAP_SHARED_ANON | MAP_GROWSDOWN, MAP_ANONYMOUS)),
	IF2("mmap", NO_MEMORY, BITS(2, PROT_EXEC, 0), BITS(3, MAP_GROWSDOWN, MAP_GROWSDOWN)),
	IF2("mmap", NO_MEMORY, BITS(2, PROT_EXEC, 0), BITS(3, MAP_SHARED_ANON, MAP_SHARED_ANON)),
	IF2("mmap", ALLOW, BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC),
	    BITS(3, MAP_ANONYMOUS | MAP_GROWSDOWN, 0)),
	IF2("mmap", REFUSE, BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC),
	    BITS(3, MAP_ANONYMOUS, MAP_ANONYMOUS)),
	IF("mmap", REFUSE, BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE)),
	IF("mprotect", ALLOW, BITS(2, PROT_EXEC, 0)),
	IF("mprotect", REFUSE, BITS(2, PROT_EXEC, PROT_EXEC)),
	STAGED_IF("madvise", ZYGOTE, ALLOW, EQ(2, MADV_COLLAPSE)),
	STAGED_IF("madvise", CALL, REFUSE, EQ(2, MADV_COLLAPSE)), /* files' pages are all calls' */
	IF("madvise", ALLOW, EQ(2, MADV_NORMAL)),
	IF("madvise", ALLOW, EQ(2, MADV_RANDOM)),
	IF("madvise", ALLOW, EQ(2, MADV_SEQUENTIAL)),
	IF("madvise", ALLOW, EQ(2, MADV_WILLNEED)),
	IF("madvise", ALLOW, EQ(2, MADV_DONTNEED)),
	IF("madvise", ALLOW, EQ(2, MADV_FREE)),
	IF("madvise", ALLOW, EQ(2, MADV_HUGEPAGE)),
	IF("madvise", ALLOW, EQ(2, MADV_NOHUGEPAGE)),
	IF("madvise", ALLOW, EQ(2, MADV_DONTDUMP)),
	IF("madvise", ALLOW, EQ(2, MADV_DODUMP)),

	/* threads of the own process and their locks (no priority inheritance) */
	IF("clone", ALLOW, EQ(0, THREAD_FLAGS)),
	STAGED_IF("clone", ZYGOTE, ALLOW, EQ(0, FORK_FLAGS)),
	STAGED_IF("clone", CALL, REFUSE, NOT(0, THREAD_FLAGS)),
	ONLY_NR("clone3", ABSENT), /* its flags cannot be read here; glibc falls back to clone */
	/* waking through a page of a library file, which all calls map, would reach their waiters */
	IF("futex", ALLOW, BITS(1, FUTEX_OP_MASK, FUTEX_WAIT)),
	IF("futex", ALLOW, BITS(1, FUTEX_WAKE_MASK, FUTEX_PRIVATE(WAKE))),
	IF("futex", ALLOW, BITS(1, FUTEX_WAKE_MASK, FUTEX_PRIVATE(REQUEUE))),
	IF("futex", ALLOW, BITS(1, FUTEX_WAKE_MASK, FUTEX_PRIVATE(CMP_REQUEUE))),
	IF("futex", ALLOW, BITS(1, FUTEX_WAKE_MASK, FUTEX_PRIVATE(WAKE_OP))),
	IF("futex", ALLOW, BITS(1, FUTEX_OP_MASK, FUTEX_WAIT_BITSET)),
	IF("futex", ALLOW, BITS(1, FUTEX_WAKE_MASK, FUTEX_PRIVATE(WAKE_BITSET))),
	ONLY_NR("set_robust_list", ALLOW),
	ONLY_NR("get_robust_list", REFUSE),
	ONLY_NR("set_tid_address", REFUSE), /* the end of a thread wakes there, whoever waits */
	ONLY_NR("rseq", ALLOW),
	ONLY_NR("membarrier", ABSENT), /* makes all processors stop for it */
	ONLY_NR("sched_yield", ALLOW),
	IF("sched_getaffinity", ALLOW, EQ(0, 0)),
	IF("sched_getparam", ALLOW, EQ(0, 0)),
	IF("sched_getscheduler", ALLOW, EQ(0, 0)),
	ONLY_NR("sched_get_priority_max", ALLOW),
	ONLY_NR("sched_get_priority_min", ALLOW),
	ONLY_NR("getcpu", ALLOW),
	ONLY_NR("exit", ALLOW),
	ONLY_NR("exit_group", ALLOW),

	/* signals to oneself only */
	ONLY_NR("rt_sigaction", ALLOW),
	ONLY_NR("rt_sigprocmask", ALLOW),
	ONLY_NR("rt_sigreturn", ALLOW),
	ONLY_NR("rt_sigpending", ALLOW),
	ONLY_NR("rt_sigsuspend", ALLOW),
	ONLY_NR("rt_sigtimedwait", ALLOW),
	ONLY_NR("sigaltstack", ALLOW),
	STAGED("kill", SIGNAL, ALLOW),
	STAGED_IF("kill", CALL, REFUSE, NOT(0, OWN_PID)),
	STAGED("tgkill", SIGNAL, ALLOW),
	STAGED_IF("tgkill", CALL, REFUSE, NOT(0, OWN_PID)),
	ONLY_NR("tkill", REFUSE),
	ONLY_NR("rt_sigqueueinfo", REFUSE),
	ONLY_NR("rt_tgsigqueueinfo", ABSENT),
	ONLY_NR("pidfd_send_signal", REFUSE),

	/* facts about oneself and the time; nothing that tells which other processes there are */
	ONLY_NR("getpid", ALLOW),
	ONLY_NR("gettid", ALLOW),
	ONLY_NR("getppid", ALLOW),
	ONLY_NR("getpgrp", ALLOW),
	IF("getpgid", ALLOW, EQ(0, 0)),
	IF("getpgid", REFUSE, NOT(0, 0)),
	IF("getsid", ALLOW, EQ(0, 0)),
	IF("getsid", REFUSE, NOT(0, 0)),
	ONLY_NR("getuid", ALLOW),
	ONLY_NR("geteuid", ALLOW),
	ONLY_NR("getgid", ALLOW),
	ONLY_NR("getegid", ALLOW),
	ONLY_NR("getresuid", ALLOW),
	ONLY_NR("getresgid", ALLOW),
	ONLY_NR("getgroups", ALLOW),
	ONLY_NR("getrusage", ALLOW),
	ONLY_NR("getrlimit", ALLOW),
	ONLY_NR("times", ALLOW),
	ONLY_NR("sysinfo", ALLOW),
	ONLY_NR("uname", ALLOW),
	IF("getpriority", ALLOW, EQ(1, 0)),
	IF("getpriority", REFUSE, NOT(1, 0)),
	ONLY_NR("capget", REFUSE), /* of any process */
	ONLY_NR("getrandom", ALLOW),
	ONLY_NR("time", ALLOW),
	ONLY_NR("gettimeofday", ALLOW),
	IF("clock_gettime", ALLOW, BELOW(0, CLOCKS)),
	IF("clock_getres", ALLOW, BELOW(0, CLOCKS)),
	ONLY_NR("arch_prctl", REFUSE),
	IF2("prlimit64", ALLOW, EQ(0, 0), EQ(2, 0)),
	STAGED_IF2("prlimit64", ZYGOTE, ALLOW, EQ(0, 0), NOT(2, 0)),
	STAGED_IF("prlimit64", CALL, REFUSE, NOT(2, 0)),
	IF("prctl", ALLOW, EQ(0, PR_SET_NAME)),
	IF("prctl", ALLOW, EQ(0, PR_GET_NAME)),
	IF("prctl", ALLOW, EQ(0, PR_SET_VMA_)),
	STAGED_IF("prctl", ZYGOTE, ALLOW, EQ(0, PR_SET_PDEATHSIG)),
	STAGED_IF("prctl", CALL, ABSENT, EQ(0, PR_SET_PDEATHSIG)),
	STAGED_IF2("prctl", ZYGOTE, ALLOW, EQ(0, PR_SET_DUMPABLE), EQ(1, 0)),
	STAGED_IF("prctl", CALL, ABSENT, EQ(0, PR_SET_DUMPABLE)),

	/* sockets: only ones that were given, and connected pairs of streams (datagram pairs can be
	 * addressed to any named socket) */
	IF2("socketpair", ALLOW, EQ(0, AF_UNIX),
	    BITS(1, ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_STREAM)),
	IF("socketpair", REFUSE, NOT(0, AF_UNIX)),
	ONLY_NR("socket", REFUSE),
	ONLY_NR("connect", REFUSE),
	ONLY_NR("bind", REFUSE),
	ONLY_NR("listen", REFUSE),
	ONLY_NR("accept", REFUSE),
	ONLY_NR("accept4", REFUSE),
	IF("sendto", ALLOW, EQ(4, 0)),
	IF("sendto", REFUSE, NOT(4, 0)),
	ONLY_NR("recvfrom", ALLOW),
	ONLY_NR("recvmsg", ALLOW),
	/* descriptors in messages count for the whole uid of the host, and are counted after they
	   are judged: calls receive them only */
	STAGED("sendmsg", ZYGOTE, ALLOW),
	STAGED("sendmsg", CALL, REFUSE),
	ONLY_NR("recvmmsg", ABSENT),
	ONLY_NR("sendmmsg", ABSENT),
	ONLY_NR("shutdown", ALLOW),
	ONLY_NR("getsockname", ALLOW),
	ONLY_NR("getpeername", ALLOW),
	/* not SO_PEERPIDFD and SO_PEERCRED: they name the peer */
	IF2("getsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_ERROR)),
	IF2("getsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_TYPE)),
	IF2("getsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_DOMAIN)),
	IF2("getsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_PROTOCOL)),
	IF2("getsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_SNDBUF)),
	IF2("getsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_RCVBUF)),
	IF2("setsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_SNDBUF)),
	IF2("setsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_RCVBUF)),
	IF2("setsockopt", ALLOW, EQ(1, SOL_SOCKET), EQ(2, SO_KEEPALIVE)),

	/* descriptor flags; no owner, signal, lease, notification or seal (F_SETOWN can kill a
	 * sibling), and no lock that another call could see */
	IF("fcntl", ALLOW, EQ(1, F_DUPFD)),
	IF("fcntl", ALLOW, EQ(1, F_DUPFD_CLOEXEC)),
	IF("fcntl", ALLOW, EQ(1, F_GETFD)),
	IF("fcntl", ALLOW, EQ(1, F_SETFD)),
	IF("fcntl", ALLOW, EQ(1, F_GETFL)),
	IF("fcntl", ALLOW, EQ(1, F_SETFL)),
	IF("fcntl", PRETEND, EQ(1, F_SETLK)),
	IF("fcntl", PRETEND, EQ(1, F_SETLKW)),
	IF("ioctl", ALLOW, EQ(1, FIONREAD)),
	IF("ioctl", ALLOW, EQ(1, FIONBIO)),
	IF("ioctl", ALLOW, EQ(1, FIOCLEX)),
	IF("ioctl", ALLOW, EQ(1, FIONCLEX)),
	IF("ioctl", ALLOW, EQ(1, TCGETS)),
	IF("ioctl", ALLOW, EQ(1, TIOCGWINSZ)),

	/* refused with a clear message: ordinary code tries these */
	ONLY_NR("fork", REFUSE),
	ONLY_NR("vfork", REFUSE),
	ONLY_NR("execve", REFUSE),
	ONLY_NR("execveat", REFUSE),
	ONLY_NR("waitid", REFUSE),
	ONLY_NR("memfd_create", REFUSE),
	ONLY_NR("memfd_secret", REFUSE),
	ONLY_NR("chroot", REFUSE),
	ONLY_NR("chown", REFUSE),
	ONLY_NR("fchown", REFUSE),
	ONLY_NR("lchown", REFUSE),
	ONLY_NR("fchownat", REFUSE),
	ONLY_NR("setuid", REFUSE),
	ONLY_NR("setgid", REFUSE),
	ONLY_NR("setreuid", REFUSE),
	ONLY_NR("setregid", REFUSE),
	ONLY_NR("setresuid", REFUSE),
	ONLY_NR("setresgid", REFUSE),
	ONLY_NR("setgroups", REFUSE),
	ONLY_NR("setfsuid", REFUSE),
	ONLY_NR("setfsgid", REFUSE),
	ONLY_NR("setpgid", REFUSE),
	ONLY_NR("setrlimit", REFUSE),
	ONLY_NR("setpriority", REFUSE),
	ONLY_NR("ioprio_set", REFUSE),
	ONLY_NR("sched_setparam", REFUSE),
	ONLY_NR("sched_setscheduler", REFUSE),
	ONLY_NR("sched_setaffinity", REFUSE),
	ONLY_NR("sched_setattr", REFUSE),
	ONLY_NR("mknod", REFUSE),
	ONLY_NR("mknodat", REFUSE),
	ONLY_NR("shmget", REFUSE),
	ONLY_NR("shmat", REFUSE),
	ONLY_NR("shmctl", REFUSE),
	ONLY_NR("semget", REFUSE),
	ONLY_NR("semop", REFUSE),
	ONLY_NR("semctl", REFUSE),
	ONLY_NR("semtimedop", REFUSE),
	ONLY_NR("msgget", REFUSE),
	ONLY_NR("msgsnd", REFUSE),
	ONLY_NR("msgrcv", REFUSE),
	ONLY_NR("msgctl", REFUSE),
	ONLY_NR("mq_open", REFUSE),
	ONLY_NR("mq_unlink", REFUSE),
	ONLY_NR("mlock", REFUSE),
	ONLY_NR("mlock2", REFUSE),
	ONLY_NR("mlockall", REFUSE),
	ONLY_NR("flock", REFUSE),
	ONLY_NR("inotify_init1", REFUSE),
	ONLY_NR("inotify_init", REFUSE),
	ONLY_NR("fanotify_init", REFUSE),
	ONLY_NR("setxattr", REFUSE),
	ONLY_NR("lsetxattr", REFUSE),
	ONLY_NR("fsetxattr", REFUSE),
	ONLY_NR("removexattr", REFUSE),
	ONLY_NR("getxattr", NO_SUPPORT),
	ONLY_NR("lgetxattr", NO_SUPPORT),
	ONLY_NR("fgetxattr", NO_SUPPORT),
	ONLY_NR("listxattr", NO_SUPPORT),
	ONLY_NR("llistxattr", NO_SUPPORT),
	ONLY_NR("flistxattr", NO_SUPPORT),
	ONLY_NR("io_setup", REFUSE),
	ONLY_NR("splice", REFUSE),
	ONLY_NR("tee", REFUSE),
	ONLY_NR("vmsplice", REFUSE),
	ONLY_NR("personality", REFUSE),
	ONLY_NR("sync", REFUSE),
	ONLY_NR("syncfs", REFUSE),
	ONLY_NR("timer_create", REFUSE),
	ONLY_NR("signalfd", REFUSE),
	ONLY_NR("signalfd4", REFUSE),
	ONLY_NR("name_to_handle_at", REFUSE),

	/* what it takes to fork a call, to confine it and to see it end */
	STAGED("wait4", ZYGOTE, ALLOW),
	STAGED("wait4", CALL, REFUSE),
	STAGED("pidfd_open", ZYGOTE, ALLOW),
	STAGED("pidfd_open", CALL, REFUSE),
	STAGED("setsid", ZYGOTE, ALLOW),
	STAGED("setsid", CALL, REFUSE),
	STAGED("capset", ZYGOTE, ALLOW),
	STAGED("capset", CALL, REFUSE),
	STAGED("landlock_create_ruleset", ZYGOTE, ALLOW),
	STAGED("landlock_create_ruleset", CALL, REFUSE),
	STAGED("landlock_add_rule", ZYGOTE, ALLOW),
	STAGED("landlock_add_rule", CALL, REFUSE),
	STAGED("landlock_restrict_self", ZYGOTE, ALLOW),
	STAGED("landlock_restrict_self", CALL, REFUSE),
	STAGED("seccomp", ZYGOTE, ALLOW),
	STAGED("seccomp", CALL, REFUSE),
	STAGED_IF("unshare", ZYGOTE, ALLOW, EQ(0, CLONE_NEWUSER)),
	STAGED_IF("unshare", ALL, KILL, NOT(0, CLONE_NEWUSER)),
	STAGED("unshare", CALL, KILL),

	/* libraries fall back without it */
	ONLY_NR("io_uring_setup", ABSENT),
	ONLY_NR("openat2", ABSENT),

	/* escapes */
	ONLY_NR("ptrace", KILL),
	ONLY_NR("process_vm_readv", KILL),
	ONLY_NR("process_vm_writev", KILL),
	ONLY_NR("process_madvise", KILL),
	ONLY_NR("kcmp", KILL),
	ONLY_NR("pidfd_getfd", KILL),
	ONLY_NR("bpf", KILL),
	ONLY_NR("perf_event_open", KILL),
	ONLY_NR("userfaultfd", KILL),
	ONLY_NR("keyctl", KILL),
	ONLY_NR("add_key", KILL),
	ONLY_NR("request_key", KILL),
	ONLY_NR("mount", KILL),
	ONLY_NR("umount2", KILL),
	ONLY_NR("pivot_root", KILL),
	ONLY_NR("fsopen", KILL),
	ONLY_NR("fsconfig", KILL),
	ONLY_NR("fsmount", KILL),
	ONLY_NR("fspick", KILL),
	ONLY_NR("open_tree", KILL),
	ONLY_NR("move_mount", KILL),
	ONLY_NR("mount_setattr", KILL),
	ONLY_NR("setns", KILL),
	ONLY_NR("init_module", KILL),
	ONLY_NR("finit_module", KILL),
	ONLY_NR("delete_module", KILL),
	ONLY_NR("kexec_load", KILL),
	ONLY_NR("kexec_file_load", KILL),
	ONLY_NR("reboot", KILL),
	ONLY_NR("swapon", KILL),
	ONLY_NR("swapoff", KILL),
	ONLY_NR("clock_settime", KILL),
	ONLY_NR("clock_adjtime", KILL),
	ONLY_NR("adjtimex", KILL),
	ONLY_NR("settimeofday", KILL),
	ONLY_NR("iopl", KILL),
	ONLY_NR("ioperm", KILL),
	ONLY_NR("modify_ldt", KILL),
	ONLY_NR("open_by_handle_at", KILL),
	ONLY_NR("quotactl", KILL),
	ONLY_NR("syslog", KILL),
	ONLY_NR("acct", KILL),
	ONLY_NR("sethostname", KILL),
	ONLY_NR("setdomainname", KILL),
	ONLY_NR("io_uring_enter", KILL),
	ONLY_NR("io_uring_register", KILL),
};

/* What a filter answers to calls without a row, and which rows it takes. */
struct plan {
	uint32_t otherwise;
	bool is_second;
	const struct filter_options *options;
};

static uint32_t action_of(const struct row *row, const struct filter_options *o)
{
	if ((row->path != NO_PATH && o->without_files) ||
	    (row->path == CHANGES_OWN && o->without_changes) ||
	    (row->stage == SIGNAL && o->without_signal))
		return SCMP_ACT_ERRNO(EPERM);
	switch (row->answer) {
	case ALLOW:
		return SCMP_ACT_ALLOW;
	case REFUSE:
		return SCMP_ACT_ERRNO(EPERM);
	case NO_MEMORY:
		return SCMP_ACT_ERRNO(ENOMEM);
	case NO_SUPPORT:
		return SCMP_ACT_ERRNO(EOPNOTSUPP);
	case PRETEND:
		return SCMP_ACT_ERRNO(0);
	case KILL:
		return SCMP_ACT_KILL_PROCESS;
	case ABSENT:
		break;
	}
	return SCMP_ACT_ERRNO(ENOSYS);
}

/* RLIMIT_STACK lets it grow to 8 MiB; what mmap gives begins 128 MiB lower at the least. */
static uint64_t lowest_stack_address(void)
{
	return (uint64_t)(uintptr_t)__builtin_frame_address(0) - (uint64_t)16 * 1024 * 1024;
}

static int add_row(scmp_filter_ctx ctx, const struct row *row, const struct plan *plan)
{
	struct scmp_arg_cmp when[CONDITIONS_MAX];
	uint32_t action = action_of(row, plan->options);
	int nr = seccomp_syscall_resolve_name(row->name);

	if (nr == __NR_SCMP_ERROR)
		return -ENOENT;
	/* libseccomp refuses rows that repeat the default */
	if ((row->stage == CALL) != plan->is_second || action == plan->otherwise)
		return 0;
	memcpy(when, row->when, sizeof(when));
	for (unsigned i = 0; i < row->count; i++) {
		if (when[i].datum_a == STACK_LOW)
			when[i].datum_a = lowest_stack_address();
	}
	return seccomp_rule_add_array(ctx, action, nr, row->count, when);
}

static int fill(scmp_filter_ctx ctx, const struct plan *plan, const char **ret_what)
{
	int r;

	*ret_what = "filter attributes";
	/* 32-bit and x32 entry points number their calls differently: such a caller wants to slip
	 * through */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* a binary tree: a linear filter of this size takes three times as long to load */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
		*ret_what = rows[i].name;
		r = add_row(ctx, &rows[i], plan);
	}
	return r;
}

/* libseccomp 2.5 exports to a descriptor only. */
static int export_program(scmp_filter_ctx ctx, struct filter *ret)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), r;
	off_t size;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	size = lseek(fd, 0, SEEK_END);
	if (r == 0 && (size <= 0 || size % (off_t)sizeof(struct sock_filter) != 0))
		r = -EPROTO;
	if (r == 0) {
		ret->program = malloc((size_t)size);
		ret->count = (size_t)size / sizeof(struct sock_filter);
		if (!ret->program || pread(fd, ret->program, (size_t)size, 0) != size)
			r = -EIO;
	}
	close(fd);
	return r;
}

static int build(const struct plan *plan, struct filter *ret, const char **ret_what)
{
	scmp_filter_ctx ctx = seccomp_init(plan->otherwise);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = fill(ctx, plan, ret_what);
	if (r == 0) {
		*ret_what = "filter export";
		r = export_program(ctx, ret);
	}
	seccomp_release(ctx);
	return r;
}

int filter_build_zygote(const struct filter_options *o, struct filter *ret, const char **ret_what)
{
	return build(&(struct plan){ .otherwise = SCMP_ACT_ERRNO(ENOSYS), .options = o }, ret,
		     ret_what);
}

int filter_build_call(const struct filter_options *o, struct filter *ret, const char **ret_what)
{
	return build(&(struct plan){ .otherwise = SCMP_ACT_ALLOW, .is_second = true, .options = o },
		     ret, ret_what);
}

int filter_load(const struct filter *f)
{
	struct sock_fprog prog = { .len = (unsigned short)f->count, .filter = f->program };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}

int filter_load_call(struct filter *f, pid_t own_pid)
{
	unsigned patched = 0;

	for (size_t i = 0; i < f->count; i++) {
		if (BPF_CLASS(f->program[i].code) == BPF_JMP && f->program[i].k == OWN_PID) {
			f->program[i].k = (uint32_t)own_pid;
			patched++;
		}
	}
	return patched == 0 ? -EPROTO : filter_load(f);
}
