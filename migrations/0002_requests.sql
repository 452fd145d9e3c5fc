-- Requests that held several events: the whole body, once, and which events came out of it.

CREATE TABLE hooklatch_request (
	id INTEGER PRIMARY KEY,
	source TEXT NOT NULL,
	received_at TEXT NOT NULL,
	events INTEGER NOT NULL, -- how many it held
	body BLOB                -- NULL: purged, or an event of it was erased
);

-- Only events that were new. Its event is gone: so is its row; the last one takes the request along.
CREATE TABLE hooklatch_request_event (
	seq INTEGER PRIMARY KEY,
	request INTEGER NOT NULL,
	position INTEGER NOT NULL -- in the request, from 0
);

CREATE INDEX hooklatch_request_event_request ON hooklatch_request_event (request);
