/* Records that gateways and egress-proxies ship. */
#pragma once

#include "work.h"

/* A record of the registry's own (a test run): in this transaction, numbered here, attested like a batch. */
int records_add(struct work *w, PB(Record) * record) BOX_MUST_CHECK;
/* Bytes that others wrote, as text that a database keeps: valid UTF-8 without NUL, at most `max` bytes. */
ProtobufCBinaryData records_clean(struct work *w, ProtobufCBinaryData b, size_t max);
