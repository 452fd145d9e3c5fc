#include "receiver/verify/diagnose.h"

#include <inttypes.h>

#include "receiver/verify/alteration.h"
#include "receiver/verify/presets.h"
#include "receiver/verify/sns.h"

#define BODY_MOST_BYTES (256L * 1024 * 1024)

/* All of them, whatever their `until`. */
static struct secrets
without_end(const struct secrets *secrets)
{
	struct secrets forever = *secrets;
	for (size_t i = 0; i < forever.count; i++) {
		forever.items[i].until_ns = 0;
	}
	return forever;
}

/* Which secret fits; -1: none. */
static int
fitting(const struct diagnosis *d, const struct scheme *scheme, const struct secrets *secrets,
        struct span body)
{
	struct verification v;
	struct verify_keys keys = { .secrets = secrets, .public_keys = d->keys->public_keys };
	enum verdict verdict = verification_whole(&v, scheme, &keys, d->request, d->now_ns, body);
	verification_drop(&v);
	bool fits = verdict == VERDICT_GOOD || verdict == VERDICT_TIMESTAMP_TOO_OLD ||
	            verdict == VERDICT_TIMESTAMP_IN_FUTURE;
	return fits && v.matched >= 0 ? v.matched : -1;
}

static bool
find_secret(const struct diagnosis *d, struct buffer *why)
{
	struct secrets own = without_end(d->keys->secrets);
	int index = fitting(d, d->scheme, &own, d->body);
	if (index >= 0) {
		buffer_format(why, "it fits secret %d of this source, which has expired (`until`)",
		              index + 1);
		return true;
	}
	for (size_t i = 0; i < d->other_count; i++) {
		struct secrets other = without_end(d->others[i].secrets);
		index = fitting(d, d->scheme, &other, d->body);
		if (index >= 0) {
			buffer_format(
				why,
				"it fits secret %d of the source %s: the wrong path, or mixed up secrets",
				index + 1, d->others[i].name);
			return true;
		}
	}
	return false;
}

static bool
find_alteration(const struct diagnosis *d, struct buffer *why)
{
	struct secrets own = without_end(d->keys->secrets);
	for (const struct alteration *one = alterations; one->text != NULL; one++) {
		struct buffer body;
		buffer_init(&body, BODY_MOST_BYTES);
		bool fits = one->undo(d->body, &body) && !body.failed &&
		            fitting(d, d->scheme, &own, buffer_view(&body)) >= 0;
		buffer_finish(&body);
		if (fits) {
			buffer_format(why, "the body was altered on the way: %s", one->text);
			return true;
		}
	}
	if (alteration_truncated(d->body)) {
		buffer_text(
			why,
			"the body was altered on the way: it ends in the middle of its JSON (truncated)");
		return true;
	}
	return false;
}

/* Secrets whose text was taken for a key in another way than it should have been. */
static bool
find_url(const struct diagnosis *d, struct buffer *why)
{
	if (!scheme_signs(d->scheme, SCHEME_URL)) {
		return false;
	}
	buffer_format(
		why,
		"the signature fits none of the secrets; it is over the URL too: is public_url %.*s exactly what is "
		"entered at the provider?",
		SPAN_ARG(d->request->url));
	return true;
}

static void
explain_mismatch(const struct diagnosis *d, struct buffer *why)
{
	if (d->scheme->algorithm == SCHEME_TOKEN) {
		if (!find_secret(d, why)) {
			buffer_text(why, "the token is none of the secrets");
		}
		return;
	}
	if (d->scheme->algorithm == SCHEME_SNS && !sns_topic_allowed(d->request, d->body)) {
		buffer_text(why, "its topic is none of topic_arns");
		return;
	}
	if (find_secret(d, why) || (d->thorough && find_alteration(d, why)) || find_url(d, why)) {
		return;
	}
	buffer_text(
		why,
		scheme_has_secrets(d->scheme)
			? "the signature fits none of the secrets: another secret, or the body was "
			  "altered on the way"
			: "the signature fits none of the keys: another key, or the body was altered on the way");
}

/* A signature of some other provider is there instead. */
static const struct preset *
other_provider(const struct diagnosis *d)
{
	struct span ignored;
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const char *header = preset->scheme.signature_header;
		if (header != NULL && preset->scheme.algorithm != SCHEME_TOKEN &&
		    (d->scheme->signature_header == NULL ||
		     !span_equal_nocase(span_of(header), span_of(d->scheme->signature_header))) &&
		    fields_find(d->request->fields, span_of(header), &ignored) > 0) {
			return preset;
		}
	}
	return NULL;
}

