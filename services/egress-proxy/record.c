#include "record.h"

#include <stdio.h>
#include <string.h>
#include "log.h"
#include "mem.h"

/* Enough to know the endpoint by; a tool chooses the rest of the 64 KiB that a head may have. */
#define PATH_RECORDED_MAX 256

/* Generated messages hold char *, though packing only reads. */
static char *pb_str(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

static void fill_result(PB(EgressRecord) * e, const struct fetch_result *r)
{
	e->status = r->status;
	e->bytes_out = r->bytes_out;
	e->bytes_in = r->bytes_in;
	e->ttfb_ms = r->ttfb_ms;
	e->address = pb_str(r->address);
}

static int append(struct spool *s, const struct record_facts *f, PB(Record__Kind) kind,
		  struct err *err)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(EgressRecord) e = MCPBOX__V1__EGRESS_RECORD__INIT;
	BOX_CLEANUP(mem_freep) char *path = target_path_redacted(&f->request->target);
	char number[24];

	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)f->request_no);
	record.kind = kind;
	record.call_id = f->call->open->call_id;
	record.egress = &e;
	e.tool_id = f->call->permit->tool_id;
	e.server_id = f->call->permit->server_id;
	e.version = f->call->permit->version;
	e.tool_name = f->call->open->tool_name;
	/* An unknown method is the tool's text, not one of ours. */
	e.method = pb_str(policy_method(f->request->method) ? f->request->method : "");
	e.host = pb_str(f->request->target.host.text);
	e.port = f->request->target.port;
	e.path = pb_text(path);
	if (e.path.len > PATH_RECORDED_MAX)
		e.path.len = PATH_RECORDED_MAX;
	e.decision = pb_str(f->is_denied ? "denied" : "allowed");
	e.rule = pb_str(f->rule);
	e.error = pb_text(f->error);
	e.mode = pb_str("forward");
	e.request_no = number;
	e.total_ms = f->total_ms;
	if (f->result)
		fill_result(&e, f->result);
	return spool_append(s, &record, err);
}

int record_started(struct spool *s, const struct record_facts *f, struct err *err)
{
	return append(s, f, MCPBOX__V1__RECORD__KIND__KIND_EGRESS_STARTED, err);
}

void record_ended(struct spool *s, const struct record_facts *f)
{
	struct err err = { 0 };

	if (append(s, f, MCPBOX__V1__RECORD__KIND__KIND_EGRESS, &err) < 0)
		log_error("egress.record_lost", F_UINT("request", f->request_no), F_ERR(&err));
}
