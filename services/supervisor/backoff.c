#include "backoff.h"

#define FIRST_MS   200
#define LONGEST_MS 30000
#define STABLE_MS  30000

int backoff_next(struct backoff *b, int64_t ran_ms)
{
	int wait;

	if (b->next_ms == 0 || ran_ms >= STABLE_MS)
		b->next_ms = FIRST_MS;
	wait = b->next_ms;
	b->next_ms = wait * 2 > LONGEST_MS ? LONGEST_MS : wait * 2;
	return wait;
}
