/* The spool on disk (spool_journal.h): what a kill or a power cut leaves behind. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "crypto.h"
#include "mem.h"
#include "spool_journal.h"

static const struct journal_kinds kinds = { MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED,
					    MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED };
static char root[32];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/mcpbox-spool-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	BOX_CLEANUP(mem_freep) char *command = mem_printf("rm -rf %s", root);

	(void)state;
	return system(command);
}

static struct journal *create(const char *origin)
{
	struct journal *j = NULL;
	struct err err = { 0 };

	assert_int_equal(journal_create(root, origin, &kinds, &j, &err), 0);
	return j;
}

static struct journal *adopt(const char *origin)
{
	struct journal *j = NULL;
	struct err err = { 0 };

	assert_int_equal(journal_adopt(root, origin, &kinds, &j, &err), 0);
	return j;
}

static void append(struct journal *j, PB(Record__Kind) kind, const char *call_id, size_t padding)
{
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	BOX_CLEANUP(mem_freep) uint8_t *data = mem_alloc(padding + 1);
	struct err err = { 0 };

	memset(data, 'x', padding);
	call.tool_name = (char *)"tool";
	call.stdout = pb_bytes(data, padding);
	record.kind = kind;
	record.call_id = (char *)(uintptr_t)call_id;
	record.call = &call;
	assert_int_equal(journal_append(j, &record, &err), 0);
	assert_true(record.at_unix_ms > 0);
}

static void append_start(struct journal *j, const char *call_id)
{
	append(j, MCPBOX__V1__RECORD__KIND__KIND_CALL_STARTED, call_id, 10);
}

static void append_end(struct journal *j, const char *call_id)
{
	append(j, MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, call_id, 10);
}

static struct journal_batch read_batch(struct journal *j, size_t max_records, size_t max_bytes)
{
	struct journal_batch batch;

	assert_int_equal(journal_read(j, max_records, max_bytes, &batch), 0);
	return batch;
}

/* Reads and commits all; returns how many there were, checks that numbers have no gaps. */
static uint64_t drain(struct journal *j)
{
	uint64_t count = 0, last = 0;

	while (journal_pending(j) > 0) {
		struct journal_batch batch = read_batch(j, 7, 1 << 20);

		assert_true(batch.count > 0);
		for (size_t i = 0; i < batch.count; i++) {
			assert_true(last == 0 || batch.records[i]->no == last + 1);
			last = batch.records[i]->no;
		}
		count += batch.count;
		journal_commit(j, batch.last_no);
		journal_batch_done(&batch);
	}
	return count;
}

static size_t files_of(const char *origin)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s", root, origin);
	DIR *dir = opendir(path);
	size_t count = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		count += strstr(e->d_name, ".seg") != NULL;
	(void)closedir(dir);
	return count;
}

