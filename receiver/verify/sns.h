/* Amazon SNS over HTTPS: RSA over fields of the body, with a certificate whose URL is in the body.
 * https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
 * Every customer of AWS can have a message signed with these keys: only topics of the configuration are taken. */
#ifndef HOOKLATCH_VERIFY_SNS_H
#define HOOKLATCH_VERIFY_SNS_H

#include "receiver/verify/signature.h"

enum verdict sns_judge(struct verification *v, struct span body) MUST_CHECK;

/* Whether the message is of one of the source's topics. */
bool sns_topic_allowed(const struct verify_request *request, struct span body);

/* The text that is signed; false: the message is none, or has a field twice. */
bool sns_text(struct span body, struct buffer *out) MUST_CHECK;

#endif
