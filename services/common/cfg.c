#include "cfg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "buf.h"
#include "crypto.h"
#include "err.h"
#include "json.h"
#include "mem.h"
#include "parse.h"
#include "secret.h"

#define VALUE_MAX (64u * 1024)

static const char *const kind_names[] = {
	[CFG_STRING] = "string", [CFG_SECRET] = "secret", [CFG_UINT] = "number",
	[CFG_MS] = "duration",   [CFG_SIZE] = "size",     [CFG_BOOL] = "boolean",
};

static bool is_within(const struct cfg_row *row, uint64_t v)
{
	return (row->min == 0 && row->max == 0) || (v >= row->min && v <= row->max);
}

static int set_string(const struct cfg_row *row, const char *value, void *field)
{
	if (!is_within(row, strlen(value)))
		return -ERR_INVALID;
	*(char **)field = mem_strdup(value);
	return 0;
}

static int set_secret(const struct cfg_row *row, const char *value, void *field)
{
	if (!is_within(row, strlen(value)))
		return -ERR_INVALID;
	*(struct secret **)field = secret_new(value, strlen(value));
	return 0;
}

static int set_u32(const struct cfg_row *row, uint64_t v, void *field)
{
	if (!is_within(row, v) || v > UINT32_MAX)
		return -ERR_INVALID;
	*(uint32_t *)field = (uint32_t)v;
	return 0;
}

static int set_uint(const struct cfg_row *row, const char *value, void *field)
{
	uint64_t v;

	return parse_u64(value, 0, UINT32_MAX, &v) < 0 ? -ERR_INVALID : set_u32(row, v, field);
}

static int set_ms(const struct cfg_row *row, const char *value, void *field)
{
	uint64_t v;

	return parse_duration_ms(value, &v) < 0 ? -ERR_INVALID : set_u32(row, v, field);
}

static int set_size(const struct cfg_row *row, const char *value, void *field)
{
	uint64_t v;

	if (parse_size(value, &v) < 0 || !is_within(row, v))
		return -ERR_INVALID;
	*(uint64_t *)field = v;
	return 0;
}

static int set_bool(const struct cfg_row *row, const char *value, void *field)
{
	(void)row;
	return parse_bool(value, field);
}

static int (*const setters[])(const struct cfg_row *row, const char *value, void *field) = {
	[CFG_STRING] = set_string, [CFG_SECRET] = set_secret, [CFG_UINT] = set_uint,
	[CFG_MS] = set_ms,         [CFG_SIZE] = set_size,     [CFG_BOOL] = set_bool,
};

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* Whole file, one newline at its end cut off.  False with errno set; a NUL inside is EINVAL. */
static bool read_file(const char *path, struct buf *ret)
{
	BOX_CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	do {
		uint8_t *room = buf_grow(ret, 4096);

		if (!room) {
			errno = EFBIG;
			return false;
		}
		n = read(fd, room, 4096);
		if (n > 0)
			ret->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return false;
	if (ret->len && ret->data[ret->len - 1] == '\n')
		ret->len--;
	errno = EINVAL;
	return strlen(buf_str(ret)) == ret->len;
}

static bool complain(const struct cfg_row *row, const char *what, const char *value)
{
	(void)fprintf(stderr, "%s: %s%s%s (%s", row->name, what, value ? ": " : "",
		      value ? value : "", kind_names[row->kind]);
	if (row->min || row->max)
		(void)fprintf(stderr, " %llu..%llu", (unsigned long long)row->min,
			      (unsigned long long)row->max);
	(void)fprintf(stderr, "; %s)\n", row->meaning);
	return false;
}

static bool load_value(const struct cfg_row *row, const char *value, void *into)
{
	if (setters[row->kind](row, value, (char *)into + row->offset) < 0)
		return complain(row, "bad value", row->kind == CFG_SECRET ? NULL : value);
	return true;
}

static bool load_from_file(const struct cfg_row *row, const char *path, void *into)
{
	struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(VALUE_MAX);

	if (env(row->name))
		return complain(row, "set directly and as a file", NULL);
	if (!read_file(path, &text))
		return complain(row, "file cannot be read", strerrordesc_np(errno));
	return load_value(row, buf_str(&text), into);
}

static bool load_row(const struct cfg_row *row, void *into)
{
	BOX_CLEANUP(mem_freep) char *file_name = mem_printf("%s_FILE", row->name);
	const char *path = row->flags & CFG_FILE_ALLOWED ? env(file_name) : NULL;
	const char *value = env(row->name);

	if (path)
		return load_from_file(row, path, into);
	if (!value)
		value = row->fallback;
	if (value)
		return load_value(row, value, into);
	return !(row->flags & CFG_REQUIRED) || complain(row, "must be set", NULL);
}

int cfg_load(const struct cfg_row *rows, size_t count, void *into)
{
	bool is_good = true;

	for (size_t i = 0; i < count; i++)
		is_good &= load_row(&rows[i], into);
	if (is_good)
		return 0;
	cfg_free(rows, count, into);
	return -ERR_INVALID;
}

void cfg_free(const struct cfg_row *rows, size_t count, void *from)
{
	for (size_t i = 0; i < count; i++) {
		void *field = (char *)from + rows[i].offset;

		if (rows[i].kind == CFG_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (rows[i].kind == CFG_SECRET) {
			secret_free(*(struct secret **)field);
			*(struct secret **)field = NULL;
		}
	}
}

static void print_value(const struct cfg_row *row, const void *field, FILE *out)
{
	switch (row->kind) {
	case CFG_STRING:
		(void)fputs(*(char *const *)field ? *(char *const *)field : "", out);
		return;
	case CFG_SECRET:
		(void)fputs(*(struct secret *const *)field ? "(set)" : "", out);
		return;
	case CFG_UINT:
	case CFG_MS:
		(void)fprintf(out, "%u", *(const uint32_t *)field);
		return;
	case CFG_SIZE:
		(void)fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)field);
		return;
	case CFG_BOOL:
		(void)fputs(*(const bool *)field ? "true" : "false", out);
		return;
	}
}

void cfg_print(const struct cfg_row *rows, size_t count, const void *from, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s\t", rows[i].name);
		print_value(&rows[i], (const char *)from + rows[i].offset, out);
		(void)fprintf(out, "\t%s\n", rows[i].meaning);
	}
}

static void add_text(struct buf *line, const char *key, const char *value)
{
	buf_printf(line, "\"%s\":", key);
	if (value)
		json_add_string(line, value, strlen(value));
	else
		buf_add_str(line, "null");
	buf_add_char(line, ',');
}

void cfg_print_table(const struct cfg_row *rows, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct cfg_row *row = &rows[i];
		struct buf line BOX_CLEANUP(buf_done) = BUF_INIT(VALUE_MAX);

		buf_add_char(&line, '{');
		add_text(&line, "name", row->name);
		add_text(&line, "kind", kind_names[row->kind]);
		add_text(&line, "default", row->fallback);
		add_text(&line, "meaning", row->meaning);
		buf_printf(&line, "\"min\":%llu,\"max\":%llu,", (unsigned long long)row->min,
			   (unsigned long long)row->max);
		buf_printf(&line, "\"required\":%s,\"secret\":%s,\"file\":%s,\"internal\":%s}\n",
			   row->flags & CFG_REQUIRED ? "true" : "false",
			   row->kind == CFG_SECRET ? "true" : "false",
			   row->flags & CFG_FILE_ALLOWED ? "true" : "false",
			   row->flags & CFG_INTERNAL ? "true" : "false");
		(void)fputs(buf_str(&line), out);
	}
}
