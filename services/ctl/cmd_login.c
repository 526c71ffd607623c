/* setup, login, logout, user add, user passwd: passwords come from ask.h.
 */
#include <stdio.h>
#include <string.h>
#include "ask.h"
#include "client.h"
#include "crypto.h"
#include "ctl.h"
#include "json.h"
#include "mem.h"
#include "ops.h"
#include "print.h"
#include "session.h"

static int get_user(const struct ctl *ctl, char ret[ASK_MAX_BYTES], struct err *err)
{
	if (!ctl->options.user)
		return ask_line("User", "--user U --password-file F", true, ret, ASK_MAX_BYTES,
				err);
	if (snprintf(ret, ASK_MAX_BYTES, "%s", ctl->options.user) >= ASK_MAX_BYTES)
		return err_set(err, ERR_INVALID, "that user name is too long");
	return 0;
}

/* ---- commands ---- */

/* POST {username, password}; the password leaves memory afterwards. */
static int post_credentials(const struct ctl *ctl, const char *path, bool is_new,
			    char user[ASK_MAX_BYTES], json_t **ret, struct err *err)
{
	char password[ASK_MAX_BYTES];
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	struct client_request rq = { .port = ctl->place.admin_port,
				     .method = "POST",
				     .path = path };
	int r = get_user(ctl, user, err);

	if (r == 0)
		r = ask_password(ctl, is_new, password, err);
	if (r == 0) {
		body = json_pack("{s:s, s:s}", "username", user, "password", password);
		rq.body = body;
		r = body ? client_call(&rq, ret, err)
			 : err_set(err, ERR_INVALID, "user and password must be UTF-8");
	}
	crypto_wipe(password, sizeof(password));
	return r;
}

enum ctl_exit cmd_setup(struct ctl *ctl)
{
	char user[ASK_MAX_BYTES];
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };

	if (post_credentials(ctl, "/auth/setup", true, user, &answer, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, answer);
	else
		(void)printf("Made the first admin, %s.  Next: " CTL_SELF " login --user %s\n",
			     user, user);
	return CTL_DONE;
}

enum ctl_exit cmd_login(struct ctl *ctl)
{
	char user[ASK_MAX_BYTES];
	BOX_CLEANUP(json_decrefp) json_t *tokens = NULL;
	struct err err = { 0 };
	int r = post_credentials(ctl, "/auth/login", false, user, &tokens, &err);

	if (r == 0)
		r = session_keep(ctl, tokens, &err);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, tokens);
	else
		(void)printf("Logged in as %s.\n", user);
	return CTL_DONE;
}

enum ctl_exit cmd_logout(struct ctl *ctl)
{
	BOX_CLEANUP(mem_freep) char *token = session_refresh_token(ctl);
	BOX_CLEANUP(json_decrefp) json_t *body = json_object();
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err err = { 0 };
	int r;

	if (token)
		(void)json_object_set_new(body, "refresh_token", json_string(token));
	r = session_call(ctl, "POST", "/auth/logout", body, &answer, &err);
	session_forget(ctl);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, answer);
	else
		(void)puts("Logged out.");
	return CTL_DONE;
}

static int post_user(const struct ctl *ctl, json_t **ret, struct err *err)
{
	const char *role = ctl->options.role ? ctl->options.role : "viewer";
	char password[ASK_MAX_BYTES] = { 0 };
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	int r = ask_password(ctl, true, password, err);

	if (r == 0) {
		body = json_pack("{s:s, s:s, s:s}", "username", ctl->args[0], "password", password,
				 "role", role);
		r = body ? session_call(ctl, "POST", "/api/users", body, ret, err)
			 : err_set(err, ERR_INVALID, "user and password must be UTF-8");
	}
	crypto_wipe(password, sizeof(password));
	return r;
}

enum ctl_exit cmd_user_add(struct ctl *ctl)
{
	BOX_CLEANUP(json_decrefp) json_t *user = NULL;
	struct err err = { 0 };

	if (post_user(ctl, &user, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_json(stdout, user);
	else
		(void)printf("Made %s, %s.\n", ctl->args[0], print_member(user, "role", "?"));
	return CTL_DONE;
}

static int set_password(const struct ctl *ctl, const char *user, const char *password,
			ProtobufCMessage **ret, struct err *err)
{
	PB(SetPasswordRequest) rq = MCPBOX__V1__SET_PASSWORD_REQUEST__INIT;
	BOX_CLEANUP(ops_closep) struct ops *ops = NULL;
	int r = ops_open(ctl, NULL, &ops, err);

	rq.username = (char *)(uintptr_t)user;
	rq.password = pb_text(password);
	return r == 0 ? ops_ask(ops, MSG_SET_PASSWORD, &rq.base, ret, err) : r;
}

enum ctl_exit cmd_user_passwd(struct ctl *ctl)
{
	char password[ASK_MAX_BYTES] = { 0 };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err err = { 0 };
	int r = ask_password(ctl, true, password, &err);

	if (r == 0)
		r = set_password(ctl, ctl->args[0], password, &reply, &err);
	crypto_wipe(password, sizeof(password));
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (ctl->options.json)
		print_proto(stdout, reply);
	else
		(void)printf("Set the password of %s; that user is logged out everywhere.\n",
			     ctl->args[0]);
	return CTL_DONE;
}
