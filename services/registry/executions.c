/* Logs of calls, as people and authors read them; records.c writes them. */
#include <string.h>
#include "buf.h"
#include "checks.h"
#include "json.h"
#include "nouns.h"
#include "tools.h"

enum { LOGS_DEFAULT = 10, LOGS_MAX = 50, JSON_MAX = 1024 * 1024 };

/* What was cut on its way here is no JSON any more; then it is shown as text. */
static void make_json(struct work *w, ProtobufCBinaryData *json)
{
	struct buf b = BUF_INIT(JSON_MAX);

	if (json->len == 0 || json_scan(json->data, json->len, NULL) == 0)
		return;
	json_add_string(&b, json->data, json->len);
	*json = pb_bytes(arena_dup(&w->arena, b.data, b.len), b.len);
	buf_done(&b);
}

int execution_logs(struct work *w, const void *message, struct err *err)
{
	const PB(GetToolLogsRequest) *in = message;
	PB(GetToolLogsReply) reply = MCPBOX__V1__GET_TOOL_LOGS_REPLY__INIT;
	uint32_t limit = in->limit ? in->limit : LOGS_DEFAULT;
	int64_t total = 0;
	PB(Tool) * t;
	int r = tool_load(w, in->tool_id, false, &t, err);

	if (r == 0)
		r = store_tool_logs(w->tx, t->id, limit < LOGS_MAX ? limit : LOGS_MAX, &reply.logs,
				    &reply.n_logs, &total);
	if (r != 0)
		return r;
	for (size_t i = 0; i < reply.n_logs; i++) {
		make_json(w, &reply.logs[i]->input_args_json);
		make_json(w, &reply.logs[i]->result_json);
	}
	reply.tool_id = t->id;
	reply.tool_name = t->name;
	reply.total = (uint32_t)total;
	work_answer(w, &reply.base);
	return 0;
}

static void show(struct work *w, PB(Execution) * e)
{
	make_json(w, &e->input_args_json);
	make_json(w, &e->result_json);
}

int execution_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListExecutionsRequest) *in = message;
	PB(ListExecutionsReply) reply = MCPBOX__V1__LIST_EXECUTIONS_REPLY__INIT;
	struct page page = work_page(in->page, in->page_size, 20);
	int64_t total = 0;
	int r = check_text("tool_name", in->tool_name, 255, err);

	if (r == 0)
		r = check_text("executed_by", in->executed_by, 255, err);
	if (r == 0)
		r = store_execution_list(w->tx, in, page, &reply.items, &reply.n_items, &total);
	if (r != 0)
		return r;
	for (size_t i = 0; i < reply.n_items; i++)
		show(w, reply.items[i]);
	WORK_FILL_PAGE(&reply, page, total);
	work_answer(w, &reply.base);
	return 0;
}

int execution_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetExecutionRequest) *in = message;
	PB(Execution) * e;
	int r = store_execution_get(w->tx, in->log_id, &e);

	if (r < 0)
		return work_missing(err, r, "log", in->log_id);
	show(w, e);
	work_answer(w, &e->base);
	return 0;
}
