#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include "buf.h"
#include "client.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"

#define ANSWER_MAX (32u * 1024 * 1024)
#define CONNECT_MS 3000L
#define TIMEOUT_MS 30000L

static void curl_donep(CURL **curl)
{
	curl_easy_cleanup(*curl);
}

static void slist_donep(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static size_t take_bytes(char *data, size_t size, size_t count, void *arg)
{
	struct buf *answer = arg;

	buf_add(answer, data, size * count);
	return answer->is_over ? 0 : size * count;
}

static int unreachable(const struct client_request *rq, struct err *err)
{
	return err_set_field(err, ERR_UNAVAILABLE, NULL, "is it running?  ./mcpbox up",
			     "the admin service does not answer on 127.0.0.1:%u",
			     (unsigned)rq->port);
}

static int perform(const struct client_request *rq, CURL *curl, const char *body,
		   struct buf *answer, long *ret_status, struct err *err)
{
	BOX_CLEANUP(mem_freep)
	char *url = mem_printf("http://127.0.0.1:%u%s", (unsigned)rq->port, rq->path);
	BOX_CLEANUP(mem_freep)
	char *authorization = rq->token ? mem_printf("Authorization: Bearer %s", rq->token) : NULL;
	BOX_CLEANUP(slist_donep) struct curl_slist *headers = NULL;

	headers = curl_slist_append(headers, "Content-Type: application/json");
	if (authorization)
		headers = curl_slist_append(headers, authorization);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	/* A proxy from the environment must not see the token. */
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, rq->method);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (body)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	if (curl_easy_perform(curl) != CURLE_OK)
		return unreachable(rq, err);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	return 0;
}

static enum err_code code_of(const char *name, long status)
{
	for (int code = ERR_OK + 1; name && code < ERR_CODE_COUNT; code++)
		if (strcmp(err_row((enum err_code)code)->name, name) == 0)
			return (enum err_code)code;
	return status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
}

static const char *text_of(const json_t *answer, const char *key)
{
	return json_string_value(json_object_get(answer, key));
}

static int refused(const json_t *answer, long status, struct err *err)
{
	const char *detail = text_of(answer, "detail");
	const char *field = text_of(answer, "field");
	const char *hint = text_of(answer, "hint");

	return err_set_field(err, code_of(text_of(answer, "code"), status), field, hint, "%s",
			     detail ? detail : "the admin service refused");
}

static int parse_answer(struct buf *answer, long status, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	struct err ignored = { 0 };

	if (answer->len == 0)
		tree = json_null();
	else if (json_load(answer->data, answer->len, &tree, &ignored) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the answer (%ld) is no JSON: %s", status,
			       ignored.text);
	if (status >= 400)
		return refused(tree, status, err);
	*ret = TAKE(tree);
	return 0;
}

int client_call(const struct client_request *request, json_t **ret, struct err *err)
{
	BOX_CLEANUP(curl_donep) CURL *curl = curl_easy_init();
	BOX_CLEANUP(mem_freep) char *body = NULL;
	struct buf answer = BUF_INIT(ANSWER_MAX);
	long status = 0;
	size_t len;
	int r;

	if (!curl)
		return err_set(err, ERR_INTERNAL, "libcurl does not start");
	if (request->body)
		body = json_dump(request->body, &len);
	r = perform(request, curl, body, &answer, &status, err);
	if (r == 0)
		r = parse_answer(&answer, status, ret, err);
	if (body)
		crypto_wipe(body, strlen(body)); /* may be a password */
	buf_done(&answer);
	return r;
}

char *client_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, (int)strlen(text));
	char *ret;

	box_assert(escaped);
	ret = mem_strdup(escaped);
	curl_free(escaped);
	return ret;
}
