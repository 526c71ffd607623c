/* An import under way: what was read, what is to become of each server, what to tell. */
#pragma once

#include "import_read.h"
#include "work.h"

enum {
	IMPORT_TOOLS_MAX = 1000, /* of a server */
	IMPORT_ALL_MAX = 2000,   /* of a file: an executor looks at each */
	IMPORT_NOTES_MAX = 500,
};

/* Texts for people, in the arena; those beyond IMPORT_NOTES_MAX are counted only. */
struct notes {
	ProtobufCBinaryData *items;
	size_t count, lost;
};
void note_add(struct work *w, struct notes *n, const char *fmt, ...) BOX_PRINTF(3, 4);

struct plan_tool {
	const ROW(FileTool) * in;
	const ROW(FileVersion) * head;
	const char *name;
	const PB(InspectReply) * seen; /* what an executor says of the head's code */
};
struct plan_server {
	const ROW(FileServer) * in;
	const char *name; /* by our rules; it may yet get a suffix */
	uint8_t digest[CRYPTO_HASH_SIZE];
	struct plan_tool *tools; /* without those that have no code */
	size_t tool_count;
	const char *refused; /* why nothing of it is taken, or NULL */
};
struct plan {
	struct import_file file;
	struct plan_server *servers;
	size_t server_count;
	struct notes warnings;
};
struct made {
	uint32_t servers, tools, modules, hosts;
};

/* `raw` by our rules of names, in the arena; NULL when nothing of it is left.  kind: "server" or "tool". */
const char *import_name(struct arena *a, const char *kind, const char *raw);
/* The name with a suffix if there is a server of that name: x_imported, x_imported_2, ... */
int import_free_name(struct work *w, const char *name, const char **ret) BOX_MUST_CHECK;

/* What somebody would ask who made this tool by hand.  It borrows from t. */
void import_as_new(const struct plan_tool *t, PB(CreateToolRequest) * ret);
/* The server with all that is in it, within the transaction.  *ret_name: what it is called here. */
int import_make_server(struct work *w, struct plan *plan, const struct plan_server *s,
		       struct made *made, const char **ret_name, struct err *err) BOX_MUST_CHECK;
/* One of an administrator's own list of modules.  *ret_status: what became of it; "" when it is there already. */
int import_make_module(struct work *w, struct plan *plan, const ROW(FileModule) * in,
		       struct made *made, const char **ret_status) BOX_MUST_CHECK;
