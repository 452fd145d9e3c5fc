/* The reader thread: due rows and bodies that are not in memory. */
#include <stdlib.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/engine_priv.h"

#define AUDIT_EVERY_NS (10 * NS_PER_S) /* a segment of the ledger */

static void
ON_THREAD(reader_thread)
	answer_fetch(struct engine *engine, struct reader *reader, const struct question *question)
{
	struct message *message = message_new(MESSAGE_FETCHED, question->line, question->lane);
	struct error err;
	message->due = memory_need(WINDOW_FETCH * sizeof(*message->due));
	message->good = reader != NULL &&
	                reader_due(reader, line_number(question->line), question->lane == 1,
	                           message->due, WINDOW_FETCH, &message->count, &err);
	message_post(engine, message);
}

static void
ON_THREAD(reader_thread)
	answer_load(struct engine *engine, struct reader *reader, const struct question *question)
{
	struct message *message = message_new(MESSAGE_LOADED, question->line, question->lane);
	struct error err;
	message->loaded = question->loaded;
	message->slot = question->slot;
	message->good = reader != NULL && reader_event(reader, question->loaded.seq,
	                                               &message->event, &message->intact, &err);
	if (!message->good) {
		log_say(LOG_ERROR, "store.read_failed", "an event cannot be read: %s",
		        reader == NULL ? "no reader" : err.text);
	}
	message_post(engine, message);
}

/* One segment after the other, for ever: what the ledger says against what the rows say. */
static void
ON_THREAD(reader_thread) audit(struct engine *engine, struct reader *reader, int64_t *segment)
{
	struct error err;
	int64_t highest;
	int64_t off;
	if (!reader_segments(reader, &highest, &err) || highest < 0) {
		return;
	}
	*segment = *segment > highest ? 0 : *segment;
	if (reader_audit(reader, *segment, &off, &err) && off != 0) {
		log_say(LOG_ERROR, "ledger.imbalance",
		        "segment %lld: %lld figures of the ledger differ from the rows",
		        (long long)*segment, (long long)off);
		store_set_imbalance(engine->store, off);
	}
	(*segment)++;
}

void
engine_read(void *context)
{
	thread_is(&reader_thread);
	struct engine *engine = context;
	struct reader *reader = NULL;
	struct error err;
	int64_t segment = 0;
	int64_t audit_at = clock_boot_ns() + AUDIT_EVERY_NS;
	while (!atomic_load(&engine->ending)) {
		if (reader == NULL && !reader_open(&reader, store_path(engine->store), &err)) {
			log_say(LOG_ERROR, "store.read_failed", "%s", err.text);
			reader = NULL;
		}
		struct queue_item *item = queue_take(&engine->questions);
		while (item != NULL) {
			struct queue_item *next = item->next;
			struct question *question = CONTAINER(item, struct question, item);
			if (question->fetch) {
				answer_fetch(engine, reader, question);
			} else {
				answer_load(engine, reader, question);
			}
			free(question);
			item = next;
		}
		int64_t now = clock_boot_ns();
		if (now >= audit_at && reader != NULL) {
			audit(engine, reader, &segment);
			audit_at = now + AUDIT_EVERY_NS;
		}
		if (!atomic_load(&engine->ending)) { /* its wake may just have been taken */
			queue_wait(&engine->questions,
			           audit_at > now ? audit_at - now : AUDIT_EVERY_NS);
		}
	}
	reader_close(reader);
}
