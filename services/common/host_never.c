#include "host_never.h"

#include <stddef.h>
#include <string.h>
#include "attrs.h"

static const char *const names[] = {
	"localhost",
	"localhost.localdomain",
	"ip6-localhost",
	"ip6-loopback",
	"metadata.aws.internal",
	"instance-data.ec2.internal",
	"metadata.google.internal",
	"metadata.gke.internal",
	"metadata.azure.com",
};
static const char *const suffixes[] = { ".localhost", ".localdomain" };

bool host_is_never(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && strcmp(name + len - n, suffixes[i]) == 0)
			return true;
	}
	return false;
}
