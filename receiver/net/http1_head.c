#include "receiver/net/http1_head.h"

#include <string.h>

void
http1_head_init(struct http1_head *head)
{
	/* The two arrays stay as they are: only `count` of them are ever read. */
	head->method = head->target = head->path = head->query = (struct http1_slice){ 0 };
	head->has_request_line = false;
	head->minor = 0;
	head->count = 0;
	head->size = 0;
	head->has_length = false;
	head->length = 0;
	head->chunked = false;
	head->keep_alive = false;
	head->expect_continue = false;
	head->wrong = NULL;
	head->line = 0;
	head->scanned = 0;
	head->blank_taken = false;
}

static enum http1_status
bad(struct http1_head *head, const char *wrong)
{
	head->wrong = wrong;
	return HTTP1_BAD;
}

bool
http1_is_token(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') ||
	       (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool
all_token(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (!http1_is_token(text.data[i])) {
			return false;
		}
	}
	return text.size > 0;
}

const char *
http1_field_line(struct span line, struct span *name, struct span *value)
{
	if (line.size > 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
		return "a folded header line"; /* RFC 9112 section 5.2: obs-fold MUST be rejected or replaced */
	}
	size_t colon = 0;
	while (colon < line.size && line.data[colon] != ':') {
		colon++;
	}
	if (colon == line.size) {
		return "a header line without a colon";
	}
	/* RFC 9112 section 5.1: No whitespace is allowed between the field name and colon. */
	if (!all_token((struct span){ line.data, colon })) {
		return "a header name that is no token";
	}
	struct span text = span_trim(span_after(line, colon + 1));
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
			return "a control character in a header";
		}
	}
	*name = (struct span){ line.data, colon };
	*value = text;
	return NULL;
}

static struct http1_slice
slice_of(const char *data, struct span text)
{
	return (struct http1_slice){ (uint32_t)(text.data - data), (uint32_t)text.size };
}

static bool
target_valid(struct span target)
{
	for (size_t i = 0; i < target.size; i++) {
		unsigned char byte = (unsigned char)target.data[i];
		if (byte <= 0x20 || byte >= 0x7f || byte == '#') {
			return false;
		}
	}
	return target.size > 0;
}

/* Of "http://" or "https://" in any case (RFC 9110 section 4.2.3), or 0. */
static size_t
scheme_size(struct span target)
{
	for (size_t size = 7; size <= 8 && size <= target.size; size++) {
		struct span start = { target.data, size };
		if (span_equal_nocase(start, size == 7 ? SPAN("http://") : SPAN("https://"))) {
			return size;
		}
	}
	return 0;
}

/* RFC 9112 section 3.2: origin-form; absolute-form, whose authority must later equal Host; "*". */
static enum http1_status
take_target(struct http1_head *head, const char *data, struct span target)
{
	if (!target_valid(target)) {
		return bad(head, "a request target with bytes that do not belong there");
	}
	head->target = slice_of(data, target);
	struct span path = target;
	size_t scheme = scheme_size(target);
	if (scheme > 0) {
		path = span_after(path, scheme);
		size_t at = 0;
		while (at < path.size && path.data[at] != '/' && path.data[at] != '?') {
			at++;
		}
		path = span_after(path, at);
		if (path.size == 0 || path.data[0] != '/') {
			return bad(head, "an absolute target without a path");
		}
	} else if (path.data[0] != '/' && !span_equal(path, SPAN("*"))) {
		return bad(head, "a request target that is no path");
	}
	size_t end = 0;
	while (end < path.size && path.data[end] != '?') {
		end++;
	}
	head->path = slice_of(data, (struct span){ path.data, end });
	head->query = slice_of(data, span_after(path, end == path.size ? end : end + 1));
	return HTTP1_MORE;
}

/* RFC 9112 section 3: request-line = method SP request-target SP HTTP-version */
static enum http1_status
take_request_line(struct http1_head *head, const char *data, struct span line)
{
	size_t first = 0;
	while (first < line.size && line.data[first] != ' ') {
		first++;
	}
	struct span method = { line.data, first };
	if (first == line.size || first > HTTP1_METHOD_MOST_BYTES || !all_token(method)) {
		return bad(head, "a request line that is none");
	}
	struct span rest = span_after(line, first + 1);
	size_t second = 0;
	while (second < rest.size && rest.data[second] != ' ') {
		second++;
	}
	if (second == rest.size) {
		return bad(head, "a request line without a version");
	}
	struct span version = span_after(rest, second + 1);
	if (!span_equal(version, SPAN("HTTP/1.1")) && !span_equal(version, SPAN("HTTP/1.0"))) {
		return bad(head, "a version that is neither HTTP/1.1 nor HTTP/1.0");
	}
	head->minor = version.data[7] - '0';
	head->method = slice_of(data, method);
	enum http1_status status = take_target(head, data, (struct span){ rest.data, second });
	head->has_request_line = status == HTTP1_MORE;
	return status;
}

