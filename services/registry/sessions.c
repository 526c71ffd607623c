/*
 * Sessions: opaque tokens of 32 random bytes, known to the database by their hash alone.  A refresh token
 * works once; one that comes again was stolen or lost on the way, and ends its session.
 */
#include <inttypes.h>
#include <string.h>
#include "id.h"
#include "mem.h"
#include "nouns.h"
#include "checks.h"
#include "users.h"
#include "parse.h"

enum {
	TOKEN_BYTES = 32,
	ACCESS_SECONDS = 15 * 60,
	REFRESH_SECONDS = 7 * 24 * 3600,
	FAILURES_MAX = 5,
	FAILURES_WINDOW_S = 60,
};

/* ---- tokens -------------------------------------------------------------------------------------- */

struct token {
	char *text; /* base64url without padding, in the arena */
	uint8_t hash[CRYPTO_HASH_SIZE];
};

static void hash_token(const void *text, size_t len, uint8_t ret[CRYPTO_HASH_SIZE])
{
	crypto_hash(text, len, ret);
}

static void new_token(struct work *w, struct token *ret)
{
	uint8_t random[TOKEN_BYTES];
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;

	crypto_random(random, sizeof(random));
	text = format_base64(random, sizeof(random));
	len = strcspn(text, "=");
	ret->text = arena_dup(&w->arena, text, len);
	for (char *c = ret->text; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	hash_token(ret->text, len, ret->hash);
	crypto_wipe(random, sizeof(random));
	crypto_wipe(text, strlen(text));
}

struct token_pair {
	struct token access, refresh;
};

static void new_pair(struct work *w, struct token_pair *pair, struct session *s)
{
	new_token(w, &pair->access);
	new_token(w, &pair->refresh);
	s->access_hash = (struct bytes){ pair->access.hash, CRYPTO_HASH_SIZE };
	s->refresh_hash = (struct bytes){ pair->refresh.hash, CRYPTO_HASH_SIZE };
	s->access_seconds = ACCESS_SECONDS;
	s->refresh_seconds = REFRESH_SECONDS;
}

static void answer_pair(struct work *w, const struct token_pair *pair)
{
	PB(LoginReply) reply = MCPBOX__V1__LOGIN_REPLY__INIT;
	char bearer[] = "bearer";

	reply.access_token = pair->access.text;
	reply.refresh_token = pair->refresh.text;
	reply.token_type = bearer;
	reply.expires_in = ACCESS_SECONDS;
	work_answer(w, &reply.base);
}

/* ---- login --------------------------------------------------------------------------------------- */

struct login {
	ROW(UserRow) * user; /* NULL: no such user */
	bool is_right;
};

/* Failures count against the name and against the address. */
static size_t subjects_of(struct work *w, const PB(LoginRequest) * in, const char *ret[2])
{
	ret[0] = arena_printf(&w->arena, "user:%s", in->username);
	ret[1] = arena_printf(&w->arena, "addr:%s", w->actor->remote);
	return w->actor->remote[0] ? 2 : 1;
}

static int check_locked(struct work *w, struct store_tx *tx, const PB(LoginRequest) * in,
			struct err *err)
{
	const char *subjects[2];
	size_t count = subjects_of(w, in, subjects);

	for (size_t i = 0; i < count; i++) {
		char hint[32];
		int64_t wait = 0;
		int r = store_login_wait(tx, subjects[i], FAILURES_MAX, FAILURES_WINDOW_S, &wait);

		if (r < 0)
			return r;
		if (wait <= 0)
			continue;
		(void)snprintf(hint, sizeof(hint), "retry_after=%" PRId64, wait);
		return err_set_field(err, ERR_RATE_LIMITED, NULL, hint,
				     "too many failed logins; try again in %" PRId64 " seconds",
				     wait);
	}
	return 0;
}

static int find_user(struct work *w, const PB(LoginRequest) * in, struct login *login,
		     struct err *err)
{
	struct store_tx *tx;
	int r = store_begin(w->reg->store, STORE_READ, &w->arena, &tx);

	if (r != 0)
		return r;
	r = check_locked(w, tx, in, err);
	if (r == 0)
		r = store_user_by_name(tx, in->username, &login->user);
	store_end(tx);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int auth_check_login(struct work *w, const void *message, struct err *err)
{
	const PB(LoginRequest) *in = message;
	struct login *login = arena_alloc(&w->arena, sizeof(*login));
	int r;

	if (in->username[0] == '\0' || in->password.len == 0)
		return err_set_field(err, ERR_INVALID, in->username[0] ? "password" : "username",
				     NULL, "username and password are required");
	r = find_user(w, in, login, err);
	if (r != 0)
		return r;
	/* The same work for a name that does not exist, so that time tells nothing. */
	if (login->user)
		login->is_right = crypto_password_matches(login->user->password_hash,
							  in->password.data, in->password.len) &&
				  login->user->is_active;
	else
		crypto_password_dummy(in->password.data, in->password.len);
	w->prepared = login;
	return 0;
}

static json_t *login_detail(const struct work *w, const PB(LoginRequest) * in)
{
	return json_pack("{s:s, s:s}", "username", in->username, "remote", w->actor->remote);
}

static int refuse_login(struct work *w, const PB(LoginRequest) * in, struct err *err)
{
	const char *subjects[2];
	size_t count = subjects_of(w, in, subjects);
	struct err locked = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = store_login_failed(w->tx, subjects[i]);
	if (r != 0)
		return r;
	work_audit(w, "auth.login", "user", in->username, "refused", login_detail(w, in));
	r = check_locked(w, w->tx, in, &locked);
	if (r == -ERR_RATE_LIMITED)
		work_audit(w, "auth.locked", "user", in->username, "ok", login_detail(w, in));
	else if (r < 0)
		return r;
	w->keep = true;
	return err_set(err, ERR_UNAUTHENTICATED, "wrong user name or password");
}

static int accept_login(struct work *w, const PB(LoginRequest) * in, const ROW(UserRow) * user)
{
	struct session s = { .user_id = user->id, .remote = w->actor->remote };
	struct token_pair pair;
	char id[ID_TEXT_SIZE];
	int r;

	id_new(id);
	s.id = id;
	new_pair(w, &pair, &s);
	r = store_session_create(w->tx, &s);
	if (r == 0)
		r = store_user_logged_in(w->tx, user->id);
	if (r == 0)
		r = store_login_forget(w->tx, arena_printf(&w->arena, "user:%s", in->username));
	if (r != 0)
		return r;
	work_audit(w, "auth.login", "user", in->username, "ok", login_detail(w, in));
	answer_pair(w, &pair);
	return 0;
}

int auth_login(struct work *w, const void *message, struct err *err)
{
	const PB(LoginRequest) *in = message;
	const struct login *login = w->prepared;
	int r;

	work_act_as(w, in->username);
	if (!login->is_right)
		return refuse_login(w, in, err);
	/* Guesses that ran beside each other may have filled the count meanwhile. */
	r = check_locked(w, w->tx, in, err);
	return r == 0 ? accept_login(w, in, login->user) : r;
}

/* ---- one's own password -------------------------------------------------------------------------- */

struct change {
	struct login *login;
	char *hash; /* of the new one */
};

static PB(LoginRequest) login_again(const struct work *w, ProtobufCBinaryData password)
{
	PB(LoginRequest) in = MCPBOX__V1__LOGIN_REQUEST__INIT;

	in.username = (char *)(uintptr_t)w->actor->author;
	in.password = password;
	return in;
}

/* Guessing the current one counts like guessing at the door. */
int auth_check_change(struct work *w, const void *message, struct err *err)
{
	const PB(ChangePasswordRequest) *in = message;
	PB(LoginRequest) again = login_again(w, in->current_password);
	struct change *change = arena_alloc(&w->arena, sizeof(*change));
	int r = user_check_password("new_password", in->new_password, err);

	if (r == 0 && in->current_password.len == 0)
		r = err_set_field(err, ERR_INVALID, "current_password", NULL,
				  "the current password is missing");
	if (r == 0)
		r = auth_check_login(w, &again, err);
	if (r == 0)
		r = user_hash(w, in->new_password, &change->hash, err);
	change->login = w->prepared;
	w->prepared = change;
	return r;
}

int auth_change_password(struct work *w, const void *message, struct err *err)
{
	const PB(ChangePasswordRequest) *in = message;
	const PB(LoginRequest) again = login_again(w, in->current_password);
	PB(ChangePasswordReply) reply = MCPBOX__V1__CHANGE_PASSWORD_REPLY__INIT;
	const struct change *change = w->prepared;
	int r;

	if (!change->login->is_right) {
		r = refuse_login(w, &again, err);
		return r == -ERR_UNAUTHENTICATED
			       ? err_set_field(err, ERR_STATE, "current_password", NULL,
					       "the current password is wrong")
			       : r;
	}
	r = store_user_change_password(w->tx, w->actor->user_id, change->hash,
				       w->actor->session_id);
	if (r != 0)
		return r;
	work_audit(w, "auth.password", "user", w->actor->user_id, "ok",
		   json_pack("{s:s}", "username", w->actor->author));
	reply.message = pb_text("The password is changed; your other sessions have ended.");
	work_answer(w, &reply.base);
	return 0;
}

/* ---- sessions, tokens, as their owners see them --------------------------------------------------- */

/* NULL: everybody's. */
static const char *whose(const struct work *w)
{
	return strcmp(w->actor->role, "admin") == 0 ? NULL : w->actor->user_id;
}

int session_list(struct work *w, const void *message, struct err *err)
{
	PB(ListSessionsReply) reply = MCPBOX__V1__LIST_SESSIONS_REPLY__INIT;
	int r = store_session_list(w->tx, whose(w), w->actor->session_id, &reply.items,
				   &reply.n_items);

	(void)message;
	(void)err;
	if (r != 0)
		return r;
	reply.total = (uint32_t)reply.n_items;
	work_answer(w, &reply.base);
	return 0;
}

static void answer_done(struct work *w, const char *text)
{
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;

	reply.success = true;
	reply.message = pb_text(text);
	work_answer(w, &reply.base);
}

int session_end(struct work *w, const void *message, struct err *err)
{
	const PB(EndSessionRequest) *in = message;
	int r = work_check_id(err, "session_id", in->session_id);

	if (r == 0)
		r = work_missing(err, store_session_end(w->tx, in->session_id, whose(w)), "session",
				 in->session_id);
	if (r != 0)
		return r;
	work_audit(w, "auth.logout", "session", in->session_id, "ok",
		   json_pack("{s:s}", "reason", "ended by hand"));
	answer_done(w, "The session is ended.");
	return 0;
}

int token_list(struct work *w, const void *message, struct err *err)
{
	PB(ListTokensReply) reply = MCPBOX__V1__LIST_TOKENS_REPLY__INIT;
	int r = store_token_list(w->tx, whose(w), &reply.items, &reply.n_items);

	(void)message;
	(void)err;
	if (r != 0)
		return r;
	reply.total = (uint32_t)reply.n_items;
	work_answer(w, &reply.base);
	return 0;
}

static int check_token(const struct work *w, const PB(CreateTokenRequest) * in, struct err *err)
{
	int r = check_text("name", in->name, 100, err);

	if (r == 0 && in->name.len == 0)
		r = err_set_field(err, ERR_INVALID, "name", NULL, "the token's name is missing");
	if (r == 0 && !right_is_scope(in->scope))
		r = err_set_field(err, ERR_INVALID, "scope", NULL,
				  "scope must be read, call, author or admin");
	if (r == 0 && in->expires_at_unix_ms && in->expires_at_unix_ms <= w->now_unix_ms)
		r = err_set_field(err, ERR_INVALID, "expires_at", NULL,
				  "expires_at must lie in the future");
	return r;
}

int token_create(struct work *w, const void *message, struct err *err)
{
	const PB(CreateTokenRequest) *in = message;
	PB(CreateTokenReply) reply = MCPBOX__V1__CREATE_TOKEN_REPLY__INIT;
	struct token token;
	char id[ID_TEXT_SIZE];
	int r = check_token(w, in, err);

	if (r != 0)
		return r;
	id_new(id);
	new_token(w, &token);
	/* The mark tells tokens from sessions, for us and for those who search for leaked ones. */
	token.text = arena_printf(&w->arena, API_TOKEN_MARK "%s", token.text);
	hash_token(token.text, strlen(token.text), token.hash);
	r = store_token_create(w->tx, w->actor->user_id, id,
			       (struct bytes){ token.hash, CRYPTO_HASH_SIZE }, in);
	if (r != 0)
		return r;
	work_audit(w, "token.created", "token", id, "ok",
		   json_pack("{s:s, s:s}", "name", work_text(w, in->name), "scope", in->scope));
	reply.id = arena_str(&w->arena, id);
	reply.name = in->name;
	reply.scope = in->scope;
	reply.expires_at_unix_ms = in->expires_at_unix_ms;
	reply.token = token.text;
	work_answer(w, &reply.base);
	return 0;
}

int token_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteTokenRequest) *in = message;
	int r = work_check_id(err, "token_id", in->token_id);

	if (r == 0)
		r = work_missing(err, store_token_delete(w->tx, in->token_id, whose(w)), "token",
				 in->token_id);
	if (r != 0)
		return r;
	work_audit(w, "token.deleted", "token", in->token_id, "ok", NULL);
	answer_done(w, "The token is deleted.");
	return 0;
}

