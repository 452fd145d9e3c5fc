-- The store of hooklatch. What a user may read: events, deliveries, attempts, dead_letters, schema_migrations.

CREATE TABLE schema_migrations (
	version INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	applied_at TEXT NOT NULL
);

-- Single values: seq (the highest ever given out), horizon (what the purge takes for now; wall time, ns), probe.
CREATE TABLE meta (
	name TEXT PRIMARY KEY,
	value
) WITHOUT ROWID;

CREATE TABLE source (
	name TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE handler (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	ran_ns INTEGER NOT NULL DEFAULT 0, -- how long it has been able to run, over all lives
	paused_at TEXT,                    -- NULL: it is not paused
	paused_until INTEGER,              -- wall time, ns; NULL: until somebody resumes it
	paused_by TEXT,
	paused_reason TEXT
);

-- Append-only. The id is indexed as it came: ids that rise with time stay cheap at any size.
CREATE TABLE events (
	seq INTEGER PRIMARY KEY,
	source TEXT NOT NULL,
	event_id TEXT NOT NULL,
	type TEXT NOT NULL,
	received_at TEXT NOT NULL,
	hash BLOB NOT NULL, -- XXH3-128 of the body; before what is long, so that a repeat is judged by one page
	headers TEXT NOT NULL,
	body BLOB,          -- NULL: purged or erased
	UNIQUE (source, event_id)
);

-- Only those that have one, so that the purge of bodies finds what is left to do.
CREATE INDEX events_body ON events (seq) WHERE body IS NOT NULL;

-- The one mutable table of the hot path. state: 0 pending, 1 running, 2 done, 3 dead, 4 discarded.
CREATE TABLE delivery (
	seq INTEGER NOT NULL,
	handler INTEGER NOT NULL,
	state INTEGER NOT NULL,
	attempts INTEGER NOT NULL DEFAULT 0,
	round INTEGER NOT NULL DEFAULT 0,    -- one more with each replay and revival
	revivals INTEGER NOT NULL DEFAULT 0,
	retry INTEGER NOT NULL DEFAULT 0,    -- its next try needs a retry token
	due INTEGER NOT NULL DEFAULT 0,      -- wall time, ns
	first_failed_at INTEGER,             -- wall time, ns
	first_failed_ran INTEGER,            -- the handler's ran_ns then
	last_error TEXT,
	outcome TEXT,                        -- at-most-once: unknown, succeeded, failed
	key_round INTEGER NOT NULL DEFAULT 0, -- the round in which a replay with --again began a new idempotency key
	order_key TEXT,                      -- one at a time, in the order of seq, for each handler and key; NULL: no order
	held INTEGER NOT NULL DEFAULT 0,     -- 1: pending behind another one of its key
	lease_until INTEGER,                 -- running with a consumer (pull) until then: wall time, ns
	PRIMARY KEY (seq, handler)
) WITHOUT ROWID;

CREATE INDEX delivery_due ON delivery (handler, retry, due) WHERE state = 0 AND held = 0;
CREATE INDEX delivery_running ON delivery (seq) WHERE state = 1;
CREATE INDEX delivery_order ON delivery (handler, order_key, state, seq)
	WHERE order_key IS NOT NULL AND state IN (0, 1, 3);
CREATE INDEX delivery_lease ON delivery (handler, lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE attempt (
	id INTEGER PRIMARY KEY,
	seq INTEGER NOT NULL,
	handler INTEGER NOT NULL,
	round INTEGER NOT NULL,
	number INTEGER NOT NULL,
	started_at TEXT NOT NULL,
	duration_ms INTEGER NOT NULL,
	result TEXT NOT NULL, -- succeeded, failed
	error_type TEXT,
	error TEXT,
	output BLOB,
	reason TEXT           -- why the delivery died with this try; NULL: it did not
);

CREATE INDEX attempt_delivery ON attempt (seq, handler);

-- A row for each delivery that is dead, or was and is discarded. The number is never used again.
CREATE TABLE dead_letter (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	seq INTEGER NOT NULL,
	handler INTEGER NOT NULL,
	reason TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	first_failed_at TEXT,
	died_at TEXT NOT NULL,
	output BLOB,
	UNIQUE (seq, handler)
);

-- Deliveries by segment of 65536 events, handler and state; state 5 is all that were ever made.
CREATE TABLE ledger (
	segment INTEGER NOT NULL,
	handler INTEGER NOT NULL,
	state INTEGER NOT NULL,
	count INTEGER NOT NULL,
	PRIMARY KEY (segment, handler, state)
) WITHOUT ROWID;

CREATE TABLE replay (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,       -- dead, events
	filter TEXT NOT NULL,     -- as a query
	ids TEXT,                 -- JSON: the dead letters' numbers, or NULL for all that the filter takes
	handler TEXT,             -- events: fill this handler from history
	states INTEGER NOT NULL,  -- set of 1 << state that it takes
	again INTEGER NOT NULL,   -- done ones of at-most-once handlers too
	rate INTEGER NOT NULL,    -- in 3 600 000 s; 0: as fast as it goes
	until INTEGER NOT NULL,   -- the last dead letter or event that belongs to it
	position INTEGER NOT NULL,
	state TEXT NOT NULL,      -- running, done, cancelled
	total INTEGER NOT NULL,   -- matched when it was made
	replayed INTEGER NOT NULL DEFAULT 0,
	created INTEGER NOT NULL DEFAULT 0,
	skipped INTEGER NOT NULL DEFAULT 0,
	refused INTEGER NOT NULL DEFAULT 0,
	created_at TEXT NOT NULL,
	finished_at TEXT,
	who TEXT NOT NULL,
	reason TEXT
);

CREATE TABLE hooklatch_audit (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at TEXT NOT NULL,
	who TEXT NOT NULL,
	action TEXT NOT NULL,
	filter TEXT,
	reason TEXT,
	count INTEGER NOT NULL
);

CREATE VIEW deliveries AS
SELECT e.source AS source, e.event_id AS event_id, h.name AS handler,
       CASE d.state WHEN 0 THEN 'pending' WHEN 1 THEN 'running' WHEN 2 THEN 'done' WHEN 3 THEN 'dead' ELSE 'discarded' END AS state,
       d.attempts AS attempts,
       CASE WHEN d.state = 0 AND d.held = 0 THEN strftime('%Y-%m-%dT%H:%M:%S', d.due / 1000000000, 'unixepoch') ||
            printf('.%06dZ', d.due / 1000 % 1000000) END AS next_attempt_at,
       d.last_error AS last_error, d.outcome AS outcome, d.seq AS sequence, d.round AS round
FROM delivery AS d JOIN events AS e ON e.seq = d.seq JOIN handler AS h ON h.id = d.handler;

CREATE VIEW attempts AS
SELECT a.id AS id, e.source AS source, e.event_id AS event_id, h.name AS handler, a.round AS round, a.number AS attempt,
       a.started_at AS started_at, a.duration_ms AS duration_ms, a.result AS result, a.error_type AS error_type,
       a.error AS error, a.output AS output, a.reason AS reason, a.seq AS sequence
FROM attempt AS a JOIN events AS e ON e.seq = a.seq JOIN handler AS h ON h.id = a.handler;

CREATE VIEW dead_letters AS
SELECT l.id AS id, e.source AS source, e.event_id AS event_id, e.type AS type, h.name AS handler, l.attempts AS attempts,
       l.reason AS reason, d.last_error AS last_error, l.first_failed_at AS first_failed_at, l.died_at AS died_at,
       l.output AS output, l.seq AS sequence
FROM dead_letter AS l JOIN delivery AS d ON d.seq = l.seq AND d.handler = l.handler
     JOIN events AS e ON e.seq = l.seq JOIN handler AS h ON h.id = l.handler
WHERE d.state = 3;
