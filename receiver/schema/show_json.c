#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "receiver/schema/row.h"

static json_t *
origin_of(const struct node *node, const char *file)
{
	if (node != NULL && node->origin != NULL) {
		return json_string(node->origin);
	}
	if (node == NULL || node->place.line == 0) {
		return json_string("default");
	}
	char text[ERROR_TEXT_BYTES];
	(void)snprintf(text, sizeof(text), "%s:%d", file, node->place.line);
	return json_string(text);
}

static json_t *
plain(const struct node *node)
{
	json_t *list = NULL;
	switch (node->kind) {
	case NODE_SCALAR: return json_stringn_nocheck(node->text.data, node->text.size);
	case NODE_LIST:
		list = json_array();
		for (const struct node *child = node->first; child != NULL; child = child->next) {
			(void)json_array_append_new(list, plain(child));
		}
		return list;
	case NODE_MAP:
		list = json_object();
		for (const struct node *child = node->first; child != NULL; child = child->next) {
			(void)json_object_set_new_nocheck(list, child->key.data, plain(child));
		}
		return list;
	}
	return NULL;
}

static json_t *rows_json(const struct schema_row *rows, const struct node *map, const char *file);

static json_t *
value_json(const struct schema_row *row, const struct node *node, const char *file)
{
	if (row->kind == SCHEMA_MAP && (node == NULL || node->kind == NODE_MAP)) {
		return rows_json(row->rows, node, file);
	}
	if (node != NULL && (row->kind == SCHEMA_LIST || row->kind == SCHEMA_NAMED)) {
		json_t *list = row->kind == SCHEMA_LIST ? json_array() : json_object();
		for (const struct node *child = node->first; child != NULL; child = child->next) {
			if (row->kind == SCHEMA_LIST) {
				(void)json_array_append_new(list,
				                            rows_json(row->rows, child, file));
			} else {
				(void)json_object_set_new(list, child->key.data,
				                          rows_json(row->rows, child, file));
			}
		}
		return list;
	}
	return json_pack("{s:o, s:o}", "value",
	                 node != NULL ? plain(node) : json_string(row->fallback), "origin",
	                 origin_of(node, file));
}

static json_t *
rows_json(const struct schema_row *rows, const struct node *map, const char *file)
{
	json_t *object = json_object();
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		const struct node *node = node_child(map, row->name);
		if (node != NULL || (row->fallback != NULL && !row->later) ||
		    (row->kind == SCHEMA_MAP && !row->later && !row->off)) {
			json_t *value = value_json(row, node, file);
			if (node == NULL && json_is_object(value) && json_object_size(value) == 0) {
				json_decref(value);
			} else {
				(void)json_object_set_new(object, row->name, value);
			}
		}
	}
	return object;
}

void
schema_show_json(struct buffer *out, const struct schema_row *rows, const struct node *map,
                 const char *file)
{
	json_t *object = rows_json(rows, map, file);
	char *text = json_dumps(object, JSON_INDENT(2));
	ALWAYS(text != NULL, "show-json");
	buffer_text(out, text);
	buffer_byte(out, '\n');
	free(text);
	json_decref(object);
}
