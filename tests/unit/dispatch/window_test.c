/* The window beside a store that is plainly right: a table of what is pending, and readers and messages that are late. */
#include "receiver/dispatch/window.h"

#include <string.h>

#include "receiver/base/error.h"

#include "tests/unit/check.h"

static struct window_item
item(int64_t seq, int64_t at_ns)
{
	return (struct window_item){ .at_ns = at_ns, .seq = seq, .due_ns = at_ns };
}

/* --- alone --- */

static void
items_come_out_by_time_then_by_number(void)
{
	struct window window;
	struct random random;
	check_random(&random);
	window_init(&window);
	CHECK(window_first(&window) == NULL);
	window_asked(&window);
	for (int64_t i = 1; i <= WINDOW_ROWS; i++) {
		window_add(&window, item(i * 7919 % 1000003, random_up_to(&random, 50)));
	}
	window_fetched(&window, true, INT64_MAX);
	struct window_item last = item(0, INT64_MIN);
	size_t count = 0;
	while (window_first(&window) != NULL) {
		const struct window_item first = *window_first(&window);
		struct window_item taken = window_take(&window);
		CHECK(first.seq == taken.seq && first.at_ns == taken.at_ns &&
		      taken.due_ns == taken.at_ns);
		CHECK_ROW(taken.at_ns > last.at_ns ||
		                  (taken.at_ns == last.at_ns && taken.seq > last.seq),
		          "%" PRId64 " behind %" PRId64, taken.at_ns, last.at_ns);
		last = taken;
		count++;
	}
	CHECK(count == WINDOW_ROWS);
	window_finish(&window);
}

static void
an_item_is_in_it_once(void)
{
	struct window window;
	window_init(&window);
	window_asked(&window);
	window_fetched(&window, true, INT64_MAX);
	window_add(&window, item(5, 10));
	window_add(&window, item(5, 3));
	CHECK(window_first(&window)->at_ns == 10); /* it stays as it is */
	CHECK(window_take(&window).seq == 5 && window_first(&window) == NULL);
	window_add(&window, item(5, 3));
	CHECK(window_take(&window).at_ns == 3 && window_first(&window) == NULL);
	window_finish(&window);
}

static void
a_new_window_wants_what_is_on_disk(void)
{
	struct window window;
	window_init(&window);
	CHECK(window_wants(&window, 0) && window_next(&window) <= 0);
	window_asked(&window);
	CHECK(!window_wants(&window, 0)); /* one question at a time */
	CHECK(window_next(&window) == INT64_MAX);
	window_fetched(&window, true, INT64_MAX);
	CHECK(!window_wants(&window, INT64_MAX - 1) && window_next(&window) == INT64_MAX);
	window_add(&window, item(1, 100));
	CHECK(window_next(&window) == 100 && !window_wants(&window, 100));
	window_finish(&window);
}

static void
what_a_fetch_left_behind_is_asked_for_when_it_is_due(void)
{
	struct window window;
	window_init(&window);
	window_asked(&window);
	for (int64_t i = 1; i <= WINDOW_FETCH; i++) {
		window_add(&window, item(i, i));
	}
	window_fetched(&window, false, WINDOW_FETCH);
	window_add(&window, item(5000, 2000)); /* later than what is on disk */
	CHECK(!window_wants(&window, WINDOW_FETCH - 1));
	for (int64_t i = 1; i <= WINDOW_FETCH; i++) {
		CHECK(window_take(&window).seq == i);
		CHECK(!window_wants(&window, WINDOW_FETCH - 1));
	}
	CHECK(window_first(&window) == NULL && window_next(&window) == WINDOW_FETCH);
	CHECK(!window_wants(&window, WINDOW_FETCH - 1) && window_wants(&window, WINDOW_FETCH));
	window_asked(&window);
	window_add(&window, item(5000, 2000));
	window_fetched(&window, true, INT64_MAX);
	CHECK(window_next(&window) == 2000);
	window_finish(&window);
}

static void
a_fetch_that_failed_is_tried_again(void)
{
	struct window window;
	window_init(&window);
	window_asked(&window);
	window_fetch_failed(&window, 700);
	CHECK(!window_wants(&window, 699) && window_wants(&window, 700));
	CHECK(window_next(&window) == 700);
	window_finish(&window);
}

