-- What a batch's audit row says, and what the last retention row that speaks of it says.
CREATE INDEX audit_log_batch ON audit_log (object_id) WHERE topic = 'batch';
CREATE INDEX audit_log_expired ON audit_log USING gin ((detail -> 'batches')) WHERE topic = 'logs.expired';

-- Ends whose start was lost have no place in the order of starts.
CREATE INDEX executions_startless ON executions (ended_at) WHERE started_at IS NULL;

-- Batches whose rows were not what the audit says when retention came to them.  They stay as they are.
CREATE TABLE altered_batches (
	batch    bigint PRIMARY KEY,
	found_at timestamptz NOT NULL DEFAULT now()
);
