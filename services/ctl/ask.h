/* Passwords and names from a person at a terminal, or from files.  One thread. */
#pragma once

#include <stdbool.h>
#include "ctl.h"

#define ASK_MAX_BYTES 1024

/* instead: the option that says it without a terminal. */
int ask_line(const char *question, const char *instead, bool echo, char *ret, size_t size,
	     struct err *err) BOX_MUST_CHECK;
/* From --password-file, or the terminal; is_new: a person types it twice.  The caller wipes it. */
int ask_password(const struct ctl *ctl, bool is_new, char ret[ASK_MAX_BYTES],
		 struct err *err) BOX_MUST_CHECK;
