/*
 * Where the instance is: its data directory, and what `up` wrote into config.env there.
 */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "err.h"

struct place {
	char *data;          /* data directory */
	char *registry_addr; /* "127.0.0.1:8100" */
	char *bus_tls_cert;  /* PEM files for tls+tcp:// (bus_tls_load); "" when not set */
	char *bus_tls_ca;
	char *token; /* MCPBOX_TOKEN, or NULL */
	uint16_t admin_port;
};

/*
 * data: from --data, or NULL: MCPBOX_DATA, else /var/lib/mcpbox for root and the user's state
 * directory for others.  A missing config.env means the defaults.  -ERR_INVALID when it holds
 * nonsense.
 */
int place_find(const char *data, struct place *ret, struct err *err) BOX_MUST_CHECK;
void place_done(struct place *p);
/* "<data>/<name>", heap. */
char *place_path(const struct place *p, const char *name) BOX_MUST_CHECK;

/* A small file of the data directory.  Written whole or not at all, 0600, its directory made 0700.
 */
int place_write_file(const char *path, const void *data, size_t len,
		     struct err *err) BOX_MUST_CHECK;
/* At most max bytes, NUL behind; heap.  -ERR_NOT_FOUND, -ERR_DENIED, -ERR_TOO_LARGE,
 * -ERR_UNAVAILABLE. */
int place_read_file(const char *path, size_t max, char **ret, size_t *ret_len,
		    struct err *err) BOX_MUST_CHECK;
