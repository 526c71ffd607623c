/* Call ids that were seen, blobs by hash, layers, payloads. */
#include "test.h"
#include "blobs.h"
#include "calls.h"
#include "crypto.h"
#include "job.h"
#include "json.h"
#include "layers.h"
#include "mem.h"
#include "seen.h"

static void an_id_is_accepted_once(void **state)
{
	struct seen *s = seen_new();

	(void)state;
	assert_true(seen_accept(s, "a"));
	assert_false(seen_accept(s, "a"));
	assert_true(seen_accept(s, "b"));
	seen_free(s);
}

static void remembers_half_a_table_of_ids_at_least(void **state)
{
	struct seen *s = seen_new();
	char id[32];

	(void)state;
	for (unsigned i = 0; i < SEEN_ROOM + 10; i++) {
		(void)snprintf(id, sizeof(id), "call-%u", i);
		assert_true(seen_accept(s, id));
	}
	for (unsigned i = SEEN_ROOM / 2 + 10; i < SEEN_ROOM + 10; i++) {
		(void)snprintf(id, sizeof(id), "call-%u", i);
		assert_false(seen_accept(s, id));
	}
	seen_free(s);
}

static PB(Blob) blob_of(const char *text, size_t len, uint8_t hash[CRYPTO_HASH_SIZE])
{
	PB(Blob) b = MCPBOX__V1__BLOB__INIT;

	crypto_hash(text, len, hash);
	b.data = pb_bytes(text, len);
	b.hash = pb_bytes(hash, CRYPTO_HASH_SIZE);
	return b;
}

static void a_blob_is_known_by_its_own_hash_only(void **state)
{
	struct blobs *all = blobs_new(1000);
	uint8_t hash[CRYPTO_HASH_SIZE];
	PB(Blob) good = blob_of("hello", 5, hash), forged = good;
	struct blob *found;
	size_t len;

	(void)state;
	forged.data = pb_bytes("jello", 5);
	assert_int_equal(blobs_put(all, &forged, NULL), -ERR_INVALID);
	assert_null(blobs_get(all, good.hash));
	assert_int_equal(blobs_put(all, &good, NULL), 0);
	found = blobs_get(all, good.hash);
	assert_non_null(found);
	assert_memory_equal(blob_data(found, &len), "hello", 5);
	assert_int_equal(len, 5);
	assert_null(blobs_get(all, pb_bytes(hash, 5)));
	blob_unref(found);
	blobs_free(all);
}

static void the_least_recently_used_blob_goes_first(void **state)
{
	struct blobs *all = blobs_new(250);
	uint8_t hashes[3][CRYPTO_HASH_SIZE];
	char text[3][100];
	PB(Blob) blobs[3];
	struct blob *held;
	size_t len;

	(void)state;
	for (int i = 0; i < 3; i++) {
		memset(text[i], 'a' + i, sizeof(text[i]));
		blobs[i] = blob_of(text[i], sizeof(text[i]), hashes[i]);
	}
	assert_int_equal(blobs_put(all, &blobs[0], NULL), 0);
	assert_int_equal(blobs_put(all, &blobs[1], NULL), 0);
	held = blobs_get(all, blobs[0].hash); /* 1 is the oldest now */
	assert_int_equal(blobs_put(all, &blobs[2], NULL), 0);
	assert_null(blobs_get(all, blobs[1].hash));
	blob_unref(blobs_get(all, blobs[0].hash));
	blobs_free(all);
	assert_int_equal(blob_data(held, &len)[0], 'a'); /* a reference outlives the cache */
	blob_unref(held);
}

static void floor_names_the_missing_layer(void **state)
{
	struct wire_ready ready = { .layers = LAYER_SECCOMP | LAYER_LANDLOCK, .landlock_abi = 4 };
	struct layers reached = { .ready = &ready, .cgroup_reason = "no cgroup was handed over" };
	struct err err = { 0 };
	uint32_t floor = 0;

	(void)state;
	assert_int_equal(layers_parse("seccomp,landlock", &floor, &err), 0);
	assert_int_equal(layers_check(&reached, floor, &err), 0);
	assert_int_equal(layers_parse("seccomp,netns", &floor, &err), 0);
	assert_int_equal(layers_check(&reached, floor, &err), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "'netns'"));
	assert_int_equal(layers_parse("seccomp,walls", &floor, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "walls"));
	assert_int_equal(layers_parse("nofs", &floor, &err), 0);
	assert_int_equal(layers_check(&reached, floor, &err), 0); /* Landlock is more */
	ready.layers = LAYER_SECCOMP;
	assert_int_equal(layers_check(&reached, floor, &err), -ERR_UNSUPPORTED);
	ready.layers = LAYER_SECCOMP | LAYER_NOFS;
	assert_int_equal(layers_check(&reached, floor, &err), 0);
	assert_int_equal(layers_parse("cgroup", &floor, &err), 0);
	assert_int_equal(layers_check(&reached, floor, &err), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "no cgroup was handed over"));
	reached.cgroup_version = 1;
	assert_int_equal(layers_check(&reached, floor, &err), 0);
	assert_int_equal(layers_parse("", &floor, &err), 0);
	assert_int_equal(floor, 0);
}

