/* What the files of this room share. Threads: everything here belongs to the request's loop. */
#ifndef HOOKLATCH_INTAKE_INTAKE_PRIV_H
#define HOOKLATCH_INTAKE_INTAKE_PRIV_H

#include "receiver/intake/answer.h"
#include "receiver/intake/intake.h"
#include "receiver/intake/waiting.h"
#include "receiver/log/log.h"
#include "receiver/verify/signature.h"

#define INTAKE_LOOPS_MOST  16
#define INTAKE_SPARES      256  /* of a kind and loop */
#define INTAKE_SPARE_BYTES 4096 /* a larger buffer is given back */

/* A request from its head to its answer. Belongs to its loop; its arrivals go to the store and come back. */
struct request {
	struct intake_loop *loop;
	struct request *next_spare;
	struct http_exchange *exchange; /* NULL: the client has gone */
	struct config *config;          /* the one that it began with */
	const struct source *source;
	struct http_peer client;
	char id[REQUEST_ID_BYTES];
	struct verify_keys keys;
	struct key_ring ring;
	struct verify_request verify;
	struct verification verification;
	bool verifying;
	bool streaming;       /* its body is hashed as it comes */
	enum verdict verdict; /* of the head */
	bool away; /* the store has its events, or it waits for a key: its exchange may go meanwhile */
	size_t reserved; /* bytes of the memory budget, once the body has left the exchange */
};

/* Arrivals that the store is woken for at once, when a turn of the loop brings as many. */
#define INTAKE_UNANNOUNCED_MOST 32

struct intake_loop {
	struct intake *intake;
	size_t index;
	struct config *config;
	struct waiting waiting;
	uint64_t requests; /* so far */
	/* What has ended waits for the next one, so that an event costs two allocations: its own, and its body. */
	struct request *spare_requests;
	size_t spare_request_count;
	struct arrival *spare_arrivals; /* by their siblings */
	size_t spare_arrival_count;
	struct buffer headers; /* of the request at hand */
	struct answer_space answers;
	size_t unannounced; /* arrivals on their way since the first that the store is to be woken for; 0: it knows */
	int64_t diagnosed_ns; /* when a refused signature was looked into last */
	int64_t told_ns; /* refusals in the log: when the last was told, how many more may be at once, and were not */
	int64_t tellable;
	int64_t untold;
};

struct intake {
	struct store *store;
	struct net *net;
	struct keyring *keyring;
	struct intake_loop *loops;
	size_t loop_count;
	atomic_llong waiting;
	uint32_t life; /* tells the requests of one life of the service from another's */
};

/* spares.c */
struct request *request_take(
	struct intake_loop *loop); /* its fields as they were; NULL: no memory */
void request_give_back(struct request *request);
/* Zeroed, with room for so many handlers. */
struct arrival *arrival_take(struct intake_loop *loop, size_t handlers);
void arrival_give_back(struct intake_loop *loop, struct arrival *arrival);
void spares_finish(struct intake_loop *loop);

/* intake.c */
void request_free(struct request *request);
/* Answers with a refusal and forgets the request (NULL: there is none yet). `reason` is static, NULL: the word's own. */
void request_reject(struct intake *intake, struct http_exchange *exchange, struct request *request,
                    enum result result, const char *reason) ON_THREAD(net_thread);
/* Answers without the store: ignored. */
void request_ignore(struct request *request, const char *why, struct span id, struct span type)
	ON_THREAD(net_thread);

/* Judges a request whose body is whole. `again`: a key was fetched for it meanwhile. */
void request_judge(struct request *request, bool again) ON_THREAD(net_thread);

/* awaiting.c: keys that must be fetched. */
enum key_found request_find_key(void *context, struct span name, struct evp_pkey_st **ret);
/* False: there is nothing to wait for. */
bool request_await_key(struct request *request) ON_THREAD(net_thread);
/* Somebody visits the URL, later. */
void request_visit(const struct request *request, const char *url) ON_THREAD(net_thread);

/* endpoint.c: endpoint checks. True: it was one, and was answered. */
bool endpoint_checked(struct request *request, struct span body) ON_THREAD(net_thread);
/* The methods that a source takes, for Allow. */
const char *endpoint_methods(const struct source *source);

/* arrivals.c: the events of a verified request go to the store; or it is answered at once. */
void request_submit(struct intake *intake, struct request *request) ON_THREAD(net_thread);
/* Wakes the store for what was submitted in this turn of the loop. */
void arrivals_announce(struct intake_loop *loop) ON_THREAD(net_thread);

#endif