int token_check(struct work *w, const void *message, struct err *err)
{
	PB(CheckTokenReply) reply = MCPBOX__V1__CHECK_TOKEN_REPLY__INIT;

	(void)message;
	if (!w->actor->token_id[0])
		return err_set(err, ERR_UNAUTHENTICATED, "no API token was presented");
	reply.token_id = (char *)(uintptr_t)w->actor->token_id;
	reply.username = (char *)(uintptr_t)w->actor->author;
	reply.may_call = w->actor->may_call;
	reply.expires_at_unix_ms = w->actor->expires_at_unix_ms;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- refresh, logout ----------------------------------------------------------------------------- */

static int refuse_refresh(struct work *w, struct bytes hash, struct err *err)
{
	ROW(SessionRow) * s;
	int r = store_session_by_used(w->tx, hash, &s);

	if (r == 0) {
		r = store_session_delete(w->tx, s->id);
		work_act_as(w, s->username);
		work_audit(w, "auth.logout", "user", s->username, "ok",
			   json_pack("{s:s, s:s}", "reason", "refresh token used twice", "remote",
				     w->actor->remote));
		w->keep = true;
	}
	if (r < 0 && r != -ERR_NOT_FOUND) {
		w->keep = false;
		return r;
	}
	return err_set(err, ERR_UNAUTHENTICATED,
		       "the refresh token is unknown, used or has ended: log in");
}

int auth_refresh(struct work *w, const void *message, struct err *err)
{
	const PB(RefreshRequest) *in = message;
	uint8_t hash[CRYPTO_HASH_SIZE];
	struct bytes key = { hash, sizeof(hash) };
	struct session s = { 0 };
	struct token_pair pair;
	ROW(SessionRow) * row;
	int r;

	hash_token(in->refresh_token.data, in->refresh_token.len, hash);
	r = store_session_by_refresh(w->tx, key, &row);
	if (r == -ERR_NOT_FOUND)
		return refuse_refresh(w, key, err);
	if (r != 0)
		return r;
	s.id = row->id;
	new_pair(w, &pair, &s);
	r = store_session_rotate(w->tx, &s);
	if (r == 0)
		answer_pair(w, &pair);
	return r;
}

static int end_session(struct work *w, const char *id)
{
	int r = store_session_delete(w->tx, id);

	return r == -ERR_NOT_FOUND ? 0 : r;
}

int auth_logout(struct work *w, const void *message, struct err *err)
{
	const PB(LogoutRequest) *in = message;
	PB(LogoutReply) reply = MCPBOX__V1__LOGOUT_REPLY__INIT;
	const char *who = w->actor->session_id[0] ? w->actor->name : NULL;
	uint8_t hash[CRYPTO_HASH_SIZE];
	ROW(SessionRow) * row;
	int r = w->actor->session_id[0] ? end_session(w, w->actor->session_id) : 0;

	(void)err;
	if (r == 0 && in->refresh_token.len) {
		hash_token(in->refresh_token.data, in->refresh_token.len, hash);
		r = store_session_by_refresh(w->tx, (struct bytes){ hash, sizeof(hash) }, &row);
		if (r == 0) {
			who = row->username;
			r = end_session(w, row->id);
		}
	}
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	if (who) {
		work_act_as(w, who);
		work_audit(w, "auth.logout", "user", who, "ok",
			   json_pack("{s:s}", "remote", w->actor->remote));
	}
	reply.message = pb_text("Logged out.");
	work_answer(w, &reply.base);
	return 0;
}
