/* Whether the time of a refusal tells how many leading bytes of a signature are right: two classes of refused requests in
 * random order, Welch's t-test over their times (as dudect does: https://eprint.iacr.org/2016/1123). A control, which
 * compares byte by byte and stops at the first difference, must be found out by the same test.
 *   refusal [SAMPLES]        exit 1 when the engine is found out, or the control is not */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/presets.h"
#include "receiver/verify/sign.h"

#define SAMPLES_MOST 2000000
#define SAMPLES      200000
#define KEPT         0.9 /* of the samples of a class: the slowest are interrupts */
/* A leak: |t| above this (dudect suspects from 4.5 on), and more ns than a machine's own breathing. */
#define FOUND_OUT      10.0
#define FOUND_OUT_NS   5.0 /* the control shows hundreds */
#define CONTROL_ROUNDS 20

/* A request whose signature is made wrong in its first byte, or in its last alone: in one place, so that nothing but the
 * bytes differs. */
struct request {
	struct verify_request verify;
	struct field fields[4];
	char texts[4][512];
	size_t count;
	char *ends[2]; /* its first and its last byte */
	char right[2]; /* as they should be */
	char wrong[2];
};

struct subject {
	const char *name;
	const struct scheme *scheme;
	struct secrets secrets;
	struct span body;
	int64_t now_ns;
	struct request request;
};

static void
fill_request(struct request *request, struct span lines)
{
	while (lines.size > 0 && request->count < COUNT(request->fields)) {
		size_t size =
			(size_t)((const char *)memchr(lines.data, '\n', lines.size) - lines.data);
		char *text = request->texts[request->count];
		(void)snprintf(text, sizeof(request->texts[0]), "%.*s", (int)size, lines.data);
		char *colon = strchr(text, ':');
		request->fields[request->count].name =
			(struct span){ text, (size_t)(colon - text) };
		request->fields[request->count].value = span_of(colon + 2);
		request->count++;
		lines = span_after(lines, size + 1);
	}
	request->verify.fields = (struct fields){ request->fields, request->count };
}

/* Another digit for a digit, a letter for a letter: what decodes the sender's own text may tell them apart. */
static char
another(char byte)
{
	static const char from[] = "0123456789abcdef";
	static const char to[] = "1234567890bcdefa";
	return to[strchr(from, byte) - from];
}

/* Finds the ends of the signature, which stands at the end of its header. */
static void
find_ends(struct subject *subject)
{
	struct request *request = &subject->request;
	size_t digits =
		subject->scheme->algorithm == SCHEME_TOKEN ? subject->secrets.items[0].size : 64;
	for (size_t i = 0; i < request->count; i++) {
		struct span value = request->fields[i].value;
		if (!span_equal_nocase(request->fields[i].name,
		                       span_of(subject->scheme->signature_header))) {
			continue;
		}
		request->ends[0] = (char *)(uintptr_t)value.data + value.size - digits;
		request->ends[1] = (char *)(uintptr_t)value.data + value.size - 1;
		for (size_t end = 0; end < 2; end++) {
			request->right[end] = *request->ends[end];
			request->wrong[end] = another(request->right[end]);
		}
	}
}

static void
spoil(const struct request *request, size_t end)
{
	*request->ends[0] = end == 0 ? request->wrong[0] : request->right[0];
	*request->ends[1] = end == 1 ? request->wrong[1] : request->right[1];
}

