/*
 * From an HTTP request to a question on the bus and back, the same for every route.  What differs
 * between routes is their row in routes.c.
 */
#pragma once

#include <stdint.h>
#include "admin.h"
#include "buf.h"
#include "err.h"
#include "http_server.h"
#include "msg.h"
#include "session.h"
#include "view.h"

struct call;
/* Fills call->body (and, if not application/json, content_type).  Returns 0 or -code with err. */
typedef int api_serve(struct call *call, struct err *err);

enum {
	ROUTE_OPEN = 1, /* answers without a credential */
	ROUTE_LONG = 2, /* a tool runs meanwhile */
};

struct route {
	const char *method;
	const char *pattern; /* brace segments are named after the request's fields */
	size_t max_body;
	unsigned flags;
	api_serve *serve;
	uint16_t question; /* message to the registry; 0: serve asks no generic question */
	uint16_t then; /* whose answer is shown after success, asked by the id in the reply; 0: the
			  reply */
	int status;    /* of success */
	const struct view *view; /* NULL: the reply as it is */
	/* What is taken and answered, where that is not the question and its reply; NULL: it is. */
	const ProtobufCMessageDescriptor *request, *reply;
};

/* What a route takes: its path, query and body in one; NULL: it asks for nothing. */
const ProtobufCMessageDescriptor *api_request_type(const struct route *route);

struct call {
	struct admin *admin;
	struct http_request *rq;
	const struct route *route;
	struct session session;
	struct buf body;
	const char *content_type;
	int status;
	bool is_answered; /* as a stream; there is nothing to send any more */
};

/* The http_handler of every route: credential, CSRF, serve, answer, count.  arg: its struct route.
 */
void api_handle(struct http_request *rq, void *service, const void *arg);

/* The usual api_serve: path, query, body and If-Match -> question -> view. */
int api_serve_question(struct call *call, struct err *err);

/* Pieces of it, for routes with something of their own. */
int api_read_request(struct call *call, ProtobufCMessage **ret, struct err *err) BOX_MUST_CHECK;
/* Only what stands in the query. */
int api_set_query(struct call *call, ProtobufCMessage *m, struct err *err) BOX_MUST_CHECK;
/* Who presents the token (a session's person, an API token's owner, "": nobody); borrows both. */
void api_set_principal(PB(Principal) * p, const char *token, const char *remote);
int api_ask(struct call *call, uint16_t question, const ProtobufCMessage *request,
	    ProtobufCMessage **ret, struct err *err) BOX_MUST_CHECK;
