/*
 * Many decisions in one request: the route's question once for each id, each of them a change of its own, so that one
 * refusal undoes nothing and is told by its id.
 */
#pragma once

#include "api.h"

/* The route's request has ids first, then action, reason and (may be empty) revisions, content_hashes. */
api_serve bulk_serve;
