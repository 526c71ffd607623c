#include "csrf.h"
#include "json_proto.h"
#include "login.h"
#include "mem.h"

static void set_cookie(struct call *call, const char *token, uint32_t max_age_s)
{
	BOX_CLEANUP(mem_freep) char *cookie = session_set_cookie(token, max_age_s);

	http_add_header(call->rq, "Set-Cookie", cookie);
}

void login_forget_cookie(struct call *call)
{
	set_cookie(call, "", 0);
}

static int read_and_ask(struct call *call, ProtobufCMessage **ret, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	int r = api_read_request(call, &request, err);

	return r == 0 ? api_ask(call, call->route->question, request, ret, err) : r;
}

int login_serve_tokens(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	const PB(LoginReply) * tokens;
	int r = read_and_ask(call, &reply, err);

	if (r != 0)
		return r;
	tokens = (const PB(LoginReply) *)reply;
	set_cookie(call, tokens->access_token, tokens->expires_in);
	msg_to_json(reply, 0, &call->body);
	return 0;
}

int login_serve_logout(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r = read_and_ask(call, &reply, err);

	if (r != 0)
		return r;
	login_forget_cookie(call);
	msg_to_json(reply, 0, &call->body);
	return 0;
}

int login_serve_me(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	PB(WhoAmIReply) * me;
	char token[CSRF_TEXT_SIZE], *csrf_given;
	int r = read_and_ask(call, &reply, err);

	if (r != 0)
		return r;
	csrf_token(call->session.token, token);
	me = (PB(WhoAmIReply) *)reply;
	csrf_given = me->csrf_token;
	me->csrf_token = token;
	msg_to_json(reply, 0, &call->body);
	me->csrf_token = csrf_given;
	return 0;
}
