#include "receiver/verify/template.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "receiver/verify/form.h"
#include "receiver/verify/json_pointer.h"

/* Takes the next name of a comma-separated list off the front. */
static bool
next_name(struct span *list, struct span *name)
{
	while (list->size > 0) {
		size_t size = 0;
		while (size < list->size && list->data[size] != ',') {
			size++;
		}
		*name = span_trim((struct span){ list->data, size });
		*list = span_after(*list, size < list->size ? size + 1 : size);
		if (name->size > 0) {
			return true;
		}
	}
	return false;
}

static bool
signed_headers(const struct verify_request *request, struct span header, struct buffer *out)
{
	struct span list = { 0 };
	struct span name;
	if (fields_find(request->fields, header, &list) != 1) {
		return false;
	}
	for (bool first = true; next_name(&list, &name); first = false) {
		struct span value = { 0 };
		if (fields_find(request->fields, name, &value) > 1) {
			return false; /* which of them was signed? */
		}
		buffer_text(out, first ? "" : ";");
		buffer_lower(out, name);
		buffer_byte(out, ':');
		buffer_span(out, span_trim(value));
	}
	return !out->failed;
}

bool
template_list_holds(const struct scheme *scheme, const struct verify_request *request)
{
	struct span text = span_of(scheme->signed_text);
	struct scheme_piece piece;
	while (scheme_next_piece(&text, &piece)) {
		if (piece.token != SCHEME_SIGNED_HEADERS) {
			continue;
		}
		struct span list = { 0 };
		struct span name;
		bool itself = false;
		bool time = scheme->timestamp.from != SCHEME_FROM_HEADER ||
		            scheme_signs(scheme, SCHEME_TIMESTAMP);
		if (fields_find(request->fields, piece.text, &list) != 1) {
			return false;
		}
		while (next_name(&list, &name)) {
			itself = itself || span_equal_nocase(name, piece.text);
			time = time || (scheme->timestamp.from == SCHEME_FROM_HEADER &&
			                span_equal_nocase(name, span_of(scheme->timestamp.name)));
		}
		if (!itself || !time) {
			return false;
		}
	}
	return true;
}

bool
template_text(const struct template_values *values, const struct scheme_piece *piece,
              struct buffer *room, struct span *ret)
{
	const struct verify_request *request = values->request;
	bool good = true;
	room->size = 0;
	switch (piece->token) {
	case SCHEME_LITERAL: *ret = piece->text; return true;
	case SCHEME_TIMESTAMP: *ret = values->timestamp; return true;
	case SCHEME_ID: *ret = values->id; return true;
	case SCHEME_METHOD: *ret = request->method; return true;
	case SCHEME_URL: *ret = values->url; return true;
	case SCHEME_BODY: *ret = values->body; return true;
	case SCHEME_WEBHOOK_ID: *ret = request->webhook_id; return true;
	case SCHEME_PATH:
	case SCHEME_QUERY:
		buffer_span(room, piece->token == SCHEME_PATH ? request->path : SPAN(""));
		buffer_text(room, request->query.size > 0 ? "?" : "");
		buffer_span(room, request->query);
		break;
	case SCHEME_FORM: good = form_sorted(values->body, room); break;
	case SCHEME_JSON: good = json_text_at(values->body, piece->text, room) == JSON_FOUND; break;
	case SCHEME_HEADER:
		*ret = (struct span){ 0 };
		return fields_find(request->fields, piece->text, ret) <= 1;
	case SCHEME_SIGNED_HEADERS: good = signed_headers(request, piece->text, room); break;
	case SCHEME_CRC32:
		buffer_format(room, "%lu",
		              crc32_z(0, (const unsigned char *)values->body.data,
		                      values->body.size));
		break;
	}
	*ret = buffer_view(room);
	return good && !room->failed;
}

bool
template_write(const struct template_values *values, struct buffer *out)
{
	struct span text = span_of(values->scheme->signed_text);
	struct scheme_piece piece;
	struct buffer room;
	bool good = true;
	buffer_init(&room, values->body.size + 1024 * 1024);
	while (good && scheme_next_piece(&text, &piece)) {
		struct span one = { 0 };
		good = template_text(values, &piece, &room, &one);
		buffer_span(out, one);
	}
	buffer_finish(&room);
	return good && !out->failed;
}

bool
template_streams(const struct scheme *scheme)
{
	return !scheme_signs(scheme, SCHEME_FORM) && !scheme_signs(scheme, SCHEME_JSON) &&
	       !scheme_signs(scheme, SCHEME_CRC32);
}

bool
template_other_port(struct span url, struct buffer *out)
{
	bool tls = span_starts(url, SPAN("https://"));
	struct span scheme = tls ? SPAN("https://") : SPAN("http://");
	struct span port = tls ? SPAN(":443") : SPAN(":80");
	if (!span_starts(url, scheme)) {
		return false;
	}
	size_t end = scheme.size;
	while (end < url.size && strchr("/?#", url.data[end]) == NULL) {
		end++;
	}
	struct span authority = { url.data + scheme.size, end - scheme.size };
	size_t colon = authority.size;
	while (colon > 0 && authority.data[colon - 1] != ':' && authority.data[colon - 1] != ']') {
		colon--;
	}
	bool has_port = colon > 0 && authority.data[colon - 1] == ':';
	buffer_span(out, scheme);
	if (!has_port) {
		buffer_span(out, authority);
		buffer_span(out, port);
	} else if (span_equal(span_after(authority, colon - 1), port)) {
		buffer_span(out, (struct span){ authority.data, colon - 1 });
	} else {
		return false;
	}
	buffer_span(out, span_after(url, end));
	return !out->failed;
}

void
template_decoded_url(struct span url, struct buffer *out)
{
	static const struct {
		const char *encoded;
		char byte;
	} decoded[] = { { "%3A", ':' }, { "%2F", '/' }, { "%3F", '?' },  { "%40", '@' },
		        { "%21", '!' }, { "%24", '$' }, { "%27", '\'' }, { "%28", '(' },
		        { "%29", ')' }, { "%2A", '*' }, { "%2C", ',' },  { "%3B", ';' } };
	while (url.size > 0) {
		size_t i = 0;
		while (i < COUNT(decoded) &&
		       (url.size < 3 || !span_equal_nocase((struct span){ url.data, 3 },
		                                           span_of(decoded[i].encoded)))) {
			i++;
		}
		bool known = i < COUNT(decoded);
		buffer_append(out, known ? &decoded[i].byte : url.data, 1);
		url = span_after(url, known ? 3 : 1);
	}
}
