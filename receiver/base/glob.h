/* The one glob of this program: `*` matches any characters, slashes too; every other byte itself; case counts. */
#ifndef HOOKLATCH_BASE_GLOB_H
#define HOOKLATCH_BASE_GLOB_H

#include "receiver/base/bytes.h"

bool glob_match(struct span pattern,
                struct span text); /* linear in the text for each `*`; no recursion */

#endif
