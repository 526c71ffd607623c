-- Keys that secrets at rest are sealed with, each sealed with a key derived from the root.  Generation 1 is derived from
-- the root itself and has no row.
CREATE TABLE data_keys (
	generation integer PRIMARY KEY CHECK (generation > 1),
	wrapped    bytea NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
