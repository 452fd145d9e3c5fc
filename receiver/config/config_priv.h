/* What the files of this room share. */
#ifndef HOOKLATCH_CONFIG_CONFIG_PRIV_H
#define HOOKLATCH_CONFIG_CONFIG_PRIV_H

#include "receiver/config/config.h"

/* The place of a key's value, or of the key where it is missing. */
struct place value_place(const struct node *map, const char *key);

/* The keys' tables: rows.c, rows_source.c. */
#define END_OF_ROWS          \
	{                    \
		.name = NULL \
	}
#define FIELD(type, member) .offset = offsetof(struct type, member)
extern const struct schema_row config_source_rows[];
extern const struct schema_row config_secret_rows[];

/* check_source.c: the scheme and all that belongs to it. */
void check_source(struct config *config, size_t index, enum config_purpose purpose);
void check_pointer(struct config *config, const struct node *node, const char *key,
                   const char *pointer);

/* keys.c: secrets, public keys and tokens of a source. Each that cannot be read is reported at its place. */
typedef void key_report(void *context, const struct node *node, const char *key,
                        const struct error *err);
void source_keys_read(struct config *config, struct source *source, key_report *report,
                      void *context);
/* What can be said of them without reading them. */
void source_keys_check(struct config *config, const struct source *source);
void source_keys_finish(struct source *source);

/* check_handler.c: the kind, and then all that belongs to it. `setups`: of all handlers, NULL at the end. */
void choose_kind(struct config *config, struct handler *handler, struct handler_settings *settings);
void check_handler(struct config *config, struct handler *handler, const char *const *setups,
                   enum config_purpose purpose);

#endif
