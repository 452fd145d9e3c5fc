#include "receiver/cli/block.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/cli/command.h"

struct block {
	struct buffer *out;
	size_t indent;
	const char *source;
};

static void PRINTF(2, 3) line(const struct block *block, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer_format(block->out, "%*s%s\n", (int)block->indent + 2, "", text);
}

static void
write_needs(const struct preset *preset, const struct block *block)
{
	if ((preset->needs & PRESET_NEEDS_URL) != 0) {
		line(block,
		     "public_url: \"" BLOCK_URL "%s\"   # exactly as entered at the provider",
		     block->source);
	}
	if ((preset->needs & PRESET_NEEDS_WEBHOOK_ID) != 0) {
		line(block, "webhook_id: WEBHOOK_ID   # as the provider shows it");
	}
	if ((preset->needs & PRESET_NEEDS_TOPICS) != 0) {
		line(block, "topic_arns: [ \"" BLOCK_TOPIC "\" ]");
	}
	if ((preset->needs & PRESET_NEEDS_CLIENT) != 0) {
		line(block, "client_id: CLIENT_ID");
		line(block, "secret: { file: secrets/%s }", block->source);
	}
	if ((preset->needs & PRESET_NEEDS_VERIFY_TOKEN) != 0) {
		line(block,
		     "verify_token: { file: secrets/%s.verify }   # chosen by you, entered at the provider",
		     block->source);
	}
	if (preset->scheme.id.from == SCHEME_GENERATED) {
		line(block, "event_id: generated   # it sends none: repeats cannot be recognised");
	}
}

void
block_write(const struct preset *preset, const char *source, size_t indent, struct buffer *out)
{
	struct block block = { out, indent, source };
	buffer_format(out, "%*s%s:\n", (int)indent, "", source);
	line(&block, "path: /%s", source);
	line(&block, "provider: %s", preset->name);
	write_needs(preset, &block);
	if (scheme_has_secrets(&preset->scheme)) {
		line(&block, "secrets: [ { file: secrets/%s } ]", source);
	} else if (preset->scheme.algorithm == SCHEME_ED25519 ||
	           preset->scheme.algorithm == SCHEME_ECDSA_P256_SHA256) {
		line(&block, "public_keys: [ { file: secrets/%s.pub } ]", source);
	}
}

bool
block_secret(const struct preset *preset, struct buffer *out)
{
	const struct preset_fresh *fresh = &preset->fresh;
	unsigned char bytes[64];
	if (fresh->bytes == 0) {
		return false;
	}
	random_secret(bytes, (size_t)fresh->bytes);
	buffer_text(out, fresh->before == NULL ? "" : fresh->before);
	if (fresh->base64) {
		base64_encode(out, bytes, (size_t)fresh->bytes);
	} else {
		hex_encode(out, bytes, (size_t)fresh->bytes);
	}
	memory_wipe(bytes, sizeof(bytes));
	return true;
}

void
complain_no_preset(const char *name)
{
	const char *names[128];
	size_t count = 0;
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		ALWAYS(count + 1 < COUNT(names), "preset-names");
		names[count++] = preset->name;
	}
	names[count] = NULL;
	if (strcmp(name, "hmac") == 0) {
		complain(
			"hmac is any other scheme, by its parameters: `signature`, `timestamp`, `event_id` in hooklatch.yaml(5)");
		return;
	}
	const char *nearest = problems_nearest(span_of(name), names);
	complain("there is no preset \"%s\"%s%s%s", name,
	         nearest == NULL ? "; `hooklatch providers` lists them" : "; did you mean \"",
	         nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}
