/* What several commands do alike: a list by filter, and an event's or a dead letter's page. */
#ifndef HOOKLATCH_CLI_SHOW_H
#define HOOKLATCH_CLI_SHOW_H

#include "receiver/cli/table.h"

int list_command(const struct invocation *invocation, const char *path,
                 const struct column *columns, size_t count);
void show_event(const json_t *event);
void show_attempts(const json_t *attempts);
/* Text of many lines, indented, harmless for a terminal. */
void show_text(const json_t *text);

#endif
