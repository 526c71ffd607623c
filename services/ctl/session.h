/*
 * The operator's session with the admin service: MCPBOX_TOKEN, else the pair of tokens that `login`
 * kept in <data>/ctl/token (0600).  An access token that has run out is renewed with the refresh
 * token, once.
 */
#pragma once

#include <jansson.h>
#include "attrs.h"
#include "buf.h"
#include "ctl.h"

/* As client_call, logged in.  path: without escaping what was escaped before. */
int session_call(const struct ctl *ctl, const char *method, const char *path, const json_t *body,
		 json_t **ret, struct err *err) BOX_MUST_CHECK;
/* As session_call: POST a file as it is; GET one. */
int session_send(const struct ctl *ctl, const char *path, const char *file, size_t len,
		 json_t **ret, struct err *err) BOX_MUST_CHECK;
int session_fetch(const struct ctl *ctl, const char *path, struct buf *ret,
		  struct err *err) BOX_MUST_CHECK;
/* All items of a paged list: path has its query but for page and page_size.  ret: an array. */
int session_list(const struct ctl *ctl, const char *path, json_t **ret,
		 struct err *err) BOX_MUST_CHECK;

/* Keep what /auth/login or /auth/refresh answered. */
int session_keep(const struct ctl *ctl, const json_t *tokens, struct err *err) BOX_MUST_CHECK;
void session_forget(const struct ctl *ctl);
/* The refresh token that is kept, heap; NULL when there is none. */
char *session_refresh_token(const struct ctl *ctl);
