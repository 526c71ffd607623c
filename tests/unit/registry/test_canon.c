#include "test.h"
#include "canon.h"

static void audit_row(PB(AuditEvent) * e)
{
	static char topic[] = "server.created", actor[] = "anna", via[] = "rest", kind[] = "server",
		    id[] = "1", outcome[] = "ok";

	mcpbox__v1__audit_event__init(e);
	e->seq = 7;
	e->at_unix_ms = 1000;
	e->topic = topic;
	e->actor = actor;
	e->via = via;
	e->object_kind = kind;
	e->object_id = id;
	e->outcome = outcome;
	e->detail_json = pb_text("{\"name\": \"news\"}");
}

static void assert_differs(const PB(AuditEvent) * changed)
{
	uint8_t a[CRYPTO_HASH_SIZE], b[CRYPTO_HASH_SIZE];
	PB(AuditEvent) e;

	audit_row(&e);
	canon_audit_hash(&e, a);
	canon_audit_hash(changed, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void every_column_of_an_audit_row_counts(void **state)
{
	static char other[] = "other";
	static const size_t texts[] = {
		offsetof(PB(AuditEvent), topic),     offsetof(PB(AuditEvent), actor),
		offsetof(PB(AuditEvent), via),       offsetof(PB(AuditEvent), object_kind),
		offsetof(PB(AuditEvent), object_id), offsetof(PB(AuditEvent), outcome)
	};
	PB(AuditEvent) e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		audit_row(&e);
		*(char **)(void *)((char *)&e + texts[i]) = other;
		assert_differs(&e);
	}
	audit_row(&e);
	e.seq++;
	assert_differs(&e);
	audit_row(&e);
	e.at_unix_ms++;
	assert_differs(&e);
	audit_row(&e);
	e.prev_hash = pb_text("x");
	assert_differs(&e);
	audit_row(&e);
	e.detail_json = pb_text("{}");
	assert_differs(&e);
}

static void moving_bytes_between_fields_changes_the_form(void **state)
{
	struct buf a = BUF_INIT(100), b = BUF_INIT(100);

	(void)state;
	canon_text(&a, "ab");
	canon_text(&a, "c");
	canon_text(&b, "a");
	canon_text(&b, "bc");
	assert_int_equal(a.len, b.len);
	assert_memory_not_equal(a.data, b.data, a.len);
	buf_done(&a);
	buf_done(&b);
}

static void assert_content(bool same, const ROW(VersionRow) * v)
{
	ROW(VersionRow) plain = MCPBOX__ROWS__VERSION_ROW__INIT;
	uint8_t a[CRYPTO_HASH_SIZE], b[CRYPTO_HASH_SIZE];

	canon_content_hash(&plain, a);
	canon_content_hash(v, b);
	assert_int_equal(memcmp(a, b, sizeof(a)) == 0, same);
}

static void an_approval_binds_code_schemas_texts_and_limits(void **state)
{
	static const size_t fields[] = {
		offsetof(ROW(VersionRow), description),   offsetof(ROW(VersionRow), title),
		offsetof(ROW(VersionRow), python_code),   offsetof(ROW(VersionRow), input_schema),
		offsetof(ROW(VersionRow), output_schema), offsetof(ROW(VersionRow), annotations),
		offsetof(ROW(VersionRow), limits),
	};
	static char name[] = "n";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		ROW(VersionRow) v = MCPBOX__ROWS__VERSION_ROW__INIT;

		*(ProtobufCBinaryData *)(void *)((char *)&v + fields[i]) = pb_text("x");
		assert_content(false, &v);
	}
	ROW(VersionRow) v = MCPBOX__ROWS__VERSION_ROW__INIT;

	v.version = 9; /* the number, the author and the switch are no content */
	v.created_by = name;
	v.enabled = true;
	assert_content(true, &v);
	v.name = name;
	assert_content(false, &v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_column_of_an_audit_row_counts),
		cmocka_unit_test(moving_bytes_between_fields_changes_the_form),
		cmocka_unit_test(an_approval_binds_code_schemas_texts_and_limits),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
