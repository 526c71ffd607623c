/* DNS answers: never more addresses than fit, each of the type that was asked for. */
#include "dns_message.h"
#include "err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const struct dns_question q = { .id = 0x1234,
						.type = types[i],
						.name = "api.example.com" };
		struct address list[4];
		struct dns_answer answer = { .addresses = list, .max = 4, .ttl_s = UINT32_MAX };
		enum dns_verdict v = dns_read_answer(&q, data, len, &answer);

		box_assert(answer.count <= answer.max);
		box_assert(v == DNS_ANSWERED || answer.count == 0);
		for (size_t n = 0; n < answer.count; n++)
			box_assert(list[n].len == (types[i] == DNS_A ? 4 : 16));
	}
	return 0;
}
