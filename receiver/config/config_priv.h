/* What the files of this room share. */
#ifndef HOOKLATCH_CONFIG_CONFIG_PRIV_H
#define HOOKLATCH_CONFIG_CONFIG_PRIV_H

#include "receiver/config/config.h"

/* The place of a key's value, or of the key where it is missing. */
struct place value_place(const struct node *map, const char *key);

/* check_handler.c: the kind, and then all that belongs to it. `setups`: of all handlers, NULL at the end. */
void choose_kind(struct config *config, struct handler *handler, struct handler_settings *settings);
void check_handler(struct config *config, struct handler *handler, const char *const *setups,
                   enum config_purpose purpose);

#endif
