/* Adyen's payments webhooks: a signature inside each item, over eight of its fields. One bad item refuses all.
 * https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures */
#ifndef HOOKLATCH_VERIFY_ITEMS_H
#define HOOKLATCH_VERIFY_ITEMS_H

#include "receiver/verify/signature.h"

#define ITEMS_ARRAY     "/notificationItems"
#define ITEMS_SIGNATURE "/NotificationRequestItem/additionalData/hmacSignature"

enum verdict items_judge(struct verification *v, struct span body) MUST_CHECK;

/* The text that is signed of one item; false: a field is no text, or stands there twice. */
bool items_text(struct span item, struct buffer *out) MUST_CHECK;

#endif
