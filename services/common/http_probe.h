/*
 * Does this civetweb's parser leave the traces that http_head_is_whole() reads?  Asked once at
 * start, by sending the server a whole head and one with too many headers.
 */
#pragma once

#include <stdbool.h>
#include "http_internal.h"

/* From the starting thread, the server already listening.  False: it does not, or could not be
 * asked. */
bool http_probe(struct http_server *s);
/* From a connection's thread: answers the probe's own requests (true), and those alone. */
bool http_probe_answer(struct http_server *s, struct http_request *rq, const char *uri);