static void
prepare(struct subject *subject, const char *preset)
{
	struct error err;
	struct verify_request target = { .method = SPAN("POST"), .path = SPAN("/hook") };
	struct signed_request made;
	subject->name = preset;
	subject->scheme = &preset_find(preset)->scheme;
	subject->body = SPAN("{\"id\":\"evt_1\",\"type\":\"test\"}");
	subject->now_ns = clock_wall_ns();
	ALWAYS(secrets_add(&subject->secrets, subject->scheme->key,
	                   SPAN("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
	                   0, &err),
	       "refusal-secret");
	struct signing signing = { .scheme = subject->scheme,
		                   .secret = &subject->secrets.items[0],
		                   .request = &target,
		                   .now_ns = subject->now_ns,
		                   .id = SPAN("evt_1"),
		                   .type = SPAN("test"),
		                   .body = subject->body };
	ALWAYS(sign_request(&signing, &made, &err), "refusal-sign");
	subject->request.verify = target;
	fill_request(&subject->request, buffer_view(&made.lines));
	find_ends(subject);
	signed_request_finish(&made);
}

static enum verdict
refuse(const struct subject *subject)
{
	struct verification v;
	struct public_keys none = { .count = 0 };
	struct verify_keys keys = { .secrets = &subject->secrets, .public_keys = &none };
	enum verdict verdict =
		verification_whole(&v, subject->scheme, &keys, &subject->request.verify,
	                           subject->now_ns, subject->body);
	verification_drop(&v);
	return verdict;
}

/* --- the test --- */

struct samples {
	double *times;
	size_t count;
};

static int
compare_times(const void *a, const void *b)
{
	double one = *(const double *)a;
	double two = *(const double *)b;
	return (one > two) - (one < two);
}

static void
moments(struct samples *samples, double *mean, double *variance)
{
	qsort(samples->times, samples->count, sizeof(double), compare_times);
	size_t kept = (size_t)((double)samples->count * KEPT);
	double sum = 0;
	double squares = 0;
	for (size_t i = 0; i < kept; i++) {
		sum += samples->times[i];
	}
	*mean = sum / (double)kept;
	for (size_t i = 0; i < kept; i++) {
		squares += (samples->times[i] - *mean) * (samples->times[i] - *mean);
	}
	*variance = squares / (double)(kept - 1) / (double)kept;
}

/* Prints a line; true when the times tell the classes apart. */
static bool
tell(const char *name, struct samples classes[2])
{
	double mean[2];
	double variance[2];
	for (size_t i = 0; i < 2; i++) {
		moments(&classes[i], &mean[i], &variance[i]);
	}
	double t = (mean[0] - mean[1]) / sqrt(variance[0] + variance[1]);
	(void)printf("%-24s %10.1f %10.1f %10.3f\n", name, mean[0], mean[1], t);
	return fabs(t) > FOUND_OUT && fabs(mean[0] - mean[1]) > FOUND_OUT_NS;
}

static int64_t
now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static bool
test_subject(const struct subject *subject, size_t count, struct random *random)
{
	struct samples classes[2] = { { memory_need(count * sizeof(double)), 0 },
		                      { memory_need(count * sizeof(double)), 0 } };
	for (size_t i = 0; i < count; i++) {
		size_t class = (size_t)random_up_to(random, 1);
		spoil(&subject->request, class);
		int64_t begun = now_ns();
		enum verdict verdict = refuse(subject);
		int64_t took = now_ns() - begun;
		ALWAYS(verdict == VERDICT_SIGNATURE_MISMATCH, "refusal-verdict");
		classes[class].times[classes[class].count++] = (double)took;
	}
	bool told = tell(subject->name, classes);
	free(classes[0].times);
	free(classes[1].times);
	return told;
}

/* What everybody writes first. */
static bool
naive_equal(const volatile char *a, const volatile char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (a[i] != b[i]) {
			return false;
		}
	}
	return true;
}

static bool
test_control(size_t count, struct random *random)
{
	char right[65] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char wrong[2][65];
	struct samples classes[2] = { { memory_need(count * sizeof(double)), 0 },
		                      { memory_need(count * sizeof(double)), 0 } };
	memcpy(wrong[0], right, sizeof(right));
	memcpy(wrong[1], right, sizeof(right));
	wrong[0][0] = 'x';
	wrong[1][63] = 'x';
	size_t equal = 0;
	for (size_t i = 0; i < count; i++) {
		size_t class = (size_t)random_up_to(random, 1);
		int64_t begun = now_ns();
		for (int round = 0; round < CONTROL_ROUNDS; round++) {
			equal += naive_equal(right, wrong[class], 64) ? 1 : 0;
		}
		classes[class].times[classes[class].count++] = (double)(now_ns() - begun);
	}
	ALWAYS(equal == 0, "refusal-control");
	bool told = tell("control (byte by byte)", classes);
	free(classes[0].times);
	free(classes[1].times);
	return told;
}

int
main(int argc, char **argv)
{
	static const char *const presets_tried[] = { "github", "stripe", "gitlab-token" };
	int64_t count = SAMPLES;
	struct random random;
	bool good = true;
	if (argc > 1 &&
	    (!span_number(span_of(argv[1]), &count) || count < 1000 || count > SAMPLES_MOST)) {
		(void)fprintf(stderr, "usage: refusal [SAMPLES]\n");
		return 2;
	}
	random_seed_system(&random);
	(void)printf(
		"%-24s %10s %10s %10s   %lld samples in all; a leak: |t| above %.0f and a difference above %.0f ns\n",
		"refused", "first, ns", "last, ns", "t", (long long)count, FOUND_OUT, FOUND_OUT_NS);
	for (size_t i = 0; i < COUNT(presets_tried); i++) {
		static struct subject subjects[COUNT(presets_tried)];
		prepare(&subjects[i], presets_tried[i]);
		good = !test_subject(&subjects[i], (size_t)count, &random) && good;
		secrets_finish(&subjects[i].secrets);
	}
	good = test_control((size_t)count, &random) && good;
	mac_thread_finish();
	(void)puts(
		good ? "the time of a refusal does not tell how much of a signature is right"
		     : "the time of a refusal tells too much, or this machine is too noisy to see it");
	return good ? 0 : 1;
}
