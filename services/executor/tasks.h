/*
 * What /proc says about processes and the machine.  Reads files: only the manager thread and those
 * that run before Landlock may call.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* The process behind a pidfd, as seen from here; 0 when it is gone. */
pid_t tasks_pid_of(int pidfd);
/* Its parent; 0 when it is gone. */
pid_t tasks_parent_of(pid_t pid);
/* Threads of this uid in one process; 0 when it is another's or gone. */
uint32_t tasks_of_process(pid_t pid);
/* Threads of this uid on the whole machine, as far as they can be seen. */
uint32_t tasks_of_uid(void);
/* A descriptor for tasks_resident_kb (the caller's), or -errno. */
int tasks_open_memory(pid_t pid);
/* Resident size now, pages shared with other processes included; 0 when the process is gone.  Any
 * thread. */
uint64_t tasks_resident_kb(int memory_fd);
/* CPU time of a process so far, all its threads; 0 when it is gone.  Any thread. */
uint64_t tasks_cpu_us(pid_t pid);
/* What this machine or the container around it has, in MiB. */
uint64_t tasks_machine_mb(void);