static void
a_full_window_leaves_the_later_half_on_disk(void)
{
	struct window window;
	window_init(&window);
	window_asked(&window);
	window_fetched(&window, true, INT64_MAX);
	for (int64_t i = 0; i <= WINDOW_ROWS; i++) { /* the last one is the earliest */
		window_add(&window, item(i + 1, 5000 - i));
	}
	CHECK(window.count <= WINDOW_ROWS && window_first(&window)->seq == WINDOW_ROWS + 1);
	int64_t last = INT64_MIN;
	while (window_first(&window) != NULL) {
		last = window_take(&window).at_ns;
	}
	CHECK_ROW(window_next(&window) > last && window_next(&window) <= 5000,
	          "%" PRId64 " behind %" PRId64, window_next(&window), last);
	CHECK(window_wants(&window, 5000));
	window_finish(&window);
}

/* A reader has looked and found all there was; before its answer comes, more is committed than there is room for. */
static void
what_found_no_room_during_a_fetch_is_asked_for(void)
{
	for (int whole = 0; whole < 2; whole++) {
		struct window window;
		window_init(&window);
		window_asked(&window);
		for (int64_t i = 1; i <= WINDOW_ROWS + 500; i++) {
			window_add(&window, item(i, 1000 + i));
		}
		window_fetched(&window, whole == 1, whole == 1 ? INT64_MAX : 100000);
		int64_t last = INT64_MIN;
		while (window_first(&window) != NULL) {
			last = window_take(&window).at_ns;
		}
		CHECK_ROW(window_next(&window) > last && window_next(&window) <= last + 1,
		          "%" PRId64 " behind %" PRId64, window_next(&window), last);
		CHECK(window_wants(&window, 100000));
		window_finish(&window);
	}
}

/* --- beside a model --- */

#define SEQS 6000 /* several windows full */

enum state {
	NOT_YET,
	PENDING,
	RUNNING,
	DONE,
};

enum {
	MESSAGES_MOST = 65536
};

struct message {
	bool fetched; /* the answer of a reader; else a delivery that became due */
	bool failed;
	bool whole;
	size_t count;
	int64_t last_ns;
	struct window_item items[WINDOW_FETCH];
};

static struct model {
	struct window window;
	struct random *random;
	int64_t now;
	enum state states[SEQS + 1];
	int64_t at[SEQS + 1]; /* of pending ones, as it stands in the store */
	int64_t created;
	int64_t done;
	bool asked;    /* a question that no reader has looked at */
	bool answered; /* its answer is on its way */
	bool trusted;  /* no fetch failed since the last good one */
	struct message answer;
	struct window_item dues[MESSAGES_MOST]; /* committed, not told to the window yet */
	size_t due_count;
	int64_t spurious;
	int64_t fetches;
	int64_t exact; /* takes whose order could be checked */
} model;

static void
tell(int64_t seq)
{
	ALWAYS(model.due_count < MESSAGES_MOST, "test-dues"); /* drained often enough */
	model.dues[model.due_count++] = item(seq, model.at[seq]);
}

/* A commit: pending from now on; the window hears of it a little later. */
static void
commit_pending(int64_t seq, int64_t at)
{
	model.states[seq] = PENDING;
	model.at[seq] = at;
	tell(seq);
}

static int64_t
random_due(void)
{
	switch (random_up_to(model.random, 3)) {
	case 0: return model.now;
	case 1: return model.now + random_up_to(model.random, 20);
	case 2: return model.now + random_up_to(model.random, 2000);
	default: return model.now + random_up_to(model.random, 100000);
	}
}

static int
compare_items(const void *left, const void *right)
{
	const struct window_item *a = left;
	const struct window_item *b = right;
	if (a->at_ns != b->at_ns) {
		return a->at_ns < b->at_ns ? -1 : 1;
	}
	return (a->seq > b->seq) - (a->seq < b->seq);
}

/* The reader: what is pending in the store at this moment, the earliest first. */
static void
reader_looks(void)
{
	static struct window_item all[SEQS];
	size_t count = 0;
	for (int64_t seq = 1; seq <= model.created; seq++) {
		if (model.states[seq] == PENDING) {
			all[count++] = item(seq, model.at[seq]);
		}
	}
	qsort(all, count, sizeof(all[0]), compare_items);
	struct message *answer = &model.answer;
	*answer = (struct message){ .fetched = true };
	answer->failed = random_up_to(model.random, 30) == 0;
	answer->count = count < WINDOW_FETCH ? count : WINDOW_FETCH;
	answer->whole = count < WINDOW_FETCH;
	memcpy(answer->items, all, answer->count * sizeof(all[0]));
	answer->last_ns = answer->count == 0 ? INT64_MAX : all[answer->count - 1].at_ns;
	model.asked = false;
	model.answered = true;
}

