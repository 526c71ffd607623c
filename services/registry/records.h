/* Records that gateways and egress-proxies ship. */
#pragma once

#include "work.h"

/* Bytes that others wrote, as text that a database keeps: valid UTF-8 without NUL, at most `max` bytes. */
ProtobufCBinaryData records_clean(struct work *w, ProtobufCBinaryData b, size_t max);
