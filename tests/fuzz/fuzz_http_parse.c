/* A target as it stands in a request line: path, '?', query. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "err.h"
#include "http_parse.h"
#include "mem.h"
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const patterns[] = { "/", "/api/tools/{id}", "/api/{a}/{b}/x", "/{rest...}" };

static void check_path(const char *raw)
{
	BOX_CLEANUP(mem_freep) char *path = NULL;

	if (http_parse_path(raw, &path) < 0)
		return;
	box_assert(path[0] == '/' && !strstr(path, "//") && !strstr(path, "/../"));
	box_assert(strlen(path) <= strlen(raw) && text_is_utf8(path, strlen(path)));
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		struct http_match m = { 0 };

		if (http_match_path(patterns[i], path, &m))
			http_match_done(&m);
	}
}

static void check_query(const char *raw)
{
	struct http_query q;

	if (http_parse_query(raw, &q) < 0)
		return;
	for (size_t i = 0; i < q.count; i++)
		box_assert(text_is_utf8(q.pairs[i].name, strlen(q.pairs[i].name)) &&
			   text_is_utf8(q.pairs[i].value, strlen(q.pairs[i].value)));
	http_query_done(&q);
}

static void check_framing(const char *text)
{
	const struct http_pair headers[] = { { "Host", "x" },
					     { "Content-Length", text },
					     { "Content-Type", text } };
	struct http_framing framing;

	if (http_judge_headers(headers, ARRAY_LEN(headers), &framing) == 0)
		box_assert(text[0] >= '0' && text[0] <= '9' && !framing.is_chunked);
	(void)http_type_is_json(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	BOX_CLEANUP(mem_freep) char *text = mem_strndup((const char *)data, len);
	char *query = strchr(text, '?');

	check_framing(text);
	if (query)
		*query++ = '\0';
	check_path(text);
	check_query(query);
	return 0;
}
