#include "call.h"

void call_done(struct call *c)
{
	if (c->open)
		msg_free(&c->open->base);
	if (c->permit)
		msg_free(&c->permit->base);
	grant_unref(c->grant);
	*c = (struct call){ 0 };
}