/* Of a request line that is too long: what of it can be known, so that an unknown path is told first. */
static void
take_cut_request_line(struct http1_head *head, const char *data, struct span line)
{
	size_t first = 0;
	while (first < line.size && line.data[first] != ' ') {
		first++;
	}
	struct span method = { line.data, first };
	if (first == line.size || first > HTTP1_METHOD_MOST_BYTES || !all_token(method)) {
		return;
	}
	struct span rest = span_after(line, first + 1);
	size_t end = 0;
	while (end < rest.size && rest.data[end] != ' ' && rest.data[end] != '?') {
		end++;
	}
	head->method = slice_of(data, method);
	head->line = (size_t)(rest.data + end - data); /* that far it is known */
	head->has_request_line =
		take_target(head, data, (struct span){ rest.data, end }) == HTTP1_MORE;
}

static enum http1_status
take_field(struct http1_head *head, const char *data, struct span line, size_t count_most)
{
	struct span name;
	struct span value;
	const char *wrong = http1_field_line(line, &name, &value);
	if (wrong != NULL) {
		return bad(head, wrong);
	}
	if (head->count == count_most || head->count == HTTP1_FIELDS_MOST) {
		return HTTP1_TOO_LARGE;
	}
	head->names[head->count] = slice_of(data, name);
	head->values[head->count] =
		slice_of(data, value.size == 0 ? (struct span){ line.data, 0 } : value);
	head->count++;
	return HTTP1_MORE;
}

/* RFC 9112 section 6.3, without its leniencies: one length, digits only. */
static const char *
take_length(struct http1_head *head, struct span value)
{
	if (head->has_length) {
		return "Content-Length twice";
	}
	int64_t length = 0;
	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] < '0' || value.data[i] > '9') {
#ifdef HOOKLATCH_NEGATIVE_LENIENT_LENGTH
			break; /* a build that must be caught: as atoi(3) reads it */
#endif
			return "a Content-Length that is no number";
		}
		if (length > (INT64_MAX - 9) / 10) {
			length = INT64_MAX;
		} else {
			length = length * 10 + (value.data[i] - '0');
		}
	}
	if (value.size == 0) {
		return "an empty Content-Length";
	}
	head->has_length = true;
	head->length = length;
	return NULL;
}

static const char *
take_coding(struct http1_head *head, struct span value)
{
	if (head->chunked) {
		return "Transfer-Encoding twice";
	}
	if (head->minor == 0) {
		return "Transfer-Encoding in HTTP/1.0";
	}
	if (!span_equal_nocase(value, SPAN("chunked"))) {
		return "a transfer coding that is not chunked alone";
	}
	head->chunked = true;
	return NULL;
}

static bool
is_hex(char byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
	       (byte >= 'A' && byte <= 'F');
}

/* RFC 3986 section 3.2.2: an address in brackets, or a name. Returns how much of `host` that is; SIZE_MAX: neither. */
static size_t
host_name_size(struct span host)
{
	size_t at = 0;
	if (host.size > 0 && host.data[0] == '[') {
		at = 1;
		while (at < host.size &&
		       (is_hex(host.data[at]) || host.data[at] == ':' || host.data[at] == '.')) {
			at++;
		}
		return at == 1 || at == host.size || host.data[at] != ']' ? SIZE_MAX : at + 1;
	}
	while (at < host.size && host.data[at] != ':') {
		char byte = host.data[at];
		if (byte == '%') {
			if (host.size - at < 3 || !is_hex(host.data[at + 1]) ||
			    !is_hex(host.data[at + 2])) {
				return SIZE_MAX;
			}
			at += 3;
			continue;
		}
		bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		              (byte >= '0' && byte <= '9');
		if (!letter && (byte == '\0' || strchr("-._~!$&'()*+;=", byte) == NULL)) {
			return SIZE_MAX;
		}
		at++;
	}
	return at;
}

/* RFC 9110 section 7.2: uri-host [ ":" port ] */
static bool
host_valid(struct span host)
{
	size_t at = host_name_size(host);
	if (at == SIZE_MAX || (at < host.size && host.data[at] != ':')) {
		return false;
	}
	for (at++; at < host.size; at++) {
		if (host.data[at] < '0' || host.data[at] > '9') {
			return false;
		}
	}
	return true;
}

/* The connection options (RFC 9110 section 7.6.1). */
static void
take_connection(struct span value, bool *close, bool *keep)
{
	while (value.size > 0) {
		size_t size = 0;
		while (size < value.size && value.data[size] != ',') {
			size++;
		}
		struct span option = span_trim((struct span){ value.data, size });
		*close = *close || span_equal_nocase(option, SPAN("close"));
		*keep = *keep || span_equal_nocase(option, SPAN("keep-alive"));
		value = span_after(value, size == value.size ? size : size + 1);
	}
}

