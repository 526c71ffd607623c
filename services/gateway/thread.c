#include "thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg, struct err *err)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, 1u << 20);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, &attr, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return r == 0 ? 0 : err_set(err, ERR_INTERNAL, "cannot start a thread");
}
