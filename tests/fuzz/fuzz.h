/* What the fuzz targets share: the entry that libFuzzer calls, and a check that ends the run with the input kept. */
#ifndef HOOKLATCH_TESTS_FUZZ_FUZZ_H
#define HOOKLATCH_TESTS_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "receiver/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input. */
#define PROPERTY(condition) \
	((condition) ? (void)0 : property_broken(#condition, __FILE__, __LINE__))

static NORETURN UNUSED void
property_broken(const char *condition, const char *file, int line)
{
	(void)fprintf(stderr, "%s:%d: property broken: %s\n", file, line, condition);
	abort();
}

/* Takes `size` bytes off the front of the input. */
static UNUSED struct span
fuzz_take(struct span *input, size_t size)
{
	struct span taken = { input->data, size < input->size ? size : input->size };
	*input = span_after(*input, taken.size);
	return taken;
}

/* Takes what stands before the next `end`, and drops that. */
static UNUSED struct span
fuzz_take_until(struct span *input, char end)
{
	size_t size = 0;
	while (size < input->size && input->data[size] != end) {
		size++;
	}
	struct span taken = fuzz_take(input, size);
	(void)fuzz_take(input, 1);
	return taken;
}

/* A copy in a block of its very size: a sanitizer sees the first byte that is read behind it. */
static UNUSED char *
fuzz_copy(struct span text)
{
	char *copy = malloc(text.size == 0 ? 1 : text.size);
	if (copy == NULL) {
		abort();
	}
	for (size_t i = 0; i < text.size; i++) {
		copy[i] = text.data[i];
	}
	return copy;
}

#endif
