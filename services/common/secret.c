#include "secret.h"

#include <stdlib.h>
#include <string.h>
#include "crypto.h"
#include "mem.h"

struct secret *secret_new(const void *data, size_t len)
{
	struct secret *s = mem_alloc(sizeof(*s));

	s->data = crypto_guarded_alloc(len + 1);
	s->len = len;
	if (data && len)
		memcpy(s->data, data, len);
	return s;
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	crypto_guarded_free(s->data);
	free(s);
}
