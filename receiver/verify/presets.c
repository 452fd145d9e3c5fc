#include "receiver/verify/presets.h"

#include <string.h>

#define MINUTE_NS (60 * NS_PER_S)
#define HOUR_NS   (60 * MINUTE_NS)
#define MIB       INT64_C(1048576)

const struct preset presets[] = {
	{
	        .name = "github",
	        .title = "GitHub: repository, organisation and App webhooks",
	        .docs = "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
	        .scheme = {
	                .signature_header = "X-Hub-Signature-256",
	                .prefix = "sha256=",
	                .signed_text = "{body}",
	                .id = { .from = SCHEME_FROM_HEADER, .name = "X-GitHub-Delivery" },
	                .type = { .from = SCHEME_FROM_HEADER, .name = "X-GitHub-Event" },
	        },
	        .body_limit = 25 * MIB, /* GitHub sends nothing larger */
	        .answer_ns = 10 * NS_PER_S,
	        .retries = "never by itself; a failed delivery can be redelivered for 3 days, by hand or by API",
	        .redelivery = "same id: answered duplicate, or revived when it is dead here",
	        .secret = "you choose it: openssl rand -hex 32",
	        .steps = "Settings > Webhooks > Add webhook\n"
	                 "Payload URL: your address and this source's path\n"
	                 "Content type: application/json\n"
	                 "Secret: the one in the configuration\n",
	},
	{
	        .name = "stripe",
	        .title = "Stripe: snapshot and thin events, Connect",
	        .docs = "https://docs.stripe.com/webhooks/signature",
	        .scheme = {
	                .signature_header = "Stripe-Signature",
	                .separator = ',',
	                .prefix = "v1=",
	                .timestamp_prefix = "t=",
	                .signed_text = "{timestamp}.{body}",
	                .timestamp = { .from = SCHEME_FROM_SIGNATURE },
	                .unit = SCHEME_SECONDS,
	                .tolerance_ns = 5 * MINUTE_NS,
	                .id = { .from = SCHEME_FROM_JSON, .name = "/id" },
	                .type = { .from = SCHEME_FROM_JSON, .name = "/type" },
	        },
	        .retry_window_ns = 72 * HOUR_NS,
	        .retries = "3 days, with growing distances",
	        .redelivery = "\"Resend\" keeps the id: answered duplicate, or revived when it is dead here",
	        .secret = "Stripe chooses it: whsec_… in the endpoint's settings; the whole text is the key",
	        .steps = "Developers > Webhooks > Add endpoint\n"
	                 "Endpoint URL: your address and this source's path\n"
	                 "Select events, add the endpoint, reveal its signing secret\n"
	                 "Put that secret where the configuration reads it\n",
	},
	{
	        .name = "standard-webhooks",
	        .title = "Standard Webhooks, symmetric (v1)",
	        .docs = "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
	        .scheme = {
	                .signature_header = "webhook-signature",
	                .separator = ' ',
	                .prefix = "v1,",
	                .encoding = SCHEME_BASE64,
	                .key = SCHEME_KEY_BASE64_AFTER_WHSEC,
	                .signed_text = "{id}.{timestamp}.{body}",
	                .timestamp = { .from = SCHEME_FROM_HEADER, .name = "webhook-timestamp" },
	                .unit = SCHEME_SECONDS,
	                .tolerance_ns = 5 * MINUTE_NS,
	                .id = { .from = SCHEME_FROM_HEADER, .name = "webhook-id" },
	                .type = { .from = SCHEME_FROM_JSON, .name = "/type" },
	        },
	        .retry_window_ns = 76 * HOUR_NS,
	        .retries = "about 76 hours, by the specification's example",
	        .redelivery = "same id: answered duplicate, or revived when it is dead here",
	        .secret = "base64 behind an optional whsec_; 24 to 64 bytes; the sender shows it",
	        .steps = "Give the sender your address and this source's path\n"
	                 "Put the secret that it shows where the configuration reads it\n",
	},
	{ .name = NULL },
};

const struct preset *
preset_find(const char *name)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		if (strcmp(preset->name, name) == 0) {
			return preset;
		}
	}
	return NULL;
}
