#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "buf.h"
#include "client.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"

#define ANSWER_MAX (32u * 1024 * 1024)
#define CONNECT_MS 3000L
#define TIMEOUT_MS 90000L /* the longest answer is that of a test run */

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

/* Does the JSON library hold it?  Else a default of 10**30 in one tool's schema would hide all
 * others. */
static bool is_tame(const char *number)
{
	char *end;

	errno = 0;
	if (strpbrk(number, ".eE"))
		return !isinf(strtod(number, &end));
	return (strtoll(number, &end, 10), errno != ERANGE);
}

void client_tame_numbers(const char *json, struct buf *ret)
{
	static const char number_chars[] = "+-.0123456789eE";

	while (*json) {
		size_t len = strcspn(json, "\"-0123456789");
		BOX_CLEANUP(mem_freep) char *number = NULL;

		buf_add(ret, json, len);
		json += len;
		if (*json == '"') { /* a string, to its end */
			for (len = 1; json[len] && json[len] != '"'; len++)
				len += json[len] == '\\' && json[len + 1];
			len += json[len] == '"';
			buf_add(ret, json, len);
		} else {
			len = strspn(json, number_chars);
			number = mem_strndup(json, len);
			buf_printf(ret, is_tame(number) ? "%s" : "\"%s\"", number);
		}
		json += len;
	}
}

static int load_answer(struct buf *answer, json_t **ret, struct err *err)
{
	struct buf tame = BUF_INIT(2u * ANSWER_MAX);
	int r = json_load(answer->data, answer->len, ret, err);

	if (r < 0) {
		client_tame_numbers(buf_str(answer), &tame);
		r = json_load(tame.data, tame.len, ret, err);
	}
	buf_done(&tame);
	return r;
}

static int parse_answer(struct buf *answer, long status, json_t **ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	struct err ignored = { 0 };

	if (answer->len == 0)
		tree = json_null();
	else if (load_answer(answer, &tree, &ignored) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the answer (%ld) is no JSON: %s", status,
			       ignored.text);
	if (status >= 400)
		return refused(tree, status, err);
	*ret = TAKE(tree);
	return 0;
}

/* The answer and its status; 0 or as client_call. */
static int call(const struct client_request *request, struct buf *answer, long *ret_status,
		struct err *err)
{
	BOX_CLEANUP(curl_donep) CURL *curl = curl_easy_init();
	BOX_CLEANUP(mem_freep) char *body = NULL;
	size_t len = request->file_len;
	int r;

	if (!curl)
		return err_set(err, ERR_INTERNAL, "libcurl does not start");
	if (request->body)
		body = json_dump(request->body, &len);
	if (body || request->file)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)len);
	r = perform(request, curl, body ? body : request->file, answer, ret_status, err);
	if (body)
		crypto_wipe(body, strlen(body)); /* may be a password */
	return r;
}

int client_call(const struct client_request *request, json_t **ret, struct err *err)
{
	struct buf answer BOX_CLEANUP(buf_done) = BUF_INIT(ANSWER_MAX);
	long status = 0;
	int r = call(request, &answer, &status, err);

	return r == 0 ? parse_answer(&answer, status, ret, err) : r;
}

int client_fetch(const struct client_request *request, struct buf *ret, struct err *err)
{
	struct buf answer BOX_CLEANUP(buf_done) = BUF_INIT(ANSWER_MAX);
	BOX_CLEANUP(json_decrefp) json_t *refusal = NULL;
	long status = 0;
	int r = call(request, &answer, &status, err);

	if (r == 0 && status >= 400)
		r = parse_answer(&answer, status, &refusal, err);
	if (r == 0)
		buf_add(ret, answer.data, answer.len);
	return r;
}
