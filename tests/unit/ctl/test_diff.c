#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "diff.h"
#include "mem.h"

static void gives(const char *before, const char *after, const char *want)
{
	struct buf b = BUF_INIT(1024 * 1024);

	diff_unified(before, after, &b);
	assert_string_equal(buf_str(&b), want);
	buf_done(&b);
}

static void equal_texts_give_nothing(void **state)
{
	(void)state;
	gives("", "", "");
	gives("a\nb\n", "a\nb\n", "");
}

static void one_changed_line_has_three_lines_around_it(void **state)
{
	(void)state;
	gives("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
	      "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

static void changes_far_apart_are_hunks_of_their_own(void **state)
{
	(void)state;
	gives("a\n1\n2\n3\n4\n5\n6\n7\n8\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\n8\nB\n",
	      "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -7,4 +7,4 @@\n 6\n 7\n 8\n-b\n+B\n");
}

static void near_changes_share_a_hunk(void **state)
{
	(void)state;
	gives("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
	      "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void insertion_keeps_what_is_common(void **state)
{
	(void)state;
	gives("def main():\n    return 1\n",
	      "import json\n\ndef main():\n    x = 1\n    return 1\n",
	      "@@ -1,2 +1,5 @@\n+import json\n+\n def main():\n+    x = 1\n     return 1\n");
}

static void from_nothing_everything_is_new(void **state)
{
	(void)state;
	gives("", "a\n", "@@ -1,0 +1,1 @@\n+a\n");
	gives("a\n", "", "@@ -1,1 +1,0 @@\n-a\n");
}

/* 5 000 x 5 000 different lines would be 25 million pairs. */
static void texts_too_different_are_shown_as_blocks(void **state)
{
	struct buf before = BUF_INIT(1024 * 1024), after = BUF_INIT(1024 * 1024),
		   b = BUF_INIT(1024 * 1024);

	(void)state;
	for (int i = 0; i < 5000; i++) {
		buf_printf(&before, "b%d\n", i);
		buf_printf(&after, "a%d\n", i);
	}
	diff_unified(buf_str(&before), buf_str(&after), &b);
	assert_memory_equal(buf_str(&b), "@@ -1,5000 +1,5000 @@\n-b0\n-b1\n", 30);
	buf_done(&before);
	buf_done(&after);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_texts_give_nothing),
		cmocka_unit_test(one_changed_line_has_three_lines_around_it),
		cmocka_unit_test(changes_far_apart_are_hunks_of_their_own),
		cmocka_unit_test(near_changes_share_a_hunk),
		cmocka_unit_test(insertion_keeps_what_is_common),
		cmocka_unit_test(from_nothing_everything_is_new),
		cmocka_unit_test(texts_too_different_are_shown_as_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
