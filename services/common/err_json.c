#include "err_json.h"

#include <string.h>
#include "json.h"

static void add_text(struct buf *ret, const char *key, const char *value)
{
	buf_printf(ret, ",\"%s\":", key);
	if (*value)
		json_add_string(ret, value, strlen(value));
	else
		buf_add_str(ret, "null");
}

void err_add_members(struct buf *ret, const struct err *err)
{
	buf_add_str(ret, "\"detail\":");
	json_add_string(ret, err->text, strlen(err->text));
	buf_printf(ret, ",\"code\":\"%s\"", err_row(err->code)->name);
	add_text(ret, "field", err->field);
	add_text(ret, "hint", err->hint);
	if (err->current_json)
		buf_printf(ret, ",\"current\":%s", err->current_json);
}

void err_add_problem(struct buf *ret, const struct err *err, int status)
{
	const struct err_row *row = err_row(err->code);

	buf_printf(ret, "{\"type\":\"urn:mcpbox:error:%s\",\"title\":\"%s\",\"status\":%d,",
		   row->name, row->meaning, status);
	err_add_members(ret, err);
	buf_add_char(ret, '}');
}
