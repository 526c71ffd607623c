#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "client.h"
#include "json.h"
#include "mem.h"
#include "session.h"

#define TOKEN_FILE_MAX 4096
#define PAGE_SIZE      100
#define PAGES_MAX      1000

static char *token_path(const struct ctl *ctl)
{
	return place_path(&ctl->place, "ctl/token");
}

/* A member of the token file, heap; NULL when there is none. */
static char *kept(const struct ctl *ctl, const char *key)
{
	BOX_CLEANUP(mem_freep) char *path = token_path(ctl);
	BOX_CLEANUP(mem_freep) char *text = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	struct err ignored = { 0 };
	const char *value;
	size_t len;

	if (place_read_file(path, TOKEN_FILE_MAX, &text, &len, &ignored) < 0 ||
	    json_load(text, len, &tree, &ignored) < 0)
		return NULL;
	value = json_string_value(json_object_get(tree, key));
	return value ? mem_strdup(value) : NULL;
}

char *session_refresh_token(const struct ctl *ctl)
{
	return kept(ctl, "refresh_token");
}

int session_keep(const struct ctl *ctl, const json_t *tokens, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *path = token_path(ctl);
	BOX_CLEANUP(json_decrefp)
	json_t *file =
		json_pack("{s:O, s:O}", "access_token", json_object_get(tokens, "access_token"),
			  "refresh_token", json_object_get(tokens, "refresh_token"));
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;

	if (!file)
		return err_set(err, ERR_UNAVAILABLE, "the admin service answered without tokens");
	text = json_dump(file, &len);
	return place_write_file(path, text, len, err);
}

void session_forget(const struct ctl *ctl)
{
	BOX_CLEANUP(mem_freep) char *path = token_path(ctl);

	(void)unlink(path);
}

static int refresh(const struct ctl *ctl, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *token = session_refresh_token(ctl);
	BOX_CLEANUP(json_decrefp) json_t *body = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tokens = NULL;
	struct client_request rq = {
		.port = ctl->place.admin_port,
		.method = "POST",
		.path = "/auth/refresh",
	};
	int r;

	if (!token)
		return -ERR_UNAUTHENTICATED;
	body = json_pack("{s:s}", "refresh_token", token);
	rq.body = body;
	r = client_call(&rq, &tokens, err);
	return r == 0 ? session_keep(ctl, tokens, err) : r;
}

/* Waits for its turn; the lock goes with the descriptor.  -1 where the directory cannot be written. */
static int lock_tokens(const struct ctl *ctl)
{
	BOX_CLEANUP(mem_freep) char *path = place_path(&ctl->place, "ctl/lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)flock(fd, LOCK_EX);
	return fd;
}

/*
 * Get a token in place of `old`.  One process at a time: a refresh token that comes twice looks stolen to the
 * registry, which then ends the whole session.
 */
static int renew(const struct ctl *ctl, const char *old, struct err *err)
{
	BOX_CLEANUP(fd_closep) int lock = lock_tokens(ctl);
	BOX_CLEANUP(mem_freep) char *present = kept(ctl, "access_token");

	if (lock >= 0 && present && strcmp(present, old) != 0)
		return 0; /* another process was faster */
	return refresh(ctl, err);
}

/* Nobody can log in before `setup`.  When it cannot be told, `login` will tell. */
static bool lacks_admin(const struct ctl *ctl)
{
	const struct client_request rq = {
		.port = ctl->place.admin_port,
		.method = "GET",
		.path = "/auth/status",
	};
	BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
	struct err ignored = { 0 };

	return client_call(&rq, &answer, &ignored) == 0 &&
	       json_is_true(json_object_get(answer, "setup_required"));
}

static int not_logged_in(const struct ctl *ctl, struct err *err)
{
	if (ctl->place.token)
		return err_set(err, ERR_UNAUTHENTICATED,
			       "MCPBOX_TOKEN is not, or no longer, valid");
	if (lacks_admin(ctl))
		return err_set_field(err, ERR_UNAUTHENTICATED, NULL, CTL_SELF " setup",
				     "this instance has no admin yet");
	return err_set_field(err, ERR_UNAUTHENTICATED, NULL, CTL_SELF " login", "not logged in");
}

static char *present_token(const struct ctl *ctl)
{
	return ctl->place.token ? mem_strdup(ctl->place.token) : kept(ctl, "access_token");
}

/* A question and where its answer goes: one of the two. */
struct exchange {
	struct client_request rq;
	json_t **ret;
	struct buf *ret_file;
};

static int call_as(const char *token, const struct exchange *x, struct err *err)
{
	struct client_request rq = x->rq;

	rq.token = token;
	return x->ret ? client_call(&rq, x->ret, err) : client_fetch(&rq, x->ret_file, err);
}

static int exchange(const struct ctl *ctl, struct exchange *x, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *token = present_token(ctl);
	BOX_CLEANUP(mem_freep) char *renewed = NULL;
	int r;

	x->rq.port = ctl->place.admin_port;
	if (!token)
		return not_logged_in(ctl, err);
	r = call_as(token, x, err);
	if (r == -ERR_UNAUTHENTICATED && !ctl->place.token) {
		r = renew(ctl, token, err);
		renewed = present_token(ctl);
		if (r == 0 && renewed)
			r = call_as(renewed, x, err);
	}
	return r == -ERR_UNAUTHENTICATED ? not_logged_in(ctl, err) : r;
}

int session_call(const struct ctl *ctl, const char *method, const char *path, const json_t *body,
		 json_t **ret, struct err *err)
{
	struct exchange x = { .rq = { .method = method, .path = path, .body = body }, .ret = ret };

	return exchange(ctl, &x, err);
}

int session_send(const struct ctl *ctl, const char *path, const char *file, size_t len,
		 json_t **ret, struct err *err)
{
	struct exchange x = {
		.rq = { .method = "POST", .path = path, .file = file, .file_len = len },
		.ret = ret,
	};

	return exchange(ctl, &x, err);
}

int session_fetch(const struct ctl *ctl, const char *path, struct buf *ret, struct err *err)
{
	struct exchange x = { .rq = { .method = "GET", .path = path }, .ret_file = ret };

	return exchange(ctl, &x, err);
}

int session_list(const struct ctl *ctl, const char *path, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *all = json_array();
	json_int_t pages = 1;

	for (json_int_t page = 1; page <= pages && page <= PAGES_MAX; page++) {
		BOX_CLEANUP(json_decrefp) json_t *answer = NULL;
		BOX_CLEANUP(mem_freep)
		char *full = mem_printf("%s%cpage=%lld&page_size=%d", path,
					strchr(path, '?') ? '&' : '?', (long long)page, PAGE_SIZE);
		int r = session_call(ctl, "GET", full, NULL, &answer, err);

		if (r < 0)
			return r;
		(void)json_array_extend(all, json_object_get(answer, "items"));
		pages = json_integer_value(json_object_get(answer, "pages"));
	}
	*ret = TAKE(all);
	return 0;
}
