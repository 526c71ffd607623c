#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "metrics.h"

static void counts_by_route_and_class_of_status(void **state)
{
	struct metrics *m = metrics_new(2);
	struct buf b = BUF_INIT(4096);

	(void)state;
	metrics_count(m, 1, 200, 1000);
	metrics_count(m, 1, 204, 1000);
	metrics_count(m, 1, 503, 500000);
	metrics_write(m, 0, "GET", "/quiet", &b);
	metrics_write(m, 1, "GET", "/x", &b);
	assert_string_equal(
		buf_str(&b),
		"mcpbox_http_requests_total{method=\"GET\",handler=\"/x\",status=\"2xx\"} 2\n"
		"mcpbox_http_requests_total{method=\"GET\",handler=\"/x\",status=\"5xx\"} 1\n"
		"mcpbox_http_request_seconds_sum{method=\"GET\",handler=\"/x\"} 0.502000\n"
		"mcpbox_http_request_seconds_count{method=\"GET\",handler=\"/x\"} 3\n");
	buf_done(&b);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_by_route_and_class_of_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
