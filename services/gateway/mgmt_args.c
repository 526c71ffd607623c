#include "mgmt_args.h"

#include <string.h>
#include "jsonrpc.h"
#include "mem.h"

struct checking {
	const struct mgmt_param *params;
	bool is_given[MGMT_PARAMS_MAX];
};

/* What a value of each type begins with, and how it is called in a refusal. */
static const struct {
	const char *first;
	const char *text;
} types[] = {
	[MGMT_STRING] = { "\"", "text" },
	[MGMT_INTEGER] = { "-0123456789", "a number" },
	[MGMT_BOOLEAN] = { "tf", "true or false" },
	[MGMT_OBJECT] = { "{", "an object" },
	[MGMT_STRINGS] = { "[", "a list of texts" },
};

static int check_element(void *arg, struct json_span value, struct err *err)
{
	const struct mgmt_param *p = arg;

	if (value.at[0] == '"')
		return 0;
	return err_set_field(err, ERR_INVALID, p->name, NULL, "'%s' must be a list of texts",
			     p->name);
}

static int check_type(const struct mgmt_param *p, struct json_span value, struct err *err)
{
	if (!strchr(types[p->type].first, value.at[0]))
		return err_set_field(err, ERR_INVALID, p->name, NULL, "'%s' must be %s", p->name,
				     types[p->type].text);
	if (p->type != MGMT_STRINGS)
		return 0;
	return json_each_element(value.at, value.len, check_element, (void *)(uintptr_t)p, err);
}

static int unknown(struct json_span key, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *name = NULL;
	size_t len;

	if (json_span_string(key, &name, &len) < 0)
		return err_set(err, ERR_INVALID, "an argument's name holds a NUL");
	return err_set_field(err, ERR_INVALID, name, NULL, "unknown argument \"%s\"", name);
}

static int check_member(void *arg, struct json_span key, struct json_span value, struct err *err)
{
	struct checking *c = arg;

	for (size_t i = 0; c->params[i].name; i++) {
		if (!json_key_is(key, c->params[i].name))
			continue;
		if (value.at[0] == 'n')
			return 0;
		c->is_given[i] = !json_span_equals(value, "");
		return check_type(&c->params[i], value, err);
	}
	return unknown(key, err);
}

int mgmt_args_check(const struct mgmt_param *params, struct json_span arguments, struct err *err)
{
	struct checking c = { .params = params };
	int r = json_each_member(arguments.at, arguments.len, check_member, &c, err);

	for (size_t i = 0; r == 0 && params[i].name; i++)
		if (params[i].is_required && !c.is_given[i])
			r = err_set_field(err, ERR_INVALID, params[i].name, NULL,
					  "missing argument '%s'", params[i].name);
	return r;
}
