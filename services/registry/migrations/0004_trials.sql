-- Test runs by reviewers that have begun and not ended; what is found here at a start was cut off by the registry's end.
CREATE TABLE trials (
	call_id text PRIMARY KEY
);
ALTER TABLE permits DROP CONSTRAINT permits_purpose_check;
ALTER TABLE permits ADD CONSTRAINT permits_purpose_check
	CHECK (purpose IN ('live', 'test', 'install', 'source', 'webhook', 'review'));
