/* The description of REST (OpenAPI 3.1), written from the tables that serve it: routes.c, the messages, describe.c. */
#pragma once

#include "api.h"

void openapi_write(struct buf *ret);
api_serve openapi_serve;
