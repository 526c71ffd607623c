/* People: the first administrator, passwords, who one is. */
#include <ctype.h>
#include <string.h>
#include "checks.h"
#include "id.h"
#include "mem.h"
#include "nouns.h"
#include "users.h"

enum { NAME_MIN = 3, NAME_LEN_MAX = 50, PASSWORD_MIN = 12, PASSWORD_MAX = 128 };

int user_check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);
	bool ok = len >= NAME_MIN && len <= NAME_LEN_MAX && isascii(name[0]) &&
		  isalpha((unsigned char)name[0]);

	for (size_t i = 0; ok && i < len; i++)
		ok = isascii(name[i]) && (isalnum((unsigned char)name[i]) || name[i] == '_');
	if (ok)
		return 0;
	return err_set_field(
		err, ERR_INVALID, "username", NULL,
		"a user name has 3 to 50 letters, digits and underscores and begins with a letter");
}

int user_check_password(const char *field, ProtobufCBinaryData password, struct err *err)
{
	if (password.len >= PASSWORD_MIN && check_text(field, password, PASSWORD_MAX, err) == 0)
		return 0;
	return err_set_field(err, ERR_INVALID, field, NULL, "a password has 12 to 128 characters");
}

int user_hash(struct work *w, ProtobufCBinaryData password, char **ret, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *hash = NULL;

	if (crypto_password_hash(password.data, password.len, &hash) < 0)
		return err_set(err, ERR_UNAVAILABLE, "not enough memory to hash a password");
	*ret = arena_str(&w->arena, hash);
	return 0;
}

static int hash_password(struct work *w, ProtobufCBinaryData password, struct err *err)
{
	char *hash;
	int r = user_hash(w, password, &hash, err);

	if (r == 0)
		w->prepared = hash;
	return r;
}

static int count_users(struct work *w, int64_t *ret)
{
	struct store_tx *tx;
	int r = store_begin(w->reg->store, STORE_READ, &w->arena, &tx);

	if (r != 0)
		return r;
	r = store_user_count(tx, ret);
	store_end(tx);
	return r;
}

/* ---- set-up -------------------------------------------------------------------------------------- */

int auth_status(struct work *w, const void *message, struct err *err)
{
	PB(AuthStatusReply) reply = MCPBOX__V1__AUTH_STATUS_REPLY__INIT;
	char *onboarded = NULL;
	int64_t users = 0;
	int r = store_user_count(w->tx, &users);

	(void)message;
	(void)err;
	if (r == 0)
		r = store_setting_get(w->tx, "onboarding_completed", &onboarded);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	reply.setup_required = users == 0;
	reply.onboarding_completed = onboarded && strcmp(onboarded, "true") == 0;
	work_answer(w, &reply.base);
	return 0;
}

static int refuse_second(struct err *err)
{
	return err_set(err, ERR_EXISTS, "set-up is done: there is an administrator already");
}

int auth_hash_setup(struct work *w, const void *message, struct err *err)
{
	const PB(SetupRequest) *in = message;
	int64_t users = 0;
	int r = count_users(w, &users);

	/* Anyone may ask; nobody gets hashing for nothing. */
	if (r == 0 && users > 0)
		r = refuse_second(err);
	if (r == 0)
		r = user_check_name(in->username, err);
	if (r == 0)
		r = user_check_password("password", in->password, err);
	return r == 0 ? hash_password(w, in->password, err) : r;
}

int auth_setup(struct work *w, const void *message, struct err *err)
{
	const PB(SetupRequest) *in = message;
	PB(SetupReply) reply = MCPBOX__V1__SETUP_REPLY__INIT;
	ROW(UserRow) user = MCPBOX__ROWS__USER_ROW__INIT;
	char id[ID_TEXT_SIZE], admin[] = "admin";
	int64_t users = 0;
	int r = store_people_lock(w->tx); /* two at once: one becomes the administrator */

	if (r == 0)
		r = store_user_count(w->tx, &users);
	if (r == 0 && users > 0)
		r = refuse_second(err);
	if (r != 0)
		return r;
	id_new(id);
	user.id = id;
	user.username = in->username;
	user.password_hash = w->prepared;
	user.role = admin;
	r = store_user_create(w->tx, &user);
	if (r != 0)
		return r;
	work_act_as(w, in->username);
	work_audit(w, "auth.setup", "user", id, "ok",
		   json_pack("{s:s, s:s}", "username", in->username, "remote", w->actor->remote));
	reply.message = pb_text("The administrator is created; log in.");
	reply.username = in->username;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- oneself ------------------------------------------------------------------------------------- */

int auth_who_am_i(struct work *w, const void *message, struct err *err)
{
	PB(WhoAmIReply) * reply;
	int r = store_user_show(w->tx, w->actor->user_id, &reply);

	(void)message;
	if (r < 0)
		return work_missing(err, r, "user", w->actor->name);
	work_answer(w, &reply->base);
	return 0;
}

/* ---- the owner at the command line --------------------------------------------------------------- */

int auth_hash_password(struct work *w, const void *message, struct err *err)
{
	const PB(SetPasswordRequest) *in = message;
	int r = user_check_password("password", in->password, err);

	return r == 0 ? hash_password(w, in->password, err) : r;
}

int auth_set_password(struct work *w, const void *message, struct err *err)
{
	const PB(SetPasswordRequest) *in = message;
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	ROW(UserRow) * user;
	int r = store_user_by_name(w->tx, in->username, &user);

	if (r < 0)
		return work_missing(err, r, "user", in->username);
	r = store_user_set_password(w->tx, user->id, w->prepared);
	if (r != 0)
		return r;
	work_audit(w, "auth.password", "user", user->id, "ok",
		   json_pack("{s:s}", "username", user->username));
	reply.success = true;
	reply.message =
		work_say(w, "The password of '%s' is set; all sessions of that user have ended.",
			 user->username);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- accounts, as an administrator keeps them ----------------------------------------------------- */

static int check_role(const char *role, struct err *err)
{
	if (right_is_role(role))
		return 0;
	return err_set_field(err, ERR_INVALID, "role", NULL,
			     "role must be admin, reviewer, author or viewer");
}

static json_t *user_detail(const PB(User) * u)
{
	return json_pack("{s:s, s:s, s:b}", "username", u->username, "role", u->role, "is_active",
			 (int)u->is_active);
}

int user_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListUsersRequest) *in = message;
	PB(ListUsersReply) reply = MCPBOX__V1__LIST_USERS_REPLY__INIT;
	struct page page = work_page(in->page, in->page_size, 50);
	int64_t total = 0;
	int r = store_user_list(w->tx, page, &reply.items, &reply.n_items, &total);

	(void)err;
	if (r != 0)
		return r;
	WORK_FILL_PAGE(&reply, page, total);
	work_answer(w, &reply.base);
	return 0;
}

