/* What a loop needs again and again: requests, arrivals. All of it is taken and given back on the loop's own thread. */
#include <stdlib.h>
#include <string.h>

#include "receiver/intake/intake_priv.h"

struct request *
request_take(struct intake_loop *loop)
{
	struct request *request = loop->spare_requests;
	if (request != NULL) {
		loop->spare_requests = request->next_spare;
		loop->spare_request_count--;
	} else {
		request = malloc(sizeof(*request));
	}
	if (request != NULL) {
		request->loop = loop;
	}
	return request;
}

void
request_give_back(struct request *request)
{
	struct intake_loop *loop = request->loop;
	if (loop->spare_request_count >= INTAKE_SPARES) {
		free(request);
		return;
	}
	request->next_spare = loop->spare_requests;
	loop->spare_requests = request;
	loop->spare_request_count++;
}

static size_t
size_of(size_t handlers)
{
	return sizeof(struct arrival) + handlers * sizeof(struct wanted);
}

struct arrival *
arrival_take(struct intake_loop *loop, size_t handlers)
{
	struct arrival *arrival = loop->spare_arrivals;
	if (arrival == NULL || arrival->wanted_room < handlers) {
		arrival = memory_need(size_of(handlers));
		arrival->wanted_room = handlers;
		return arrival;
	}
	loop->spare_arrivals = arrival->sibling;
	loop->spare_arrival_count--;
	size_t room = arrival->wanted_room;
	memset(arrival, 0, size_of(handlers));
	arrival->wanted_room = room;
	return arrival;
}

void
arrival_give_back(struct intake_loop *loop, struct arrival *arrival)
{
	if (loop->spare_arrival_count >= INTAKE_SPARES ||
	    arrival->wanted_room < (size_t)loop->config->handler_count) {
		arrival_free(arrival);
		return;
	}
	arrival_empty(arrival);
	arrival->sibling = loop->spare_arrivals;
	loop->spare_arrivals = arrival;
	loop->spare_arrival_count++;
}

void
spares_finish(struct intake_loop *loop)
{
	while (loop->spare_requests != NULL) {
		struct request *next = loop->spare_requests->next_spare;
		free(loop->spare_requests);
		loop->spare_requests = next;
	}
	loop->spare_request_count = 0;
	loop->spare_arrival_count = 0;
	while (loop->spare_arrivals != NULL) {
		struct arrival *next = loop->spare_arrivals->sibling;
		free(loop->spare_arrivals);
		loop->spare_arrivals = next;
	}
	buffer_finish(&loop->headers);
	answer_space_finish(&loop->answers);
}
