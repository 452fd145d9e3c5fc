/* sign: the headers that a body of a source needs, as its provider would make them. */
#include <stdio.h>
#include <string.h>

#include "receiver/cli/offline.h"

/* Where the signature is in the body or in the URL, those are told too. */
static int
print_signed(const struct invocation *invocation, const struct made_event *event,
             const char *media_type)
{
	const struct signed_request *request = &event->request;
	const char *file = option(invocation, "body-out");
	(void)fwrite(request->lines.data, 1, request->lines.size, stdout);
	say("send the body as Content-Type: %s", media_type);
	if (request->query.size > 0) {
		complain("the URL's query is %.*s", SPAN_ARG(buffer_view(&request->query)));
	}
	if (file == NULL) {
		return EXIT_OK;
	}
	FILE *out = strcmp(file, "-") == 0 ? stdout : fopen(file, "wb");
	bool good = out != NULL &&
	            fwrite(request->body.data, 1, request->body.size, out) == request->body.size;
	if (out != NULL && out != stdout) {
		good = fclose(out) == 0 && good;
	}
	if (!good) {
		complain("%s: cannot be written", file);
	}
	return good ? EXIT_OK : EXIT_FAILED;
}

int
run_sign(struct invocation *invocation)
{
	int64_t now_ns;
	if (!chosen_time(invocation, &now_ns)) {
		return EXIT_USAGE;
	}
	if (option(invocation, "body") == NULL && option(invocation, "body-out") == NULL) {
		return usage_error(invocation,
		                   "--body is needed; or --body-out, for a sample that it writes");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	int code = EXIT_USAGE;
	struct source *source = config == NULL ? NULL : chosen_source(invocation, config, &code);
	struct signer signer = { 0 };
	struct made_event event;
	if (source != NULL && signer_begin(&signer, invocation, source)) {
		code = EXIT_USAGE;
		if (signer_make(&signer, 0, now_ns, &event)) {
			bool in_body = source->scheme.signature_json != NULL ||
			               source->scheme.algorithm == SCHEME_ITEMS ||
			               source->scheme.algorithm == SCHEME_SNS;
			if (in_body && option(invocation, "body-out") == NULL) {
				complain(
					"this provider's signature is in the body: --body-out FILE writes it");
			}
			code = print_signed(invocation, &event,
			                    source->scheme.media_type == NULL
			                            ? "application/json"
			                            : source->scheme.media_type);
			signed_request_finish(&event.request);
		}
	}
	signer_finish(&signer);
	config_release(config);
	return code;
}
