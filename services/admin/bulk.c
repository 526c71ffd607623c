#include "bulk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "json_proto.h"
#include "mem.h"

enum { IDS_MAX = 100, REVISION_SIZE = 24 };

/* A repeated field of the request, or none of it. */
struct column {
	size_t count;
	const void *items;
};

static struct column column_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	if (!f)
		return (struct column){ 0 };
	return (struct column){
		.count = *(const size_t *)((const char *)m + f->quantifier_offset),
		.items = *(const void *const *)((const char *)m + f->offset),
	};
}

static struct column column_named(const ProtobufCMessage *m, const char *name)
{
	return column_of(m, protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name));
}

/* What all items share, and what differs. */
struct bulk {
	struct column ids, revisions, content_hashes;
	const char *id_field; /* of the question */
	const char *action, *reason;
};

static int check_length(const char *name, struct column column, const struct bulk *b,
			struct err *err)
{
	if (column.count == 0 || column.count == b->ids.count)
		return 0;
	return err_set_field(err, ERR_INVALID, name, "give one for each id, or none",
			     "%zu ids and %zu %s were given", b->ids.count, column.count, name);
}

static int check(const struct bulk *b, const char *ids_field, struct err *err)
{
	bool is_reject = strcmp(b->action, "reject") == 0;
	int r;

	if (b->ids.count < 1 || b->ids.count > IDS_MAX)
		return err_set_field(err, ERR_INVALID, ids_field, NULL, "give 1 to %d ids",
				     IDS_MAX);
	if (!is_reject && strcmp(b->action, "approve") != 0)
		return err_set_field(err, ERR_INVALID, "action", NULL,
				     "action must be approve or reject");
	if (is_reject && !b->reason[0])
		return err_set_field(err, ERR_INVALID, "reason", NULL,
				     "a rejection needs a reason");
	r = check_length("revisions", b->revisions, b, err);
	return r == 0 ? check_length("content_hashes", b->content_hashes, b, err) : r;
}

static int make_question(const struct route *route, const struct bulk *b, size_t i,
			 ProtobufCMessage **ret, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	char revision[REVISION_SIZE];
	int r = json_to_msg(msg_row(route->question)->request, NULL, 0, NULL, &m, err);

	if (r == 0)
		r = json_set_from_text(m, b->id_field, ((char *const *)b->ids.items)[i], err);
	if (r == 0)
		r = json_set_from_text(m, "action", b->action, err);
	if (r == 0)
		r = json_set_from_text(m, "reason", b->reason, err);
	if (r == 0 && b->revisions.count) {
		(void)snprintf(revision, sizeof(revision), "%" PRId64,
			       ((const int64_t *)b->revisions.items)[i]);
		r = json_set_from_text(m, "revision", revision, err);
	}
	if (r == 0 && b->content_hashes.count)
		r = json_set_from_text(m, "content_hash",
				       ((char *const *)b->content_hashes.items)[i], err);
	if (r == 0)
		*ret = TAKE(m);
	return r;
}

static int decide(struct call *call, const struct bulk *b, size_t i, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *question = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r = make_question(call->route, b, i, &question, err);

	return r == 0 ? api_ask(call, call->route->question, question, &reply, err) : r;
}

/* Every further item would end the same way, and late. */
static bool ends_all(const struct err *why)
{
	static const enum err_code codes[] = { ERR_UNAUTHENTICATED, ERR_UNAVAILABLE, ERR_DEADLINE,
					       ERR_UNKNOWN_OUTCOME };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (why->code == codes[i])
			return true;
	return why->code == ERR_INVALID && strcmp(why->field, "reason") == 0;
}

static void note_failure(PB(BulkDecideReply) * reply, const char *id, const struct err *why)
{
	PB(BulkFailure) *f = mem_alloc(sizeof(*f));

	mcpbox__v1__bulk_failure__init(f);
	f->id = mem_strdup(id);
	f->error.data = mem_dup(why->text, strlen(why->text));
	f->error.len = strlen(why->text);
	f->code = mem_strdup(err_row(why->code)->name);
	reply->failed[reply->n_failed++] = f;
}

/* Returns 0, or the refusal that stands for all: nobody is logged in, or none of them may be decided by that person. */
static int decide_all(struct call *call, const struct bulk *b, PB(BulkDecideReply) * reply,
		      struct err *err)
{
	bool is_over = false, all_denied = true;

	for (size_t i = 0; i < b->ids.count; i++) {
		if (!is_over && decide(call, b, i, err) == 0) {
			reply->processed_count++;
			continue;
		}
		is_over = is_over || ends_all(err);
		all_denied = all_denied && err->code == ERR_DENIED;
		note_failure(reply, ((char *const *)b->ids.items)[i], err);
	}
	if (reply->processed_count == 0 && (is_over || all_denied))
		return -(int)err->code;
	reply->success = reply->n_failed == 0;
	return 0;
}

static void read_bulk(const struct route *route, const ProtobufCMessage *m, struct bulk *ret)
{
	const PB(BulkDecideRequest) *common = (const PB(BulkDecideRequest) *)m;

	/* The two requests begin alike. */
	*ret = (struct bulk){
		.ids = column_of(m, &m->descriptor->fields[0]),
		.revisions = column_named(m, "revisions"),
		.content_hashes = column_named(m, "content_hashes"),
		.id_field = msg_row(route->question)->request->fields[0].name,
		.action = common->action,
	};
}

int bulk_serve(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	BOX_CLEANUP(mem_freep) char *reason = NULL;
	PB(BulkDecideReply) * reply;
	struct bulk b;
	int r = api_read_request(call, &m, err);

	if (r != 0)
		return r;
	read_bulk(call->route, m, &b);
	reason = mem_strndup((const char *)((const PB(BulkDecideRequest) *)m)->reason.data,
			     ((const PB(BulkDecideRequest) *)m)->reason.len);
	b.reason = reason;
	r = check(&b, m->descriptor->fields[0].name, err);
	if (r != 0)
		return r;
	reply = mem_alloc(sizeof(*reply));
	mcpbox__v1__bulk_decide_reply__init(reply);
	reply->failed = mem_alloc_array(b.ids.count, sizeof(*reply->failed));
	r = decide_all(call, &b, reply, err);
	if (r == 0)
		msg_to_json(&reply->base, 0, &call->body);
	msg_free(&reply->base);
	return r;
}
