#include "files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "json_proto.h"
#include "mem.h"

/* "attachment" makes a browser keep it instead of showing it. */
static void name_file(struct call *call)
{
	char now[32], header[96];

	if (!strstr(call->route->pattern, "/download/"))
		return;
	clock_format_iso(clock_unix_ms(), now);
	(void)snprintf(header, sizeof(header), "attachment; filename=\"mcpbox-export-%.10s.json\"",
		       now);
	http_add_header(call->rq, "Content-Disposition", header);
}

int files_serve_export(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	const PB(ExportReply) * file;
	int r = api_read_request(call, &request, err);

	if (r == 0)
		r = api_ask(call, MSG_GET_EXPORT, request, &reply, err);
	if (r != 0)
		return r;
	file = (const PB(ExportReply) *)reply;
	buf_add(&call->body, file->file.data, file->file.len);
	name_file(call);
	return 0;
}

/* The body is the file; how to take it stands in the query. */
int files_serve_import(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	PB(ImportRequest) * file;
	size_t len;
	const void *body = http_body(call->rq, &len);
	int r = json_to_msg(api_request_type(call->route), NULL, 0, NULL, &request, err);

	if (r == 0)
		r = api_set_query(call, request, err);
	if (r != 0)
		return r;
	file = (PB(ImportRequest) *)request;
	if (file->file.len)
		return err_set_field(err, ERR_INVALID, "file", NULL, "the file is the body");
	free(file->file.data);
	file->file.data = mem_dup(body, len);
	file->file.len = len;
	r = api_ask(call, MSG_IMPORT, request, &reply, err);
	if (r == 0)
		view_write(call->route->view, reply, &call->body);
	return r;
}
