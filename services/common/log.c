#include "log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "buf.h"
#include "clock.h"
#include "json.h"

#define LINE_MAX_BYTES (64 * 1024)
#define FIELD_MAX      1024

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"
};

/* Written once by log_open(), before threads. */
static struct {
	char service[32];
	char instance[64];
	enum log_level min;
} out = { .min = LOG_INFO };

void log_open(const char *service, const char *instance, enum log_level min)
{
	(void)snprintf(out.service, sizeof(out.service), "%s", service);
	(void)snprintf(out.instance, sizeof(out.instance), "%s", instance);
	out.min = min;
}

static void add_member(struct buf *line, const char *key, const char *value)
{
	size_t len = value ? strlen(value) : 0;

	json_add_string(line, key, strlen(key));
	buf_add_char(line, ':');
	if (value)
		json_add_string(line, value, len < FIELD_MAX ? len : FIELD_MAX);
	else
		buf_add_str(line, "null");
}

static void add_field(struct buf *line, const struct log_field *f)
{
	buf_add_char(line, ',');
	if (f->kind == LOG_FIELD_STR) {
		add_member(line, f->key, f->v.str);
		return;
	}
	json_add_string(line, f->key, strlen(f->key));
	if (f->kind == LOG_FIELD_INT)
		buf_printf(line, ":%lld", (long long)f->v.i);
	else if (f->kind == LOG_FIELD_UINT)
		buf_printf(line, ":%llu", (unsigned long long)f->v.u);
	else
		buf_add_str(line, f->v.u ? ":true" : ":false");
}

static void add_head(struct buf *line, enum log_level level, const char *event)
{
	char now[32];

	clock_format_iso(clock_unix_ms(), now);
	buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",", now, level_names[level]);
	add_member(line, "service", out.service);
	buf_add_char(line, ',');
	add_member(line, "instance", out.instance);
	buf_add_char(line, ',');
	add_member(line, "event", event);
}

/* One write, so that lines of several threads and processes do not mix. */
static void write_line(const struct buf *line)
{
	/* When stderr is gone there is nobody left to be told. */
	ssize_t written BOX_UNUSED = write(STDERR_FILENO, line->data, line->len);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES);

	if (level < out.min)
		return;
	add_head(&line, level, event);
	for (const struct log_field *f = fields; f->kind != LOG_FIELD_END; f++)
		add_field(&line, f);
	buf_add_str(&line, "}\n");
	if (!line.is_over)
		write_line(&line);
	buf_done(&line);
}
