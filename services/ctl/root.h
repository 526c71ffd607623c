/* The root key's file: 64 hex digits on a line. */
#pragma once

#include "attrs.h"
#include "err.h"
#include "secret.h"

/* -ERR_NOT_FOUND when there is no file, as place_read_file; -ERR_INVALID when it holds something else. */
int root_load(const char *path, struct secret **ret, struct err *err) BOX_MUST_CHECK;
