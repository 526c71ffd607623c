#include "checks.h"

#include <inttypes.h>
#include <string.h>
#include "json.h"
#include "parse.h"

/* Defaults and maxima; an issue of its own may make the maxima a setting of the server. */
static const struct limit_row {
	const char *name;
	size_t offset;
	uint32_t fallback, min, max;
} limit_rows[] = {
	{ "memory_mb", offsetof(PB(Limits), memory_mb), 256, 16, 1024 },
	{ "cpu_ms", offsetof(PB(Limits), cpu_ms), 60000, 100, 300000 },
	{ "output_kb", offsetof(PB(Limits), output_kb), 4096, 1, 4096 },
	{ "result_kb", offsetof(PB(Limits), result_kb), 1024, 1, 1024 },
	{ "files", offsetof(PB(Limits), files), 128, 16, 256 },
	{ "threads", offsetof(PB(Limits), threads), 16, 1, 64 },
	{ "scratch_mb", offsetof(PB(Limits), scratch_mb), 16, 1, 64 },
};

static size_t count_signs(ProtobufCBinaryData text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += (text.data[i] & 0xc0) != 0x80;
	return n;
}

int check_text(const char *field, ProtobufCBinaryData text, size_t max, struct err *err)
{
	if (text.len == 0)
		return 0;
	/* PostgreSQL keeps no NUL in text, and people could not see one. */
	if (!text_is_utf8(text.data, text.len) || memchr(text.data, 0, text.len))
		return err_set_field(err, ERR_INVALID, field, NULL, "%s is not valid text", field);
	if (count_signs(text) > max)
		return err_set_field(err, ERR_INVALID, field, NULL,
				     "%s is longer than %zu characters", field, max);
	return 0;
}

int check_reason(const char *field, ProtobufCBinaryData text, struct err *err)
{
	if (text.len == 0)
		return err_set_field(err, ERR_INVALID, field, NULL, "a %s is needed", field);
	return check_text(field, text, TEXT_MAX, err);
}

int check_code(const char *field, ProtobufCBinaryData code, struct err *err)
{
	if (code.len == 0)
		return err_set_field(err, ERR_INVALID, field, NULL, "%s is missing", field);
	return check_text(field, code, CODE_MAX, err);
}

int check_timeout(const char *field, uint32_t ms, struct err *err)
{
	if (ms >= TIMEOUT_MIN_MS && ms <= TIMEOUT_MAX_MS)
		return 0;
	return err_set_field(err, ERR_INVALID, field, NULL, "%s must be from %d to %d", field,
			     TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
}

int check_object(const char *field, ProtobufCBinaryData json, bool is_schema, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const char *type;

	if (json.len == 0)
		return 0;
	if (json.len > SCHEMA_MAX)
		return err_set_field(err, ERR_INVALID, field, NULL, "%s is larger than %d bytes",
				     field, SCHEMA_MAX);
	if (json_load(json.data, json.len, &tree, NULL) < 0 || !json_is_object(tree))
		return err_set_field(err, ERR_INVALID, field, NULL, "%s must be a JSON object",
				     field);
	type = json_string_value(json_object_get(tree, "type"));
	if (is_schema && (!type || strcmp(type, "object") != 0))
		return err_set_field(err, ERR_INVALID, field, NULL,
				     "%s must be a JSON Schema with \"type\": \"object\"", field);
	return 0;
}

static const struct limit_row *find_limit(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(limit_rows); i++)
		if (strcmp(limit_rows[i].name, name) == 0)
			return &limit_rows[i];
	return NULL;
}

static int check_limit(const char *name, const json_t *value, struct err *err)
{
	const struct limit_row *row = find_limit(name);

	if (!row)
		return err_set_field(err, ERR_INVALID, "limits", NULL, "there is no limit '%s'",
				     name);
	if (json_is_integer(value) && json_integer_value(value) >= row->min &&
	    json_integer_value(value) <= row->max)
		return 0;
	return err_set_field(err, ERR_INVALID, "limits", NULL, "limit %s must be from %u to %u",
			     name, row->min, row->max);
}

int check_limits(ProtobufCBinaryData json, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const char *name;
	json_t *value;
	int r = check_object("limits", json, false, err);

	if (r < 0 || json.len == 0)
		return r;
	r = json_load(json.data, json.len, &tree, err);
	if (r != 0)
		return r;
	json_object_foreach(tree, name, value)
	{
		r = check_limit(name, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static json_t *load_limits(ProtobufCBinaryData json)
{
	json_t *tree = NULL;

	return json.len > 0 && json_load(json.data, json.len, &tree, NULL) == 0 ? tree : NULL;
}

static void set_limit(PB(Limits) * l, const struct limit_row *row, uint32_t value)
{
	memcpy((char *)l + row->offset, &value, sizeof(value));
}

static uint32_t get_limit(const PB(Limits) * l, const struct limit_row *row)
{
	uint32_t value;

	memcpy(&value, (const char *)l + row->offset, sizeof(value));
	return value;
}

void limits_read(ProtobufCBinaryData json, PB(Limits) * ret)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = load_limits(json);

	for (size_t i = 0; i < ARRAY_LEN(limit_rows); i++) {
		const json_t *given = json_object_get(tree, limit_rows[i].name);

		set_limit(ret, &limit_rows[i],
			  given ? (uint32_t)json_integer_value(given) : limit_rows[i].fallback);
	}
}

static void add_limit(struct buf *ret, const struct limit_row *row, uint32_t value)
{
	buf_printf(ret, "%s\"%s\":%u", ret->len ? "," : "{", row->name, value);
}

void limits_show(ProtobufCBinaryData json, struct buf *ret)
{
	PB(Limits) limits = MCPBOX__V1__LIMITS__INIT;

	limits_read(json, &limits);
	for (size_t i = 0; i < ARRAY_LEN(limit_rows); i++)
		add_limit(ret, &limit_rows[i], get_limit(&limits, &limit_rows[i]));
	buf_add_char(ret, '}');
}

void limits_merge(ProtobufCBinaryData old, ProtobufCBinaryData given, struct buf *ret)
{
	BOX_CLEANUP(json_decrefp) json_t *before = load_limits(old);
	BOX_CLEANUP(json_decrefp) json_t *now = load_limits(given);

	for (size_t i = 0; i < ARRAY_LEN(limit_rows); i++) {
		const json_t *value = json_object_get(now, limit_rows[i].name);

		if (!value)
			value = json_object_get(before, limit_rows[i].name);
		if (value)
			add_limit(ret, &limit_rows[i], (uint32_t)json_integer_value(value));
	}
	if (ret->len > 0)
		buf_add_char(ret, '}');
}
