/* What names and passwords of people must be, and the costly hash. */
#pragma once

#include "work.h"

int user_check_name(const char *name, struct err *err) BOX_MUST_CHECK;
/* field: what the message calls it. */
int user_check_password(const char *field, ProtobufCBinaryData password,
			struct err *err) BOX_MUST_CHECK;
/* In the arena; outside of a transaction. */
int user_hash(struct work *w, ProtobufCBinaryData password, char **ret,
	      struct err *err) BOX_MUST_CHECK;
