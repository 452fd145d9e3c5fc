/* Parameters of a form or a query: application/x-www-form-urlencoded (WHATWG URL section 5.1). Pure. */
#ifndef HOOKLATCH_VERIFY_FORM_H
#define HOOKLATCH_VERIFY_FORM_H

#include "receiver/base/bytes.h"

#define FORM_PARAMETERS_MOST 1000

/* Appends the decoded value of the first parameter with this name. False: there is none, or it cannot be decoded. */
bool form_find(struct span form, struct span name, struct buffer *out) MUST_CHECK;

/* Appends all parameters as Twilio signs them: decoded; names in the order of their bytes, the distinct values of one
 * name in theirs; each as name and value with nothing between
 * (https://www.twilio.com/docs/usage/webhooks/webhooks-security). False: more than FORM_PARAMETERS_MOST, or no form. */
bool form_sorted(struct span form, struct buffer *out) MUST_CHECK;

#endif
