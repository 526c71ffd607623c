#include "canon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "err.h"

enum { CANON_MAX = 16 * 1024 * 1024 };

static void add(struct buf *b, const void *data, size_t len)
{
	buf_add_u32le(b, (uint32_t)len);
	buf_add(b, data, len);
}

void canon_text(struct buf *b, const char *s)
{
	add(b, s, strlen(s));
}

void canon_bytes(struct buf *b, ProtobufCBinaryData bytes)
{
	add(b, bytes.data, bytes.len);
}

void canon_int(struct buf *b, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	canon_text(b, text);
}

static void finish(struct buf *b, uint8_t ret[CRYPTO_HASH_SIZE])
{
	if (b->is_over)
		box_bug("canonical form over %d bytes", CANON_MAX);
	crypto_hash(b->data, b->len, ret);
	buf_done(b);
}

void canon_audit_hash(const PB(AuditEvent) * e, uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct buf b = BUF_INIT(CANON_MAX);

	canon_text(&b, "mcpbox audit 1");
	canon_bytes(&b, e->prev_hash);
	canon_int(&b, (int64_t)e->seq);
	canon_int(&b, e->at_unix_ms);
	canon_text(&b, e->topic);
	canon_text(&b, e->actor);
	canon_text(&b, e->via);
	canon_text(&b, e->object_kind);
	canon_text(&b, e->object_id);
	canon_text(&b, e->outcome);
	canon_bytes(&b, e->detail_json);
	finish(&b, ret);
}

void canon_content_hash(const ROW(VersionRow) * v, uint8_t ret[CRYPTO_HASH_SIZE])
{
	struct buf b = BUF_INIT(CANON_MAX);

	canon_text(&b, "mcpbox content 1");
	canon_text(&b, v->name);
	canon_bytes(&b, v->description);
	canon_bytes(&b, v->title);
	canon_bytes(&b, v->python_code);
	canon_bytes(&b, v->input_schema);
	canon_bytes(&b, v->output_schema);
	canon_bytes(&b, v->annotations);
	canon_int(&b, v->timeout_ms);
	canon_bytes(&b, v->limits);
	for (size_t i = 0; i < v->n_code_dependencies; i++)
		canon_text(&b, v->code_dependencies[i]);
	finish(&b, ret);
}

void canon_call_start(struct buf *b, const ROW(ExecutionRow) * e)
{
	canon_text(b, "call 1");
	canon_int(b, (int64_t)e->start_no);
	canon_int(b, e->started_at_unix_ms);
	canon_text(b, e->call_id);
	canon_text(b, e->tool_id);
	canon_text(b, e->server_id);
	canon_text(b, e->tool_name);
	canon_int(b, e->version);
	canon_int(b, e->is_test);
	canon_text(b, e->executed_by);
	canon_text(b, e->via);
	canon_bytes(b, e->input_args);
}

void canon_call_end(struct buf *b, const ROW(ExecutionRow) * e)
{
	canon_text(b, "end 1");
	canon_int(b, (int64_t)e->end_no);
	canon_int(b, e->ended_at_unix_ms);
	canon_text(b, e->call_id);
	canon_text(b, e->executor);
	canon_text(b, e->outcome);
	canon_bytes(b, e->error);
	canon_bytes(b, e->result);
	canon_bytes(b, e->stdout);
	canon_int(b, e->duration_ms);
	canon_int(b, e->cpu_ms);
	canon_int(b, e->memory_kb);
}

void canon_egress(struct buf *b, const ROW(EgressRow) * e)
{
	canon_text(b, "egress 1");
	canon_int(b, (int64_t)e->no);
	canon_int(b, e->at_unix_ms);
	canon_text(b, e->stage);
	canon_text(b, e->call_id);
	canon_text(b, e->request_no);
	canon_text(b, e->tool_id);
	canon_text(b, e->server_id);
	canon_text(b, e->tool_name);
	canon_int(b, e->version);
	canon_text(b, e->method);
	canon_text(b, e->host);
	canon_int(b, e->port);
	canon_bytes(b, e->path);
	canon_int(b, e->status);
	canon_int(b, e->bytes_out);
	canon_int(b, e->bytes_in);
	canon_int(b, e->ttfb_ms);
	canon_int(b, e->total_ms);
	canon_text(b, e->decision);
	canon_text(b, e->rule);
	canon_bytes(b, e->error);
	canon_text(b, e->address);
	canon_text(b, e->mode);
}