static const char *
place(const struct scheme *scheme)
{
	return scheme->signature_header != NULL  ? scheme->signature_header
	       : scheme->signature_json != NULL  ? scheme->signature_json
	       : scheme->algorithm == SCHEME_SNS ? "/Signature"
	                                         : "hmacSignature of an item";
}

static void
explain_missing(const struct diagnosis *d, struct buffer *why)
{
	const struct preset *other = other_provider(d);
	const char *kind = d->scheme->signature_header != NULL ? "header" : "value";
	buffer_format(why, "the %s %s is missing or empty", kind, place(d->scheme));
	if (other != NULL) {
		buffer_format(why, "; there is %s, as %s sends it: the wrong path or provider",
		              other->scheme.signature_header, other->name);
	}
}

static void
explain_malformed(const struct diagnosis *d, struct buffer *why)
{
	struct span value = { 0 };
	const struct scheme *scheme = d->scheme;
	size_t found =
		scheme->signature_header == NULL
			? 0
			: request_field(d->request, scheme, scheme->signature_header, &value);
	if (found > 1) {
		buffer_format(why, "the header %s stands there %zu times", place(scheme), found);
	} else if (scheme->algorithm == SCHEME_JWT) {
		buffer_format(why, "the header %s holds no JSON Web Token with alg ES256 and a kid",
		              place(scheme));
	} else if (scheme->certificate_header != NULL || scheme->certificate_json != NULL) {
		buffer_format(
			why,
			"%s holds no signature, or %s is not a certificate's URL on a host that is allowed",
			place(scheme),
			scheme->certificate_header != NULL ? scheme->certificate_header
							   : scheme->certificate_json);
	} else if (scheme->body_hash_query != NULL) {
		buffer_format(
			why,
			"the header %s holds no signature, or the URL has no parameter %s: nothing ties the body to "
			"the signature",
			place(scheme), scheme->body_hash_query);
	} else if (scheme->algorithm == SCHEME_TOKEN) {
		buffer_format(why, "the header %s does not begin with \"%s\"", place(scheme),
		              scheme->prefix == NULL ? "" : scheme->prefix);
	} else {
		buffer_format(why, "%s holds no signature of this scheme (prefix %s, %s)",
		              place(scheme), scheme->prefix == NULL ? "none" : scheme->prefix,
		              scheme->encoding == SCHEME_HEX ? "hex" : "base64");
	}
}

static const char *
time_place(const struct scheme *scheme)
{
	return scheme->timestamp.name != NULL     ? scheme->timestamp.name
	       : scheme->timestamp_prefix != NULL ? scheme->timestamp_prefix
	                                          : "iat";
}

void
diagnose(const struct diagnosis *d, struct buffer *why)
{
	static const char *const units[] = { "seconds", "milliseconds", "RFC 3339" };
	int64_t age_ns = d->verification->age_ns;
	switch (d->verdict) {
	case VERDICT_GOOD:
	case VERDICTS: break;
	case VERDICT_SIGNATURE_MISSING: explain_missing(d, why); break;
	case VERDICT_SIGNATURE_MALFORMED: explain_malformed(d, why); break;
	case VERDICT_TIMESTAMP_MISSING:
		buffer_format(why, "the timestamp (%s, in %s) is missing or cannot be read",
		              time_place(d->scheme), units[d->scheme->unit]);
		break;
	case VERDICT_SIGNATURE_MISMATCH: explain_mismatch(d, why); break;
	case VERDICT_TIMESTAMP_TOO_OLD:
	case VERDICT_TIMESTAMP_IN_FUTURE:
		buffer_format(why,
		              "the signature is right, but its time is %" PRId64 " s %s; %" PRId64
		              " s are allowed: a wrong clock, or an old request",
		              (age_ns < 0 ? -age_ns : age_ns) / NS_PER_S,
		              age_ns < 0 ? "ahead" : "old", d->scheme->tolerance_ns / NS_PER_S);
		break;
	case VERDICT_KEY_UNAVAILABLE:
		buffer_format(why, "the key %s is not pinned and could not be fetched",
		              d->verification->wanted_key);
		break;
	}
}
