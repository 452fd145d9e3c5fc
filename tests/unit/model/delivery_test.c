#include "receiver/model/delivery.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

/* The drawing in delivery.h, arrow by arrow, and at-most-once: from pending to done before the try. */
static const struct {
	enum delivery_state from;
	enum delivery_state to;
} moves[] = {
	{ DELIVERY_PENDING, DELIVERY_RUNNING },   /* claim */
	{ DELIVERY_PENDING, DELIVERY_DONE },      /* at-most-once */
	{ DELIVERY_PENDING, DELIVERY_DEAD },      /* corrupt, used up */
	{ DELIVERY_PENDING, DELIVERY_DISCARDED }, /* discard */
	{ DELIVERY_RUNNING, DELIVERY_DONE },      /* ok */
	{ DELIVERY_RUNNING, DELIVERY_PENDING },   /* fail with tries left; start-up */
	{ DELIVERY_RUNNING, DELIVERY_DEAD },      /* fail without, fatal */
	{ DELIVERY_DONE, DELIVERY_PENDING },      /* replay --again */
	{ DELIVERY_DEAD, DELIVERY_PENDING },      /* replay, revival */
	{ DELIVERY_DEAD, DELIVERY_DISCARDED },    /* discard */
	{ DELIVERY_DISCARDED, DELIVERY_DEAD },    /* restore */
	{ DELIVERY_DISCARDED, DELIVERY_PENDING }, /* replay */
};

static void
the_drawn_moves_and_no_others_are_allowed(void)
{
	for (unsigned from = 0; from < DELIVERY_STATES; from++) {
		for (unsigned to = 0; to < DELIVERY_STATES; to++) {
			bool drawn = false;
			for (size_t i = 0; i < COUNT(moves); i++) {
				drawn = drawn || (moves[i].from == from && moves[i].to == to);
			}
			CHECK_ROW(delivery_may_move((enum delivery_state)from,
			                            (enum delivery_state)to) == drawn,
			          "%s to %s", delivery_state_name((enum delivery_state)from),
			          delivery_state_name((enum delivery_state)to));
		}
	}
}

/* They stand in databases. */
static void
the_numbers_of_states_stay(void)
{
	static const char *const names[] = { "pending", "running", "done", "dead", "discarded" };
	CHECK(COUNT(names) == DELIVERY_STATES);
	for (unsigned i = 0; i < COUNT(names); i++) {
		enum delivery_state state = DELIVERY_STATES;
		CHECK(strcmp(delivery_state_name((enum delivery_state)i), names[i]) == 0);
		CHECK(delivery_state_parse(edge_copy(0, span_of(names[i])), &state) && state == i);
	}
	static const struct span wrong[] = { TEXT(""),       TEXT("Dead"),    TEXT("dead "),
		                             TEXT("dea"),    TEXT("deads"),   TEXT("0"),
		                             TEXT("dead\0"), TEXT("orphaned") };
	for (size_t i = 0; i < COUNT(wrong); i++) {
		enum delivery_state state;
		CHECK_ROW(!delivery_state_parse(edge_copy(0, wrong[i]), &state), "%s",
		          check_quote(wrong[i]));
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the drawn moves and no others are allowed",
		  the_drawn_moves_and_no_others_are_allowed },
		{ "the numbers and names of states stay", the_numbers_of_states_stay },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
