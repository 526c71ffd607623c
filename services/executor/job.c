#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "cleanup.h"
#include "json.h"
#include "parse.h"

static const struct job_limits defaults = {
	.timeout_ms = 30000,
	.memory_mb = 256,
	.output_kb = 4096,
	.result_kb = 1024,
	.files = 128,
	.threads = 64,
	.scratch_mb = 16,
};

static void complete(uint32_t *value, uint32_t fallback)
{
	if (*value == 0)
		*value = fallback;
}

void job_limits_complete(struct job_limits *l)
{
	complete(&l->timeout_ms, defaults.timeout_ms);
	complete(&l->memory_mb, defaults.memory_mb);
	complete(&l->cpu_ms, l->timeout_ms);
	complete(&l->output_kb, defaults.output_kb);
	complete(&l->result_kb, defaults.result_kb);
	complete(&l->files, defaults.files);
	complete(&l->threads, defaults.threads);
	complete(&l->scratch_mb, defaults.scratch_mb);
}

struct job_limits job_limits_of(const PB(ToolSpec) * spec)
{
	struct job_limits l = { .timeout_ms = spec->timeout_ms };

	if (spec->limits) {
		l.memory_mb = spec->limits->memory_mb;
		l.cpu_ms = spec->limits->cpu_ms;
		l.output_kb = spec->limits->output_kb;
		l.result_kb = spec->limits->result_kb;
		l.files = spec->limits->files;
		l.threads = spec->limits->threads;
		l.scratch_mb = spec->limits->scratch_mb;
	}
	job_limits_complete(&l);
	return l;
}

static bool names(const struct job *job, const char *text)
{
	return job->code.len > 0 &&
	       memmem(job->code.data, job->code.len, text, strlen(text)) != NULL;
}

bool job_wants_http(const struct job *job)
{
	/* httpx brings asyncio along, which would take as long to import as all of the rest */
	return !job->is_inspection && (names(job, "http.") || names(job, "asyncio"));
}

struct wire_tool job_wire(const struct job *job)
{
	const struct job_limits *l = &job->limits;

	return (struct wire_tool){ .flags = job->is_warm ? TOOL_WARM : 0,
				   .memory_mb = l->memory_mb,
				   .cpu_ms = l->cpu_ms,
				   .files = l->files,
				   .threads = l->threads,
				   .scratch_mb = l->scratch_mb };
}

static void add_json(struct buf *b, const char *key, struct bytes text)
{
	if (text.len > 0) {
		buf_printf(b, ",\"%s\":", key);
		buf_add(b, text.data, text.len);
	}
}

static void add_schemas(const struct job *job, struct buf *ret)
{
	add_json(ret, "input_schema", job->input_schema);
	add_json(ret, "output_schema", job->output_schema);
}

int job_add_payload(const struct job *job, struct buf *ret, struct err *err)
{
	struct bytes code = job->is_inspection ? (struct bytes){ "", 0 } : job->code;

	if (!text_is_utf8(code.data, code.len))
		return err_set(err, ERR_INVALID, "the code is not UTF-8");
	buf_printf(ret, "{\"kind\":\"%s\",\"code\":", job->is_inspection ? "inspect" : "run");
	json_add_string(ret, code.data, code.len);
	if (!job->is_inspection) /* which has them in its arguments */
		add_schemas(job, ret);
	buf_add_str(ret, ",\"modules\":[");
	for (size_t i = 0; i < job->module_count; i++) {
		if (i)
			buf_add_char(ret, ',');
		json_add_string(ret, job->modules[i], strlen(job->modules[i]));
	}
	buf_printf(ret, "],\"result_kb\":%u}", job->limits.result_kb);
	return ret->is_over ? err_set(err, ERR_TOO_LARGE, "the tool is too large") : 0;
}

static void add_arguments(const struct job *job, struct buf *ret)
{
	buf_add_str(ret, "{\"arguments\":");
	if (job->is_inspection) {
		buf_add_str(ret, "{\"code\":");
		json_add_string(ret, job->code.data, job->code.len);
		add_schemas(job, ret);
		buf_add_char(ret, '}');
	} else if (job->arguments.len > 0) {
		buf_add(ret, job->arguments.data, job->arguments.len);
	} else {
		buf_add_str(ret, "{}");
	}
	add_json(ret, "secrets", job->secrets);
	buf_add_char(ret, '}');
}

int job_add_call(const struct job *job, struct buf *ret, struct err *err)
{
	size_t start = ret->len;
	uint32_t len;

	if (job->is_inspection && !text_is_utf8(job->code.data, job->code.len))
		return err_set(err, ERR_INVALID, "the code is not UTF-8");
	/* The whole size at once: growing would leave copies of secrets in freed memory. */
	if (job->secrets.len > 0)
		(void)buf_grow(ret, job->arguments.len + job->secrets.len + 64);
	buf_add_u32le(ret, 0);
	add_arguments(job, ret);
	if (ret->is_over || ret->len - start - 4 > WIRE_CALL_MAX)
		return err_set(err, ERR_TOO_LARGE, "the arguments are too large");
	len = (uint32_t)(ret->len - start - 4);
	for (size_t i = 0; i < 4; i++)
		ret->data[start + i] = (uint8_t)(len >> (8 * i));
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int job_open_payload(const struct job *job, struct err *err)
{
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	BOX_CLEANUP(buf_done) struct buf b = BUF_INIT(WIRE_PAYLOAD_MAX);
	int r = job_add_payload(job, &b, err), fd;

	if (r < 0)
		return r;
	/* Memory, not a pipe: nobody has to stand by and write while a zygote reads.  Sealed: the
	 * next generation's zygote gets the same bytes. */
	fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || write_all(fd, b.data, b.len) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0) {
		fd_closep(&fd);
		return err_set(err, ERR_INTERNAL, "no memory for the tool's payload");
	}
	return fd;
}
