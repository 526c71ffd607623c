/* DNS answers: what is taken, what is passed over. */
#include "test.h"
#include "dns_message.h"
#include "err.h"

#define ID "\x12\x34"
#define QNAME         \
	"\x03"        \
	"api\x07"     \
	"example\x03" \
	"com\0"
#define QA           QNAME "\0\x01\0\x01"
#define OWNER        "\xc0\x0c"
#define A_REC(ip)    "\0\x01\0\x01\0\0\0\x3c\0\x04" ip
#define ONE_QUESTION "\0\x01"

static const struct dns_question question = { .id = 0x1234,
					      .type = DNS_A,
					      .name = "api.example.com" };

struct row {
	const char *claim;
	const char *bytes;
	size_t len;
	enum dns_verdict verdict;
	size_t count;
};
#define ROW(claim, bytes, verdict, count)                       \
	{                                                       \
		claim, bytes, sizeof(bytes) - 1, verdict, count \
	}

static const struct row rows[] = {
	ROW("one address",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA OWNER A_REC("\x5d\xb8\xd7\x0e"),
	    DNS_ANSWERED, 1),
	ROW("case does not matter",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0"
	       "\x03"
	       "API\x07"
	       "Example\x03"
	       "com\0"
	       "\0\x01\0\x01" OWNER A_REC("\x01\x02\x03\x04"),
	    DNS_ANSWERED, 1),
	ROW("none of this type", ID "\x81\x80" ONE_QUESTION "\0\0\0\0\0\0" QA, DNS_ANSWERED, 0),
	ROW("an alias is followed",
	    ID "\x81\x80" ONE_QUESTION "\0\x02\0\0\0\0" QA OWNER "\0\x05\0\x01\0\0\0\x05\0\x04"
	       "\x01"
	       "x\xc0\x10"
	       "\x01"
	       "x\xc0\x10" A_REC("\x01\x02\x03\x04"),
	    DNS_ANSWERED, 1),
	ROW("an alias of itself ends",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA OWNER "\0\x05\0\x01\0\0\0\x05\0\x02"
	       "\xc0\x0c",
	    DNS_ANSWERED, 0),
	ROW("records about another name count for nothing",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA "\x04"
	       "evil\0" A_REC("\x01\x02\x03\x04"),
	    DNS_ANSWERED, 0),
	ROW("no such name", ID "\x81\x83" ONE_QUESTION "\0\0\0\0\0\0" QA, DNS_NO_NAME, 0),
	ROW("server failure", ID "\x81\x82" ONE_QUESTION "\0\0\0\0\0\0" QA, DNS_FAILED, 0),
	ROW("truncated", ID "\x83\x80" ONE_QUESTION "\0\0\0\0\0\0" QA, DNS_TRUNCATED, 0),
	ROW("another id", "\x12\x35\x81\x80" ONE_QUESTION "\0\0\0\0\0\0" QA, DNS_NOT_OURS, 0),
	ROW("a question", ID "\x01\0" ONE_QUESTION "\0\0\0\0\0\0" QA, DNS_NOT_OURS, 0),
	ROW("another name",
	    ID "\x81\x80" ONE_QUESTION "\0\0\0\0\0\0"
	       "\x04"
	       "evil\0"
	       "\0\x01\0\x01",
	    DNS_NOT_OURS, 0),
	ROW("another type", ID "\x81\x80" ONE_QUESTION "\0\0\0\0\0\0" QNAME "\0\x1c\0\x01",
	    DNS_NOT_OURS, 0),
	ROW("no question",
	    ID "\x81\x80"
	       "\0\0"
	       "\0\0\0\0\0\0",
	    DNS_NOT_OURS, 0),
	ROW("a pointer forwards",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA "\xc0\x40" A_REC("\x01\x02\x03\x04"),
	    DNS_NOT_OURS, 0),
	ROW("a pointer to itself",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA "\xc0\x21" A_REC("\x01\x02\x03\x04"),
	    DNS_NOT_OURS, 0),
	ROW("an address of three bytes",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA OWNER
	       "\0\x01\0\x01\0\0\0\x3c\0\x03\x01\x02\x03",
	    DNS_NOT_OURS, 0),
	ROW("a record cut off",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA OWNER "\0\x01\0\x01\0\0", DNS_NOT_OURS,
	    0),
	ROW("fewer records than announced",
	    ID "\x81\x80" ONE_QUESTION "\0\x02\0\0\0\0" QA OWNER A_REC("\x01\x02\x03\x04"),
	    DNS_NOT_OURS, 0),
	ROW("a dot inside a label",
	    ID "\x81\x80" ONE_QUESTION "\0\x01\0\0\0\0" QA "\x03"
	       "a.b\0" A_REC("\x01\x02\x03\x04"),
	    DNS_NOT_OURS, 0),
	ROW("shorter than a header", ID "\x81\x80", DNS_NOT_OURS, 0),
};

static void judges_each_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address list[4];
		struct dns_answer answer = { .addresses = list, .max = 4, .ttl_s = UINT32_MAX };
		enum dns_verdict v = dns_read_answer(&question, (const uint8_t *)rows[i].bytes,
						     rows[i].len, &answer);

		if (v != rows[i].verdict || answer.count != rows[i].count)
			fail_msg("%s: verdict %d, %zu addresses", rows[i].claim, (int)v,
				 answer.count);
	}
}

static void tells_when_there_are_more_than_fit_and_the_least_lifetime(void **state)
{
	static const char bytes[] =
		ID "\x81\x80" ONE_QUESTION "\0\x02\0\0\0\0" QA OWNER A_REC("\x01\x02\x03\x04") OWNER
		"\0\x01\0\x01\0\0\0\x07\0\x04\x01\x02\x03\x05";
	struct address list[1];
	struct dns_answer answer = { .addresses = list, .max = 1, .ttl_s = UINT32_MAX };

	(void)state;
	assert_int_equal(
		dns_read_answer(&question, (const uint8_t *)bytes, sizeof(bytes) - 1, &answer),
		DNS_ANSWERED);
	assert_int_equal(answer.count, 1);
	assert_true(answer.is_over);
	assert_int_equal(answer.ttl_s, 7);
}

static void writes_the_question_with_the_size_it_takes(void **state)
{
	static const char head[] = ID "\x01\0" ONE_QUESTION "\0\0\0\0\0\x01" QA "\0\0\x29";
	struct dns_question bad = { .type = DNS_A, .name = "a..b" };
	struct buf b = BUF_INIT(512);

	(void)state;
	assert_int_equal(dns_write_question(&question, &b), 0);
	assert_memory_equal(b.data, head, sizeof(head) - 1);
	buf_clear(&b);
	assert_int_equal(dns_write_question(&bad, &b), -ERR_INVALID);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_each_answer),
		cmocka_unit_test(tells_when_there_are_more_than_fit_and_the_least_lifetime),
		cmocka_unit_test(writes_the_question_with_the_size_it_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
