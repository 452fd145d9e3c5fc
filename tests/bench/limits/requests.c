/* What libcurl allows a handler that posts: one request after the other on each thread, over kept connections.
 *   requests THREADS SECONDS URL BYTES */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "tests/bench/limits/threads.h"

static CURL *handles[THREADS_MOST];

static size_t
throw_away(char *bytes, size_t size, size_t count, void *unused)
{
	(void)bytes;
	(void)unused;
	return size * count;
}

static bool
post(unsigned thread)
{
	long status = 0;
	CURLcode code = curl_easy_perform(handles[thread]);
	curl_easy_getinfo(handles[thread], CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK || status != 200) {
		warnx("%s, status %ld", curl_easy_strerror(code), status);
		return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	if (argc != 5) {
		errx(2, "usage: requests THREADS SECONDS URL BYTES");
	}
	unsigned threads = (unsigned)threads_number(argv[1], 1, THREADS_MOST);
	size_t bytes = (size_t)threads_number(argv[4], 0, 64 << 20);
	char *body = malloc(bytes + 1);
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Expect:");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || body == NULL || headers == NULL) {
		errx(1, "no libcurl");
	}
	memset(body, 'x', bytes);
	for (unsigned i = 0; i < threads; i++) {
		CURL *handle = curl_easy_init();
		if (handle == NULL) {
			errx(1, "no libcurl handle");
		}
		curl_easy_setopt(handle, CURLOPT_URL, argv[3]);
		curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
		curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, throw_away);
		handles[i] = handle;
	}
	return threads_run(threads, threads_number(argv[2], 0.1, 3600), post);
}