static void
answer_arrives(void)
{
	const struct message *answer = &model.answer;
	model.answered = false;
	if (answer->failed) {
		window_fetch_failed(&model.window, model.now + 50);
		model.trusted = false;
		return;
	}
	for (size_t i = 0; i < answer->count; i++) {
		window_add(&model.window, answer->items[i]);
	}
	window_fetched(&model.window, answer->whole, answer->last_ns);
	model.trusted = true;
	model.fetches++;
}

static void
dues_arrive(void)
{
	for (size_t i = 0; i < model.due_count; i++) {
		window_add(&model.window, model.dues[i]);
	}
	model.due_count = 0;
}

static bool
in_window(int64_t seq)
{
	for (size_t i = 0; i < model.window.count; i++) {
		if (model.window.heap[i].seq == seq) {
			return true;
		}
	}
	return false;
}

/* Whether the window knows all that is committed. */
static bool
is_settled(void)
{
	return model.trusted && !model.asked && !model.answered && model.due_count == 0 &&
	       !model.window.fetching;
}

/* The invariant of window.h: what is pending and not in it is due at disk_ns or later. */
static bool
holds_invariant(void)
{
	for (int64_t seq = 1; seq <= model.created; seq++) {
		if (model.states[seq] == PENDING && model.at[seq] < model.window.disk_ns &&
		    !in_window(seq)) {
			return CHECK_ROW(false,
			                 "%" PRId64 " is due at %" PRId64
			                 ", not in the window, and the disk is looked at "
			                 "at %" PRId64,
			                 seq, model.at[seq], model.window.disk_ns);
		}
	}
	return CHECK(model.window.count <= WINDOW_ROWS);
}

/* Nothing that waits outside is earlier than what is taken. */
static bool
is_earliest(const struct window_item *taken)
{
	for (int64_t seq = 1; seq <= model.created; seq++) {
		if (model.states[seq] == PENDING && model.at[seq] < taken->at_ns) {
			return CHECK_ROW(false,
			                 "%" PRId64 " at %" PRId64 " before %" PRId64
			                 " at %" PRId64,
			                 taken->seq, taken->at_ns, seq, model.at[seq]);
		}
	}
	return true;
}

/* Takes the first item when it is due; the store refuses what is not pending, and tells when it is due later. */
static bool
take_one(void)
{
	const struct window_item *first = window_first(&model.window);
	if (first == NULL || first->at_ns > model.now) {
		return false;
	}
	bool exact = is_settled() && !window_wants(&model.window, model.now);
	struct window_item taken = window_take(&model.window);
	CHECK(!in_window(taken.seq));
	if (model.states[taken.seq] != PENDING || model.at[taken.seq] != taken.due_ns) {
		model.spurious++;
		if (model.states[taken.seq] == PENDING) {
			tell(taken.seq);
		}
		return true;
	}
	if (exact) {
		model.exact++;
		(void)is_earliest(&taken);
	}
	model.states[taken.seq] = RUNNING;
	return true;
}

static void
end_one(int64_t seq, bool fail)
{
	if (model.states[seq] == RUNNING && fail) {
		commit_pending(seq, random_due() + 1);
	} else if (model.states[seq] == RUNNING) {
		model.states[seq] = DONE;
		model.done++;
	}
}

static void
random_step(int64_t most_created)
{
	switch (random_up_to(model.random, 9)) {
	case 0:
	case 1:
		for (int64_t i = random_up_to(model.random,
		                              random_up_to(model.random, 19) == 0 ? 2000 : 40);
		     i > 0; i--) {
			if (model.created < most_created) {
				commit_pending(++model.created, random_due());
			}
		}
		break;
	case 2:
	case 3:
		for (int64_t i = random_up_to(model.random, 30); i > 0 && take_one(); i--) {
		}
		break;
	case 4:
		for (int64_t i = random_up_to(model.random, 60); i > 0 && model.created > 0; i--) {
			end_one(1 + random_up_to(model.random, model.created - 1),
			        random_up_to(model.random, 1) == 0);
		}
		break;
	case 5: dues_arrive(); break;
	case 6:
		if (!model.asked && !model.answered && window_wants(&model.window, model.now)) {
			window_asked(&model.window);
			model.asked = true;
		}
		break;
	case 7:
		if (model.asked) {
			reader_looks();
		}
		break;
	case 8:
		if (model.answered) {
			answer_arrives();
		}
		break;
	default: model.now += random_up_to(model.random, 40); break;
	}
}

