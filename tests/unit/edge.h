/* Copies of bytes that end where memory ends: the byte behind the last one is in a page that cannot be read, so that a
 * parser that looks one byte too far dies at once (as in picohttpparser's test.c). */
#ifndef HOOKLATCH_TESTS_UNIT_EDGE_H
#define HOOKLATCH_TESTS_UNIT_EDGE_H

#include <string.h>
#include <sys/mman.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#define EDGE_PLACES 4
#define EDGE_BYTES  ((size_t)256 * 1024)
#define EDGE_PAGE   ((size_t)4096)

/* Copies `text` to the edge of one of EDGE_PLACES places; stays until the next call with the same place. */
static UNUSED struct span
edge_copy(unsigned place, struct span text)
{
	static char *ends[EDGE_PLACES];
	ALWAYS(place < EDGE_PLACES && text.size <= EDGE_BYTES, "edge-size");
	if (ends[place] == NULL) {
		char *map = mmap(NULL, EDGE_BYTES + EDGE_PAGE, PROT_READ | PROT_WRITE,
		                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ALWAYS(map != MAP_FAILED, "edge-map");
		ends[place] = map + EDGE_BYTES;
		ALWAYS(mprotect(ends[place], EDGE_PAGE, PROT_NONE) == 0, "edge-protect");
	}
	char *copy = ends[place] - text.size;
	if (text.size > 0) {
		memcpy(copy, text.data, text.size);
	}
	return (struct span){ copy, text.size };
}

#endif
