/* How a command reaches the service: through its unix socket, or, when no service runs, by calling the same API here:
 * reading beside anybody, changing under the store's lock. */
#ifndef HOOKLATCH_CLI_CLIENT_H
#define HOOKLATCH_CLI_CLIENT_H

#include "receiver/cli/command.h"

/* A GET when `body` is NULL, else a POST. EXIT_OK with *ret (the caller's reference), or the exit code after telling why. */
int client_call(struct config *config, const char *path, const char *query, json_t *body,
                json_t **ret);
/* As root, become the owner of the database first, for good: what is made beside it must stay his. */
void client_become_owner(const char *path);
/* "/v1/events/<source>/<id>" with everything encoded. The caller frees it. */
char *client_path(const char *prefix, const char *first, const char *second);

#endif
