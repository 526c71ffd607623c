/*
 * Runs a fuzz target without libFuzzer: replays the corpus, then mutates it from a fixed seed for a
 * bounded number of rounds.  The same bytes on every machine, so a failure repeats.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "mem.h"

#define ROUNDS    20000
#define INPUT_MAX 4096
#define FILES_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

struct input {
	uint8_t *data;
	size_t len;
};

static uint64_t random_state = 0x6d6370626f78;

/* xorshift64*: good enough to choose bytes, the same everywhere. */
static uint64_t next_random(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dull >> 16) % below;
}

static bool read_input(const char *dir, const char *name, struct input *ret)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, name);
	FILE *f = name[0] == '.' ? NULL : fopen(path, "rb");

	if (!f)
		return false;
	ret->data = mem_alloc(INPUT_MAX);
	ret->len = fread(ret->data, 1, INPUT_MAX, f);
	(void)fclose(f);
	return true;
}

static size_t read_corpus(const char *dir, struct input *inputs)
{
	struct dirent **names = NULL;
	int found = scandir(dir, &names, NULL, alphasort);
	size_t count = 0;

	for (int i = 0; i < found; i++) {
		if (count < FILES_MAX && read_input(dir, names[i]->d_name, &inputs[count]))
			count++;
		free(names[i]);
	}
	free(names);
	return count;
}

static void mutate(struct input *in)
{
	size_t at = next_random(in->len + 1), n = next_random(8) + 1;

	switch (next_random(5)) {
	case 0: /* flip a bit */
		if (at < in->len)
			in->data[at] ^= (uint8_t)(1u << next_random(8));
		return;
	case 1: /* another byte */
		if (at < in->len)
			in->data[at] = (uint8_t)next_random(256);
		return;
	case 2: /* cut off */
		in->len = at;
		return;
	case 3: /* take out */
		if (at + n <= in->len) {
			memmove(in->data + at, in->data + at + n, in->len - at - n);
			in->len -= n;
		}
		return;
	default: /* say again */
		if (at + n <= in->len && in->len + n <= INPUT_MAX) {
			memmove(in->data + at + n, in->data + at, in->len - at);
			in->len += n;
		}
	}
}

/* The target gets memory of the exact size, so that a sanitizer sees a read beyond it. */
static void run(const struct input *in)
{
	BOX_CLEANUP(mem_freep) uint8_t *exact = malloc(in->len);

	if (in->len)
		memcpy(exact, in->data, in->len);
	(void)LLVMFuzzerTestOneInput(exact, in->len);
}

int main(int argc, char **argv)
{
	static struct input corpus[FILES_MAX];
	static uint8_t scratch[INPUT_MAX];
	size_t count = argc > 1 ? read_corpus(argv[1], corpus) : 0;

	if (count == 0) {
		(void)fprintf(stderr, "no corpus: %s\n", argc > 1 ? argv[1] : "none named");
		return EXIT_FAILURE;
	}
	if (LLVMFuzzerInitialize)
		(void)LLVMFuzzerInitialize(&argc, &argv);
	for (size_t i = 0; i < count; i++)
		run(&corpus[i]);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct input *from = &corpus[next_random(count)];
		struct input in = { scratch, from->len };

		memcpy(scratch, from->data, from->len);
		for (uint64_t n = next_random(6) + 1; n > 0; n--)
			mutate(&in);
		run(&in);
	}
	for (size_t i = 0; i < count; i++)
		free(corpus[i].data);
	(void)printf("%zu inputs, %u mutations\n", count, ROUNDS);
	return EXIT_SUCCESS;
}
