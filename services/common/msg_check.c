#include "msg_check.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "err.h"
#include "parse.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

struct wire {
	const uint8_t *p, *end;
};

/* One field as it stands on the wire. */
struct field {
	uint32_t number;
	enum wire_type type;
	uint64_t varint;
	struct wire bytes;
};

static bool read_varint(struct wire *w, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && w->p < w->end; shift += 7) {
		uint8_t b = *w->p++;

		if (shift == 63 && b > 1)
			return false;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool skip(struct wire *w, uint64_t len)
{
	if (len > (uint64_t)(w->end - w->p))
		return false;
	w->p += len;
	return true;
}

static bool read_field(struct wire *w, struct field *ret)
{
	uint64_t tag, len;

	if (!read_varint(w, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
		return false;
	ret->number = (uint32_t)(tag >> 3);
	ret->type = (enum wire_type)(tag & 7);
	switch (ret->type) {
	case WIRE_VARINT:
		return read_varint(w, &ret->varint);
	case WIRE_64BIT:
		return skip(w, 8);
	case WIRE_32BIT:
		return skip(w, 4);
	case WIRE_BYTES:
		if (!read_varint(w, &len))
			return false;
		ret->bytes.p = w->p;
		if (!skip(w, len))
			return false;
		ret->bytes.end = w->p;
		return true;
	}
	return false; /* groups and the two types that do not exist */
}

static enum wire_type wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64BIT;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32BIT;
	default:
		return WIRE_VARINT;
	}
}

static bool string_is_good(const struct wire *bytes)
{
	size_t len = (size_t)(bytes->end - bytes->p);

	if (len > MSG_STRING_MAX)
		return false;
	for (const uint8_t *p = bytes->p; p < bytes->end; p++)
		if (*p < 0x20 || *p == 0x7f)
			return false;
	return text_is_utf8(bytes->p, len);
}

static bool enum_is_known(const ProtobufCEnumDescriptor *type, uint64_t v)
{
	return v <= INT32_MAX && protobuf_c_enum_descriptor_get_value(type, (int)v) != NULL;
}

/* Packed numbers are one field of bytes. */
static bool packed_is_good(const ProtobufCFieldDescriptor *fd, struct wire bytes)
{
	uint64_t v;

	if (wire_type_of(fd->type) != WIRE_VARINT)
		return true; /* protobuf-c checks that the length divides */
	while (bytes.p < bytes.end) {
		if (!read_varint(&bytes, &v))
			return false;
		if (fd->type == PROTOBUF_C_TYPE_ENUM && !enum_is_known(fd->descriptor, v))
			return false;
	}
	return true;
}

static bool message_is_good(const ProtobufCMessageDescriptor *type, struct wire w, unsigned depth);

static bool field_is_good(const ProtobufCFieldDescriptor *fd, const struct field *f, unsigned depth)
{
	if (f->type != wire_type_of(fd->type))
		return f->type == WIRE_BYTES && fd->label == PROTOBUF_C_LABEL_REPEATED &&
		       packed_is_good(fd, f->bytes);
	if (fd->type == PROTOBUF_C_TYPE_STRING)
		return string_is_good(&f->bytes);
	if (fd->type == PROTOBUF_C_TYPE_ENUM)
		return enum_is_known(fd->descriptor, f->varint);
	if (fd->type == PROTOBUF_C_TYPE_MESSAGE)
		return message_is_good(fd->descriptor, f->bytes, depth + 1);
	return true;
}

static bool message_is_good(const ProtobufCMessageDescriptor *type, struct wire w, unsigned depth)
{
	if (depth > MSG_DEPTH_MAX)
		return false;
	while (w.p < w.end) {
		const ProtobufCFieldDescriptor *fd;
		struct field f = { 0 };

		if (!read_field(&w, &f))
			return false;
		fd = protobuf_c_message_descriptor_get_field(type, f.number);
		if (fd && !field_is_good(fd, &f, depth))
			return false;
	}
	return true;
}

int msg_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len)
{
	const uint8_t *p = len ? data : (const uint8_t *)"";

	return message_is_good(type, (struct wire){ p, p + len }, 0) ? 0 : -ERR_INVALID;
}