static void records_come_back_in_order_with_numbers(void **state)
{
	struct journal *j = create("a");
	struct journal_batch batch;

	(void)state;
	for (int i = 0; i < 20; i++)
		append_start(j, "c");
	assert_int_equal(journal_pending(j), 20);
	batch = read_batch(j, 5, 1 << 20);
	assert_int_equal(batch.count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(batch.records[i]->no, i + 1);
	journal_batch_done(&batch);
	/* Not committed: they come again. */
	assert_int_equal(drain(j), 20);
	assert_int_equal(journal_pending(j), 0);
	journal_free(j);
}

static void a_commit_in_the_middle_of_a_batch_goes_on_from_there(void **state)
{
	struct journal *j = create("a");
	struct journal_batch batch;

	(void)state;
	for (int i = 0; i < 10; i++)
		append_end(j, "c");
	batch = read_batch(j, 10, 1 << 20);
	journal_batch_done(&batch);
	journal_commit(j, 4);
	batch = read_batch(j, 10, 1 << 20);
	assert_int_equal(batch.records[0]->no, 5);
	assert_int_equal(batch.last_no, 10);
	journal_batch_done(&batch);
	journal_free(j);
}

static void a_batch_stays_below_its_bytes_but_is_never_empty(void **state)
{
	struct journal *j = create("a");
	struct journal_batch batch;

	(void)state;
	for (int i = 0; i < 4; i++)
		append(j, MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, "c", 1000);
	batch = read_batch(j, 100, 2500);
	assert_int_equal(batch.count, 2);
	journal_batch_done(&batch);
	batch = read_batch(j, 100, 10);
	assert_int_equal(batch.count, 1);
	journal_batch_done(&batch);
	journal_free(j);
}

static void segments_go_when_they_are_committed(void **state)
{
	struct journal *j = create("a");

	(void)state;
	for (int i = 0; i < 20; i++)
		append(j, MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, "c", 1 << 20);
	assert_int_equal(files_of("a"), 3);
	assert_true(journal_bytes(j) > 20 << 20);
	assert_int_equal(drain(j), 20);
	assert_int_equal(files_of("a"), 1);
	assert_true(journal_bytes(j) <= JOURNAL_SEGMENT_MAX);
	journal_free(j);
}

static void a_segment_stays_while_a_start_in_it_waits(void **state)
{
	struct journal *j = create("a");

	(void)state;
	append_start(j, "long");
	for (int i = 0; i < 10; i++)
		append(j, MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED, "c", 1 << 20);
	assert_int_equal(drain(j), 11);
	assert_int_equal(files_of("a"), 2);
	append_end(j, "long");
	assert_int_equal(drain(j), 1);
	assert_int_equal(files_of("a"), 1);
	journal_free(j);
}

static void nobody_adopts_the_spool_of_the_living(void **state)
{
	struct journal *j = create("a"), *other = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(journal_adopt(root, "a", &kinds, &other, &err), -ERR_BUSY);
	assert_int_equal(journal_adopt(root, "none", &kinds, &other, &err), -ERR_NOT_FOUND);
	journal_free(j);
	other = adopt("a");
	journal_remove(other);
	assert_int_equal(journal_adopt(root, "a", &kinds, &other, &err), -ERR_NOT_FOUND);
}

static void an_orphan_goes_on_where_its_owner_stopped(void **state)
{
	struct journal *j = create("a");
	struct journal_batch batch;

	(void)state;
	for (int i = 0; i < 10; i++)
		append_end(j, "c");
	batch = read_batch(j, 3, 1 << 20);
	journal_commit(j, batch.last_no);
	journal_batch_done(&batch);
	journal_free(j);
	j = adopt("a");
	assert_int_equal(journal_pending(j), 7);
	assert_int_equal(drain(j), 7);
	journal_remove(j);
	assert_int_equal(files_of("a"), 0);
}

static void an_orphan_gets_an_end_for_each_open_start(void **state)
{
	struct journal *j = create("a");
	struct journal_batch batch;
	struct err err = { 0 };

	(void)state;
	append_start(j, "one");
	append_start(j, "two");
	append_start(j, "three");
	append_end(j, "two");
	assert_int_equal(drain(j), 4); /* shipped already, and yet remembered */
	journal_free(j);
	j = adopt("a");
	assert_int_equal(journal_open_starts(j), 2);
	assert_int_equal(journal_end_open(j, &err), 0);
	assert_int_equal(journal_open_starts(j), 0);
	batch = read_batch(j, 10, 1 << 20);
	assert_int_equal(batch.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(batch.records[i]->no, 5 + i);
		assert_int_equal(batch.records[i]->kind, MCPBOX__V1__RECORD__KIND__KIND_CALL_ENDED);
		assert_string_equal(batch.records[i]->call->outcome, "unknown");
		assert_string_equal(batch.records[i]->call->tool_name, "tool");
	}
	journal_batch_done(&batch);
	journal_free(j);
}

/* Bytes of the only segment of "a". */
static int open_segment(void)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/a/0000000000000001.seg", root);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void a_torn_end_is_cut_at_any_length(void **state)
{
	struct journal *j = create("a");
	struct stat st;
	off_t two;
	int fd;

	(void)state;
	append_end(j, "1");
	append_end(j, "2");
	two = (off_t)journal_bytes(j);
	append_end(j, "3");
	journal_free(j);
	fd = open_segment();
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t len = st.st_size - 1; len >= two; len--) {
		struct stat cut;

		assert_int_equal(ftruncate(fd, len), 0);
		j = adopt("a");
		assert_int_equal(journal_pending(j), 2);
		journal_free(j);
		assert_int_equal(fstat(fd, &cut), 0);
		assert_int_equal(cut.st_size, two);
	}
	(void)close(fd);
	/* And it can be written again. */
	j = adopt("a");
	append_end(j, "3 again");
	assert_int_equal(drain(j), 3);
	journal_free(j);
}

static void a_damaged_entry_is_not_shipped(void **state)
{
	struct journal *j = create("a");
	off_t one;
	int fd;

	(void)state;
	append_end(j, "1");
	one = (off_t)journal_bytes(j);
	append_end(j, "2");
	journal_free(j);
	fd = open_segment();
	assert_int_equal(pwrite(fd, "!", 1, one + 14), 1);
	(void)close(fd);
	j = adopt("a");
	assert_int_equal(drain(j), 1);
	journal_free(j);
}

static void numbers_that_the_registry_has_are_not_used_again(void **state)
{
	struct journal *j = create("a");
	struct journal_batch batch;
	int fd;

	(void)state;
	append_end(j, "1");
	journal_free(j);
	/* Two and three were shipped, then a power cut took them here. */
	fd = open_segment();
	(void)close(fd);
	j = adopt("a");
	journal_commit(j, 3);
	assert_int_equal(journal_pending(j), 0);
	append_end(j, "4");
	batch = read_batch(j, 10, 1 << 20);
	assert_int_equal(batch.count, 1);
	assert_int_equal(batch.records[0]->no, 4);
	journal_batch_done(&batch);
	journal_free(j);
}

static void a_record_too_large_to_ship_is_refused(void **state)
{
	struct journal *j = create("a");
	PB(Record) record = MCPBOX__V1__RECORD__INIT;
	PB(CallRecord) call = MCPBOX__V1__CALL_RECORD__INIT;
	size_t len = 8u * 1024 * 1024;
	BOX_CLEANUP(mem_freep) uint8_t *data = mem_alloc(len);
	struct err err = { 0 };

	(void)state;
	call.stdout = pb_bytes(data, len);
	record.call = &call;
	assert_int_equal(journal_append(j, &record, &err), -ERR_TOO_LARGE);
	assert_int_equal(journal_pending(j), 0);
	append_end(j, "next");
	assert_int_equal(drain(j), 1);
	journal_free(j);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_come_back_in_order_with_numbers),
		TEST(a_commit_in_the_middle_of_a_batch_goes_on_from_there),
		TEST(a_batch_stays_below_its_bytes_but_is_never_empty),
		TEST(segments_go_when_they_are_committed),
		TEST(a_segment_stays_while_a_start_in_it_waits),
		TEST(nobody_adopts_the_spool_of_the_living),
		TEST(an_orphan_goes_on_where_its_owner_stopped),
		TEST(an_orphan_gets_an_end_for_each_open_start),
		TEST(a_torn_end_is_cut_at_any_length),
		TEST(a_damaged_entry_is_not_shipped),
		TEST(numbers_that_the_registry_has_are_not_used_again),
		TEST(a_record_too_large_to_ship_is_refused),
	};

	if (crypto_start() < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
