/* The MCP endpoint: POST, GET and DELETE of /mcp and /mcp/{server}, in the order of checks of the
 * protocol. */
#pragma once

#include "http_server.h"

#define ENDPOINT_BODY_MAX (4u * 1024 * 1024)

http_handler endpoint_post, endpoint_get, endpoint_delete;
