/*
 * Judges a packed message by its descriptor, before protobuf-c unpacks it.  On the wire, because
 * two faults cannot be seen afterwards: protobuf-c cuts a string at a hidden NUL and loses its
 * length, and an enum number that we do not know looks like any other.  Pure, no allocation;
 * fuzzed.
 *
 * Held to: fields on the wire types of their descriptor; `string` at most MSG_STRING_MAX bytes of
 * UTF-8 without control bytes; enum numbers known; nesting at most MSG_DEPTH_MAX; nothing cut off.
 * Fields without a descriptor are passed over, as newer peers may send them.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include "attrs.h"

#define MSG_MAX        (8u * 1024 * 1024)
#define MSG_STRING_MAX 512
#define MSG_DEPTH_MAX  8

/* 0, or -ERR_INVALID. */
int msg_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len) BOX_MUST_CHECK;
