#include "layers.h"

#include <stdbool.h>
#include <string.h>
#include "host.h"
#include "json.h"

static const struct {
	const char *name;
	uint32_t bits; /* one of them is enough */
} rows[] = {
	{ "seccomp", LAYER_SECCOMP }, { "landlock", LAYER_LANDLOCK },
	{ "userns", LAYER_USERNS },   { "pidns", LAYER_PIDNS },
	{ "mountns", LAYER_MOUNTNS }, { "netns", LAYER_NETNS },
	{ "cgroup", LAYER_CGROUP },   { "nofs", LAYER_NOFS | LAYER_LANDLOCK },
};
#define LAYER_NAMES "seccomp landlock userns pidns mountns netns cgroup"
#define REPORTED    (ARRAY_LEN(rows) - 1) /* nofs shows only where it stands in for Landlock */

static int find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
			return (int)i;
	}
	return -1;
}

int layers_parse(const char *list, uint32_t *ret, struct err *err)
{
	uint32_t floor = 0;

	while (*list) {
		size_t len = strcspn(list, ",");
		int row = find(list, len);

		if (row < 0)
			return err_set(
				err, ERR_INVALID,
				"MCPBOX_SANDBOX_MIN: no layer '%.*s'; the layers are " LAYER_NAMES,
				(int)len, list);
		floor |= 1u << row;
		list += len;
		list += *list == ',';
	}
	*ret = floor;
	return 0;
}

static uint32_t bits_of(const struct layers *reached)
{
	return reached->ready->layers | (reached->cgroup_version ? LAYER_CGROUP : 0);
}

static const char *reason_of(const struct layers *reached, uint32_t bits)
{
	return bits == LAYER_CGROUP && reached->cgroup_reason[0] ? reached->cgroup_reason
								 : host_lacks("", bits);
}

int layers_check(const struct layers *reached, uint32_t floor, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if ((floor & (1u << i)) && !(bits_of(reached) & rows[i].bits))
			return err_set(
				err, ERR_UNSUPPORTED,
				"the sandbox layer '%s', which MCPBOX_SANDBOX_MIN demands, is "
				"missing: %s",
				rows[i].name, reason_of(reached, rows[i].bits));
	}
	return 0;
}

/* 0: it has none. */
static unsigned version_of(const struct layers *reached, uint32_t bits)
{
	return bits == LAYER_LANDLOCK ? reached->ready->landlock_abi
	       : bits == LAYER_CGROUP ? reached->cgroup_version
				      : 0;
}

void layers_add_json(const struct layers *reached, struct buf *ret)
{
	for (size_t i = 0; i < REPORTED; i++) {
		bool is_on = (bits_of(reached) & rows[i].bits) != 0;
		unsigned version = version_of(reached, rows[i].bits);

		buf_printf(ret, "%s\"%s\":", i ? "," : "{", rows[i].name);
		if (is_on && version > 0)
			buf_printf(ret, "%u", version);
		else
			buf_add_str(ret, is_on ? "true" : "false");
	}
	buf_add_str(ret, bits_of(reached) & LAYER_NOFS ? ",\"nofs\":true}" : "}");
}

void layers_add_missing_json(const struct layers *reached, struct buf *ret)
{
	const char *separator = "{";

	for (size_t i = 0; i < REPORTED; i++) {
		const char *text;

		if (bits_of(reached) & rows[i].bits)
			continue;
		text = reason_of(reached, rows[i].bits);
		buf_printf(ret, "%s\"%s\":", separator, rows[i].name);
		json_add_string(ret, text, strlen(text));
		separator = ",";
	}
	buf_add_str(ret, *separator == '{' ? "{}" : "}");
}