/* What the engine does when nothing new comes: until nothing is left, or nothing more happens. */
static void
run_dry(void)
{
	for (int64_t steps = 0; steps < 10000000 && check.failures == 0; steps++) {
		dues_arrive();
		if (window_wants(&model.window, model.now) && !model.asked && !model.answered) {
			window_asked(&model.window);
			model.asked = true;
		}
		if (model.asked) {
			reader_looks();
		}
		if (model.answered) {
			answer_arrives();
		}
		while (take_one()) {
		}
		for (int64_t seq = 1; seq <= model.created; seq++) {
			end_one(seq, false);
		}
		if (model.due_count > 0) {
			continue;
		}
		int64_t next = window_next(&model.window);
		if (next == INT64_MAX) {
			return;
		}
		model.now = next > model.now ? next : model.now;
	}
	CHECK_ROW(false, "still busy: %" PRId64 " of %" PRId64 " done", model.done, model.created);
}

static void
play(struct random *random, int64_t most_created, int steps)
{
	model = (struct model){ .random = random, .now = 1, .trusted = true };
	window_init(&model.window);
	for (int step = 0; step < steps && check.failures == 0; step++) {
		random_step(most_created);
		if (step % 64 == 0 && is_settled()) {
			(void)holds_invariant();
		}
	}
	if (check.failures == 0) {
		run_dry();
		CHECK_ROW(model.done == model.created,
		          "%" PRId64 " of %" PRId64 " done; the rest is lost", model.done,
		          model.created);
	}
	window_finish(&model.window);
}

static void
nothing_is_lost_and_the_earliest_goes_first(void)
{
	struct random random;
	int64_t fetches = 0;
	int64_t exact = 0;
	int64_t spurious = 0;
	check_random(&random);
	for (int round = 0; round < 60 && check.failures == 0; round++) {
		play(&random, round % 3 == 0 ? 100 : SEQS, round % 3 == 1 ? 600 : 6000);
		fetches += model.fetches;
		exact += model.exact;
		spurious += model.spurious;
	}
	CHECK_ROW(fetches > 100 && exact > 5000 && spurious > 0,
	          "%" PRId64 " fetches, %" PRId64 " in order, %" PRId64 " stale", fetches, exact,
	          spurious);
}

/* A full store at start: everything is on disk, and comes out in its order. */
static void
a_full_store_is_worked_off_in_order(void)
{
	struct random random;
	check_random(&random);
	model = (struct model){ .random = &random, .now = 0, .trusted = true };
	window_init(&model.window);
	for (int64_t seq = 1; seq <= SEQS; seq++) {
		model.states[seq] = PENDING;
		model.at[seq] = -random_up_to(&random, 100000); /* all due before now */
	}
	model.created = SEQS;
	int64_t last = INT64_MIN;
	for (int64_t count = 0; count < SEQS && check.failures == 0;) {
		if (window_wants(&model.window, 0)) {
			window_asked(&model.window);
			do {
				reader_looks();
			} while (model.answer.failed);
			answer_arrives();
		}
		const struct window_item *first = window_first(&model.window);
		if (!CHECK_ROW(first != NULL, "%" PRId64 " of %d came", count, SEQS) ||
		    !CHECK_ROW(first->at_ns >= last, "%" PRId64 " behind %" PRId64, first->at_ns,
		               last)) {
			break;
		}
		last = first->at_ns;
		CHECK(take_one());
		count++;
	}
	window_finish(&model.window);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "items come out by time, then by number", items_come_out_by_time_then_by_number },
		{ "an item is in it once and stays as it is", an_item_is_in_it_once },
		{ "a new window wants what is on disk", a_new_window_wants_what_is_on_disk },
		{ "what a fetch left behind is asked for when it is due",
		  what_a_fetch_left_behind_is_asked_for_when_it_is_due },
		{ "a fetch that failed is tried again", a_fetch_that_failed_is_tried_again },
		{ "a full window leaves the later half on disk",
		  a_full_window_leaves_the_later_half_on_disk },
		{ "what found no room during a fetch is asked for",
		  what_found_no_room_during_a_fetch_is_asked_for },
		{ "nothing is lost and the earliest goes first, at random beside a model",
		  nothing_is_lost_and_the_earliest_goes_first },
		{ "a full store is worked off in order", a_full_store_is_worked_off_in_order },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
