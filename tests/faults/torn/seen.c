#include "tests/faults/torn/seen.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "receiver/base/bytes.h"

#define FIRST_ROOM 1024

static void
make_room(struct seen *seen, size_t room)
{
	seen->room = room;
	seen->count = 0;
	seen->cells = memory_need(room * sizeof(*seen->cells));
}

void
seen_init(struct seen *seen)
{
	make_room(seen, FIRST_ROOM);
}

void
seen_finish(struct seen *seen)
{
	free(seen->cells);
	memset(seen, 0, sizeof(*seen));
}

/* The cell of this key, or the free one where it belongs. */
static size_t
place(const struct seen *seen, uint64_t key)
{
	size_t at = (size_t)key & (seen->room - 1);
	while (seen->cells[at].key != 0 && seen->cells[at].key != key) {
		at = (at + 1) & (seen->room - 1);
	}
	return at;
}

bool
seen_find(const struct seen *seen, uint64_t key, int64_t *state)
{
	size_t at = place(seen, key);
	if (seen->cells[at].key == 0) {
		return false;
	}
	*state = seen->cells[at].state;
	return true;
}

static void
put(struct seen *seen, uint64_t key, int64_t state)
{
	size_t at = place(seen, key);
	seen->count += seen->cells[at].key == 0 ? 1 : 0;
	seen->cells[at].key = key;
	seen->cells[at].state = state;
}

void
seen_add(struct seen *seen, uint64_t key, int64_t state)
{
	if (seen->count * 4 > seen->room * 3) {
		struct seen old = *seen;
		make_room(seen, old.room * 2);
		for (size_t i = 0; i < old.room; i++) {
			if (old.cells[i].key != 0) {
				put(seen, old.cells[i].key, old.cells[i].state);
			}
		}
		free(old.cells);
	}
	put(seen, key, state);
}

uint64_t
seen_key(const struct image *image)
{
	uint64_t key = 1;
	for (size_t i = 0; i < image->count; i++) {
		const struct disk_file *file = &image->files[i];
		const void *data = file->content.data;
		if (file->linked) {
			key = XXH3_64bits_withSeed(file->name, strlen(file->name), key);
			key = XXH3_64bits_withSeed(data == NULL ? "" : data, file->content.size,
			                           key);
		}
	}
	return key == 0 ? 1 : key;
}
