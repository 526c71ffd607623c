/*
 * The bus as role ops: what the instance's owner may do without a login, proven by being able to
 * read the ops key file.  One asker; news arrive on a thread of the bus.
 */
#pragma once

#include "bus.h"
#include "cleanup.h"
#include "ctl.h"

struct ops;

/* Once per process.  news: NULL, or callbacks to follow the registry with (their thread may not ask). */
int ops_open(const struct ctl *ctl, const struct bus_news *news, struct ops **ret,
	     struct err *err) BOX_MUST_CHECK;
void ops_close(struct ops *ops);
BOX_DEFINE_CLEANUP(struct ops *, ops_close)

/* Ask the registry as the instance's owner. */
int ops_ask(struct ops *ops, uint16_t msg, const ProtobufCMessage *request, ProtobufCMessage **ret,
	    struct err *err) BOX_MUST_CHECK;
/* Ask for the Status; msg_free(). */
int ops_status(struct ops *ops, PB(Status) * *ret, struct err *err) BOX_MUST_CHECK;
