#include <string.h>
#include <strings.h>
#include "mem.h"
#include "session.h"

/* RFC 6750 b64token, a subset of what a cookie value may hold. */
static bool is_token(const char *s, size_t len)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";

	if (len == 0 || len > SESSION_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!s[i] || !strchr(allowed, s[i]))
			return false;
	return true;
}

static void keep(struct session *s, const char *token, size_t len, bool is_cookie)
{
	memcpy(s->token, token, len);
	s->token[len] = 0;
	s->is_cookie = is_cookie;
}

static int read_bearer(const char *value, struct session *ret, struct err *err)
{
	static const char scheme[] = "Bearer ";
	const char *token = value + strlen(scheme);

	if (strncasecmp(value, scheme, strlen(scheme)) != 0 || !is_token(token, strlen(token)))
		return err_set(err, ERR_UNAUTHENTICATED,
			       "Authorization must be 'Bearer <access token>'");
	keep(ret, token, strlen(token), false);
	return 0;
}

/* "a=1; mcpbox_session=T; b=2" */
static void read_cookie(const char *header, struct session *ret)
{
	static const char name[] = SESSION_COOKIE "=";

	for (const char *p = header; *p;) {
		size_t len;

		p += strspn(p, "; ");
		len = strcspn(p, ";");
		if (strncmp(p, name, strlen(name)) == 0) {
			const char *value = p + strlen(name);
			size_t value_len = len - strlen(name);

			if (is_token(value, value_len))
				keep(ret, value, value_len, true);
			return;
		}
		p += len;
	}
}

int session_read(const char *authorization, const char *cookie, struct session *ret,
		 struct err *err)
{
	*ret = (struct session){ 0 };
	if (authorization)
		return read_bearer(authorization, ret, err);
	if (cookie)
		read_cookie(cookie, ret);
	return 0;
}

char *session_set_cookie(const char *token, unsigned max_age_s)
{
	/* Not `Secure`: the port speaks HTTP on loopback. */
	return mem_printf(SESSION_COOKIE "=%s; Path=/; Max-Age=%u; HttpOnly; SameSite=Strict",
			  token, max_age_s);
}
