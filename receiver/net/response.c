#include "receiver/net/response.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *
reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = { { 200, "OK" },
		        { 201, "Created" },
		        { 202, "Accepted" },
		        { 204, "No Content" },
		        { 400, "Bad Request" },
		        { 401, "Unauthorized" },
		        { 403, "Forbidden" },
		        { 404, "Not Found" },
		        { 405, "Method Not Allowed" },
		        { 408, "Request Timeout" },
		        { 409, "Conflict" },
		        { 413, "Content Too Large" },
		        { 415, "Unsupported Media Type" },
		        { 431, "Request Header Fields Too Large" },
		        { 500, "Internal Server Error" },
		        { 503, "Service Unavailable" } };
	for (size_t i = 0; i < COUNT(phrases); i++) {
		if (phrases[i].status == status) {
			return phrases[i].phrase;
		}
	}
	return "Other";
}

void
response_date(int64_t seconds, char text[RESPONSE_DATE_BYTES])
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = (time_t)seconds;
	struct tm parts;
	text[0] = '\0';
	if (gmtime_r(&now, &parts) != NULL) {
		(void)snprintf(text, RESPONSE_DATE_BYTES, "%s, %02u %s %04u %02u:%02u:%02u GMT",
		               days[(unsigned)parts.tm_wday % 7U], (unsigned)parts.tm_mday % 100U,
		               months[(unsigned)parts.tm_mon % 12U],
		               (unsigned)(parts.tm_year + 1900) % 10000U,
		               (unsigned)parts.tm_hour % 100U, (unsigned)parts.tm_min % 100U,
		               (unsigned)parts.tm_sec % 100U);
	}
}

static void
field(struct buffer *out, struct span name, const char *value)
{
	buffer_span(out, name);
	buffer_text(out, value);
	buffer_span(out, SPAN("\r\n"));
}

void
response_write(struct buffer *out, const struct http_response *response,
               const struct response_frame *frame)
{
	bool bodiless = response->status == 204;
	buffer_span(out, SPAN("HTTP/1.1 "));
	buffer_number(out, response->status);
	buffer_byte(out, ' ');
	field(out, SPAN(""), reason_phrase(response->status));
	field(out, SPAN("Date: "), frame->date);
	if (response->content_type != NULL) {
		field(out, SPAN("Content-Type: "), response->content_type);
	}
	if (!bodiless) {
		buffer_span(out, SPAN("Content-Length: "));
		buffer_number(out, (int64_t)response->body.size);
		buffer_span(out, SPAN("\r\n"));
	}
	/* RFC 9111 section 3: nothing of ours is worth keeping, and 404 would be kept by default. */
	field(out, SPAN("Cache-Control: "), "no-store");
	buffer_text(out, response->fields == NULL ? "" : response->fields);
	buffer_text(out, frame->close ? "Connection: close\r\n\r\n" : "\r\n");
	if (!bodiless && !frame->head_only) {
		buffer_span(out, response->body);
	}
}
