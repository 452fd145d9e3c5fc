#include "receiver/base/field.h"

size_t
fields_find(struct fields fields, struct span name, struct span *value)
{
	size_t found = 0;
	for (size_t i = 0; i < fields.count; i++) {
		if (span_equal_nocase(fields.items[i].name, name)) {
			if (found == 0) {
				*value = fields.items[i].value;
			}
			found++;
		}
	}
	return found;
}
