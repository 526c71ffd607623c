/*
 * HTTP to the admin service on loopback: the only user of libcurl here.  One thread.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"

struct client_request {
	uint16_t port;
	const char *method;
	const char *path;   /* "/api/servers?page=1", already escaped */
	const char *token;  /* bearer; NULL: none */
	const json_t *body; /* borrowed; NULL: none */
	const char *file;   /* a body as it is, in place of `body`; borrowed, NULL: none */
	size_t file_len;
};

/*
 * Ask and parse the answer.  ret: the caller's, json_null() for an empty answer.
 * An answer with a status of 400 and more comes back as its code and texts; no connection is
 * ERR_UNAVAILABLE.
 */
int client_call(const struct client_request *request, json_t **ret, struct err *err) BOX_MUST_CHECK;
/* As client_call, with the answer appended to ret as it came. */
int client_fetch(const struct client_request *request, struct buf *ret,
		 struct err *err) BOX_MUST_CHECK;
/* Append the JSON with every number that the JSON library cannot hold turned into a string. */
void client_tame_numbers(const char *json, struct buf *ret);
