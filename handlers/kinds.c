#include "handlers/kinds.h"

const struct handler_kind *const handler_kinds[] = { &handler_exec, &handler_http, &handler_log,
	                                             &handler_pull, &handler_sql,  NULL };