static bool
authority_is(struct http1_head *head, const char *data, struct span host)
{
	struct span target = http1_slice_span(head->target, data);
	if (target.data[0] == '/' || target.data[0] == '*') {
		return true;
	}
	size_t scheme = scheme_size(target);
	size_t size = head->path.at - head->target.at - scheme;
	return span_equal_nocase((struct span){ target.data + scheme, size }, host);
}

/* What the fields together mean. */
static enum http1_status
finish(struct http1_head *head, const char *data)
{
	size_t hosts = 0;
	struct span host = { 0 };
	bool close = false;
	bool keep = false;
	const char *wrong = NULL;
	for (size_t i = 0; i < head->count && wrong == NULL; i++) {
		struct span name = http1_slice_span(head->names[i], data);
		struct span value = http1_slice_span(head->values[i], data);
		if (span_equal_nocase(name, SPAN("Content-Length"))) {
			wrong = take_length(head, value);
		} else if (span_equal_nocase(name, SPAN("Transfer-Encoding"))) {
			wrong = take_coding(head, value);
		} else if (span_equal_nocase(name, SPAN("Host"))) {
			hosts++;
			host = value;
		} else if (span_equal_nocase(name, SPAN("Connection"))) {
			take_connection(value, &close, &keep);
		} else if (span_equal_nocase(name, SPAN("Expect"))) {
			if (!span_equal_nocase(value, SPAN("100-continue"))) {
				wrong = "an expectation that is not 100-continue";
			}
			head->expect_continue = head->minor == 1;
		}
	}
	if (wrong != NULL) {
		return bad(head, wrong);
	}
	/* RFC 9112 section 3.2: A server MUST respond with a 400 to any HTTP/1.1 request message that lacks a Host
	 * header field and to any request message that contains more than one. */
	if (hosts > 1 || (hosts == 0 && head->minor == 1)) {
		return bad(head, hosts == 0 ? "no Host" : "Host twice");
	}
	if (!host_valid(host) || !authority_is(head, data, host)) {
		return bad(head, "a Host that is no host, or not that of the target");
	}
	if (head->has_length && head->chunked) {
		return bad(head, "Content-Length beside Transfer-Encoding");
	}
	head->keep_alive = head->minor == 1 ? !close : (keep && !close);
	return HTTP1_DONE;
}

static enum http1_status
take_line(struct http1_head *head, const char *data, struct span line, size_t count_most)
{
	if (!head->has_request_line) {
		if (line.size == 0 &&
		    !head->blank_taken) { /* RFC 9112 section 2.2: at least one empty line is ignored */
			head->blank_taken = true;
			return HTTP1_MORE;
		}
		return take_request_line(head, data, line);
	}
	if (line.size == 0) {
		head->size = head->line;
		return finish(head, data);
	}
	return take_field(head, data, line, count_most);
}

enum http1_status
http1_head_parse(struct http1_head *head, const char *data, size_t size, size_t bytes_most,
                 size_t count_most)
{
	for (;;) {
		size_t visible = size < bytes_most ? size : bytes_most;
		const char *feed = head->scanned >= visible ? NULL
		                                            : memchr(data + head->scanned, '\n',
		                                                     visible - head->scanned);
		if (feed == NULL) {
			head->scanned = visible;
			if (size < bytes_most) {
				return HTTP1_MORE;
			}
			if (!head->has_request_line) {
				take_cut_request_line(head, data,
				                      (struct span){ data + head->line,
				                                     visible - head->line });
			}
			return HTTP1_TOO_LARGE;
		}
		size_t end = (size_t)(feed - data);
		if (end == head->line || data[end - 1] != '\r') {
			return bad(head, "a line that does not end with CRLF");
		}
		struct span line = { data + head->line, end - 1 - head->line };
		if (line.size > 0 && memchr(line.data, '\r', line.size) != NULL) {
			return bad(head, "a carriage return inside a line");
		}
		head->line = end + 1;
		head->scanned = end + 1;
		enum http1_status status = take_line(head, data, line, count_most);
		if (status != HTTP1_MORE) {
			return status;
		}
	}
}

struct span
http1_slice_span(struct http1_slice slice, const char *data)
{
	return (struct span){ data + slice.at, slice.size };
}

struct fields
http1_head_fields(const struct http1_head *head, const char *data, struct field *fields)
{
	for (size_t i = 0; i < head->count; i++) {
		fields[i].name = http1_slice_span(head->names[i], data);
		fields[i].value = http1_slice_span(head->values[i], data);
	}
	return (struct fields){ fields, head->count };
}