static void layers_are_reported_by_name(void **state)
{
	struct wire_ready ready = { .layers = LAYER_SECCOMP | LAYER_LANDLOCK, .landlock_abi = 4 };
	struct layers reached = { .ready = &ready, .cgroup_reason = "" };
	struct buf b = BUF_INIT(8192);

	(void)state;
	layers_add_json(&reached, &b);
	assert_string_equal(buf_str(&b),
			    "{\"seccomp\":true,\"landlock\":4,\"userns\":false,\"pidns\":false,"
			    "\"mountns\":false,\"netns\":false,\"cgroup\":false}");
	buf_clear(&b);
	layers_add_missing_json(&reached, &b);
	assert_non_null(strstr(buf_str(&b), "\"netns\":\""));
	assert_null(strstr(buf_str(&b), "\"landlock\":"));
	ready.layers |= LAYER_NAMESPACES;
	reached.cgroup_version = 2;
	buf_clear(&b);
	layers_add_missing_json(&reached, &b);
	assert_string_equal(buf_str(&b), "{}");
	buf_clear(&b);
	layers_add_json(&reached, &b);
	assert_non_null(strstr(buf_str(&b), "\"cgroup\":2}"));
	buf_done(&b);
}

static void payload_is_one_json_object(void **state)
{
	static char module[] = "csv";
	char *modules[] = { module };
	struct job job = { .code = { "print(\"\\n\")\n", 12 },
			   .arguments = { "{\"a\":1}", 7 },
			   .modules = modules,
			   .module_count = 1,
			   .limits = { .result_kb = 7 } };
	struct buf b = BUF_INIT(1024);

	(void)state;
	assert_int_equal(job_add_payload(&job, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "{\"kind\":\"run\",\"code\":\"print(\\\"\\\\n\\\")\\n\","
					 "\"modules\":[\"csv\"],\"result_kb\":7}");
	buf_done(&b);
	job.code = (struct bytes){ "\xff", 1 };
	assert_int_equal(job_add_payload(&job, &b, NULL), -ERR_INVALID);
	buf_done(&b);
}

static void check_call(const struct job *job, const char *text)
{
	struct buf b = BUF_INIT(1024);
	uint8_t head[] = { (uint8_t)strlen(text), 0, 0, 0 };

	assert_int_equal(job_add_call(job, &b, NULL), 0);
	assert_int_equal(b.len, sizeof(head) + strlen(text));
	assert_memory_equal(b.data, head, sizeof(head));
	assert_string_equal((const char *)b.data + sizeof(head), text);
	buf_done(&b);
}

static void call_is_a_frame_with_the_arguments(void **state)
{
	struct job job = { .code = { "x", 1 }, .arguments = { "{\"a\":1}", 7 } };

	(void)state;
	check_call(&job, "{\"arguments\":{\"a\":1}}");
	job.arguments.len = 0;
	check_call(&job, "{\"arguments\":{}}");
	job.is_inspection = true;
	check_call(&job, "{\"arguments\":{\"code\":\"x\"}}");
	job.input_schema = (struct bytes){ "{\"type\":1}", 10 };
	check_call(&job, "{\"arguments\":{\"code\":\"x\",\"input_schema\":{\"type\":1}}}");
}

static void arguments_over_the_ceiling_are_refused(void **state)
{
	struct job job = { .arguments = { "{\"a\":1}", 7 } };
	struct buf b = BUF_INIT(16);

	(void)state;
	assert_int_equal(job_add_call(&job, &b, NULL), -ERR_TOO_LARGE);
	buf_done(&b);
}

static void a_share_leaves_room_for_others(void **state)
{
	static const struct {
		uint32_t capacity, percent, share;
	} rows[] = { { 24, 75, 18 }, { 24, 88, 21 }, { 3, 75, 2 },   { 2, 75, 1 },
		     { 2, 10, 1 },   { 1, 75, 0 },   { 24, 100, 0 }, { 256, 75, 192 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(calls_share(rows[i].capacity, rows[i].percent), rows[i].share);
}

static void code_that_names_http_or_asyncio_gets_the_worker_with_both(void **state)
{
	struct job job = { .code = { "await http.get(u)", 17 } };

	(void)state;
	assert_true(job_wants_http(&job));
	job.is_inspection = true;
	assert_false(job_wants_http(&job));
	job = (struct job){ .code = { "import asyncio", 14 } };
	assert_true(job_wants_http(&job));
	job = (struct job){ .code = { "return 1", 8 } };
	assert_false(job_wants_http(&job));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_is_accepted_once),
		cmocka_unit_test(remembers_half_a_table_of_ids_at_least),
		cmocka_unit_test(a_blob_is_known_by_its_own_hash_only),
		cmocka_unit_test(the_least_recently_used_blob_goes_first),
		cmocka_unit_test(floor_names_the_missing_layer),
		cmocka_unit_test(layers_are_reported_by_name),
		cmocka_unit_test(payload_is_one_json_object),
		cmocka_unit_test(call_is_a_frame_with_the_arguments),
		cmocka_unit_test(arguments_over_the_ceiling_are_refused),
		cmocka_unit_test(a_share_leaves_room_for_others),
		cmocka_unit_test(code_that_names_http_or_asyncio_gets_the_worker_with_both),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
