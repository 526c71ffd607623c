-- What calls ran into, counted per tool and topic, so that a tool in a loop cannot flood the audit: the
-- first few of a minute are rows of the audit at once, the rest becomes one row when the minute is over.
CREATE TABLE incidents (
	tool_id   text NOT NULL,
	topic     text NOT NULL,
	since     timestamptz NOT NULL,         -- when its minute began
	written   integer NOT NULL,             -- audit rows in this minute
	pending   bigint NOT NULL DEFAULT 0,    -- calls that no audit row speaks of yet
	outcome   text NOT NULL DEFAULT '',     -- of the newest of these
	detail    text NOT NULL DEFAULT '{}',
	PRIMARY KEY (tool_id, topic)
);
CREATE INDEX ON incidents (since) WHERE pending > 0;
