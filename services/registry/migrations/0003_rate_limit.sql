-- The local port has no limit until somebody sets one; the default of the policy is meant for remote callers.
ALTER TABLE security_policy ADD COLUMN mcp_rate_limit_is_set boolean NOT NULL DEFAULT false;
ALTER TABLE security_policy ADD CHECK (execution_log_keep BETWEEN 1 AND 10000000);