static int answer_user(struct work *w, const char *topic, const char *id)
{
	PB(UserReply) reply = MCPBOX__V1__USER_REPLY__INIT;
	int r = store_user_get(w->tx, id, false, &reply.user);

	if (r != 0)
		return r;
	work_audit(w, topic, "user", id, "ok", user_detail(reply.user));
	work_answer(w, &reply.base);
	return 0;
}

int user_hash_password(struct work *w, const void *message, struct err *err)
{
	const PB(CreateUserRequest) *in = message;
	int r = user_check_name(in->username, err);

	if (r == 0)
		r = check_role(in->role, err);
	if (r == 0)
		r = user_check_password("password", in->password, err);
	return r == 0 ? hash_password(w, in->password, err) : r;
}

int user_create(struct work *w, const void *message, struct err *err)
{
	const PB(CreateUserRequest) *in = message;
	ROW(UserRow) user = MCPBOX__ROWS__USER_ROW__INIT;
	char id[ID_TEXT_SIZE];
	int r;

	id_new(id);
	user.id = id;
	user.username = in->username;
	user.password_hash = w->prepared;
	user.role = in->role;
	r = store_user_create(w->tx, &user);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, "username", NULL,
				     "there is a user named '%s' already", in->username);
	return r == 0 ? answer_user(w, "user.created", id) : r;
}

static int load_user(struct work *w, const char *id, PB(User) * *ret, struct err *err)
{
	int r = work_check_id(err, "user_id", id);

	/* Who counts administrators does so alone. */
	if (r == 0)
		r = store_people_lock(w->tx);
	if (r != 0)
		return r;
	w->object_kind = "user";
	w->object_id = arena_str(&w->arena, id);
	r = store_user_get(w->tx, id, true, ret);
	return r < 0 ? work_missing(err, r, "user", id) : 0;
}

static int keep_an_admin(struct work *w, struct err *err)
{
	int64_t admins = 0;
	int r = store_active_admins(w->tx, &admins);

	if (r == 0 && admins == 0)
		r = err_set(err, ERR_STATE, "nobody would be left to administrate");
	return r;
}

int user_update(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateUserRequest) *in = message;
	PB(User) * u;
	int r = load_user(w, in->user_id, &u, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, u->revision,
					&u->base);
	if (r == 0 && !in->role_opt_case && !in->is_active_opt_case)
		r = err_set(err, ERR_INVALID, "no fields were given");
	if (r == 0 && in->role_opt_case)
		r = check_role(in->role, err);
	if (r != 0)
		return r;
	if (in->role_opt_case)
		u->role = in->role;
	if (in->is_active_opt_case)
		u->is_active = in->is_active;
	r = store_user_save(w->tx, u);
	if (r == 0)
		r = keep_an_admin(w, err);
	return r == 0 ? answer_user(w, "user.updated", u->id) : r;
}

int user_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteUserRequest) *in = message;
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	PB(User) * u;
	int r = load_user(w, in->user_id, &u, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, u->revision,
					&u->base);
	if (r == 0)
		r = store_user_delete(w->tx, u->id);
	if (r == 0)
		r = keep_an_admin(w, err);
	if (r != 0)
		return r;
	work_audit(w, "user.deleted", "user", u->id, "ok", user_detail(u));
	reply.success = true;
	reply.message =
		work_say(w, "The user '%s' is deleted, with all sessions and tokens.", u->username);
	work_answer(w, &reply.base);
	return 0;
}
