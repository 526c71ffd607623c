-- The tables of the whole contract.  Conventions: ids are UUID version 7 made by the registry; times are
-- timestamptz; `revision` grows with each change of a row and is what a client's If-Match means;
-- text columns with a fixed set of values carry a CHECK with that set.

-- One row: what this deployment is.
CREATE TABLE instance (
	only_one     boolean PRIMARY KEY DEFAULT true CHECK (only_one),
	key_check    bytea NOT NULL,            -- keyed hash of a label: proves that the encryption key is the same
	created_at   timestamptz NOT NULL DEFAULT now()
);

-- ---- servers and tools ---------------------------------------------------------------------------

CREATE TABLE servers (
	id                 uuid PRIMARY KEY,
	name               text NOT NULL UNIQUE,
	description        bytea,
	status             text NOT NULL DEFAULT 'imported'
	                   CHECK (status IN ('imported', 'ready', 'running', 'stopped', 'error')),
	default_timeout_ms integer NOT NULL DEFAULT 30000,
	warm_reuse         boolean NOT NULL DEFAULT false,
	paused             boolean NOT NULL DEFAULT false,
	owner              text,
	grant_hash         bytea,               -- NULL: hosts or secrets moved on, build it anew
	revision           bigint NOT NULL DEFAULT 1,
	created_at         timestamptz NOT NULL DEFAULT now(),
	updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE server_groups (              -- who besides the owner may list and call
	server_id uuid NOT NULL REFERENCES servers ON DELETE CASCADE,
	name      text NOT NULL,
	PRIMARY KEY (server_id, name)
);

CREATE TABLE external_sources (
	id                 uuid PRIMARY KEY,
	server_id          uuid NOT NULL REFERENCES servers ON DELETE CASCADE,
	name               text NOT NULL,
	url                text NOT NULL,
	auth_type          text NOT NULL DEFAULT 'none' CHECK (auth_type IN ('none', 'bearer', 'header', 'oauth')),
	auth_secret_name   text,
	auth_header_name   text,
	transport_type     text NOT NULL DEFAULT 'streamable_http'
	                   CHECK (transport_type IN ('streamable_http', 'sse')),
	status             text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'error', 'disabled')),
	oauth_tokens       bytea,               -- sealed
	oauth_issuer       text,
	oauth_client_id    text,
	oauth_client_secret bytea,              -- sealed
	last_discovered_at timestamptz,
	discovered_tools   text,                -- JSON as the source gave it
	tool_count         integer NOT NULL DEFAULT 0,
	revision           bigint NOT NULL DEFAULT 1,
	created_at         timestamptz NOT NULL DEFAULT now(),
	updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON external_sources (server_id);

-- A tool points at two of its versions: the head (newest, what an author edits) and the live one (approved,
-- what runs).  The approval columns speak of the head.
CREATE TABLE tools (
	id                    uuid PRIMARY KEY,
	server_id             uuid NOT NULL REFERENCES servers ON DELETE CASCADE,
	name                  text NOT NULL,       -- of the head
	published_name        text NOT NULL UNIQUE,-- fixed when the tool is made
	tool_type             text NOT NULL DEFAULT 'python_code'
	                      CHECK (tool_type IN ('python_code', 'mcp_passthrough')),
	external_source_id    uuid REFERENCES external_sources ON DELETE SET NULL,
	external_tool_name    text,
	enabled               boolean NOT NULL DEFAULT true,
	current_version       integer NOT NULL,
	live_version          integer,
	live_spec_hash        bytea,               -- NULL: build it anew
	approval_status       text NOT NULL DEFAULT 'draft'
	                      CHECK (approval_status IN ('draft', 'pending_review', 'approved', 'rejected')),
	approval_requested_at timestamptz,
	approved_at           timestamptz,
	approved_by           text,
	rejection_reason      bytea,
	publish_notes         bytea,
	created_by            text,
	revision              bigint NOT NULL DEFAULT 1,
	created_at            timestamptz NOT NULL DEFAULT now(),
	updated_at            timestamptz NOT NULL DEFAULT now(),
	UNIQUE (server_id, name)
);
CREATE INDEX ON tools (approval_status, approval_requested_at);

-- Immutable: no statement updates this table.
CREATE TABLE tool_versions (
	id                uuid PRIMARY KEY,
	tool_id           uuid NOT NULL REFERENCES tools ON DELETE CASCADE,
	version           integer NOT NULL,
	name              text NOT NULL,
	description       bytea,
	title             bytea,
	enabled           boolean NOT NULL,        -- as it was then; a roll-back restores it
	timeout_ms        integer,
	limits            text,                    -- JSON objects as text: the content hash is over these bytes
	python_code       bytea,
	input_schema      text,
	output_schema     text,
	annotations       text,
	code_dependencies text[] NOT NULL DEFAULT '{}',
	content_hash      bytea NOT NULL,          -- what a reviewer approves
	change_summary    bytea,
	change_source     text NOT NULL CHECK (change_source IN ('manual', 'import', 'rollback')),
	created_by        text,
	created_at        timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tool_id, version)
);
-- Who decided what on which content; two reviewers are two rows.
CREATE TABLE tool_decisions (
	id           uuid PRIMARY KEY,
	tool_id      uuid NOT NULL REFERENCES tools ON DELETE CASCADE,
	version      integer NOT NULL,
	content_hash bytea NOT NULL,
	decision     text NOT NULL CHECK (decision IN ('approve', 'reject', 'revoke')),
	reviewer     text NOT NULL,
	reason       bytea,
	in_force     boolean NOT NULL DEFAULT true, -- false once another decision on the tool undid it
	created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON tool_decisions (tool_id, version);

-- ---- requests that a person decides --------------------------------------------------------------

CREATE TABLE module_requests (
	id               uuid PRIMARY KEY,
	tool_id          uuid REFERENCES tools ON DELETE CASCADE,
	server_id        uuid REFERENCES servers ON DELETE CASCADE,
	module_name      text NOT NULL,
	justification    bytea NOT NULL,
	requested_by     text,
	status           text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
	reviewed_by      text,
	reviewed_at      timestamptz,
	rejection_reason bytea,
	source           text NOT NULL DEFAULT 'llm' CHECK (source IN ('llm', 'admin')),
	revision         bigint NOT NULL DEFAULT 1,
	created_at       timestamptz NOT NULL DEFAULT now(),
	updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX module_requests_one_pending ON module_requests (tool_id, module_name)
	WHERE status = 'pending' AND tool_id IS NOT NULL;
CREATE UNIQUE INDEX module_requests_one_admin ON module_requests (module_name) WHERE tool_id IS NULL;
CREATE INDEX ON module_requests (status, created_at);

-- A server's allowed hosts are its approved rows; nothing else grants.
CREATE TABLE network_requests (
	id                uuid PRIMARY KEY,
	tool_id           uuid REFERENCES tools ON DELETE CASCADE,
	server_id         uuid NOT NULL REFERENCES servers ON DELETE CASCADE,
	host              text NOT NULL,
	port              integer CHECK (port BETWEEN 1 AND 65535),  -- NULL: 443, and 80 in forward mode
	private_requested boolean NOT NULL DEFAULT false,
	allow_private     boolean NOT NULL DEFAULT false,
	methods           text[] NOT NULL DEFAULT '{}',              -- empty: all
	path_prefixes     text[] NOT NULL DEFAULT '{}',              -- empty: all
	justification     bytea NOT NULL,
	requested_by      text,
	status            text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
	reviewed_by       text,
	reviewed_at       timestamptz,
	rejection_reason  bytea,
	source            text NOT NULL DEFAULT 'llm' CHECK (source IN ('llm', 'admin')),
	revision          bigint NOT NULL DEFAULT 1,
	created_at        timestamptz NOT NULL DEFAULT now(),
	updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX network_requests_one_pending ON network_requests (tool_id, host, coalesce(port, 0))
	WHERE status = 'pending' AND tool_id IS NOT NULL;
CREATE UNIQUE INDEX network_requests_one_admin ON network_requests (server_id, host, coalesce(port, 0))
	WHERE tool_id IS NULL;
CREATE INDEX ON network_requests (server_id, status);
CREATE INDEX ON network_requests (status, created_at);

CREATE TABLE modules (                    -- installed trees, one row per approved distribution
	module_name    text PRIMARY KEY,
	package_name   text NOT NULL,
	version        text,
	tree_hash      bytea,
	status         text NOT NULL CHECK (status IN ('not_required', 'pending', 'installing', 'installed', 'failed')),
	error          bytea,
	updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE secrets (
	id             uuid PRIMARY KEY,
	server_id      uuid NOT NULL REFERENCES servers ON DELETE CASCADE,
	key_name       text NOT NULL,
	description    bytea,
	value          bytea,                   -- sealed; NULL: a placeholder
	key_generation integer NOT NULL DEFAULT 1,
	mode           text NOT NULL DEFAULT 'inject' CHECK (mode IN ('inject', 'reveal')),
	hosts          text[] NOT NULL DEFAULT '{}',
	places         text[] NOT NULL DEFAULT '{header}',
	revision       bigint NOT NULL DEFAULT 1,
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now(),
	UNIQUE (server_id, key_name)
);

-- ---- what runs -----------------------------------------------------------------------------------

CREATE TABLE blobs (                      -- specs and grants, named by BLAKE2b-256 of data
	hash       bytea PRIMARY KEY,
	kind       text NOT NULL CHECK (kind IN ('spec', 'grant')),
	data       bytea NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE permits (
	id         uuid PRIMARY KEY,
	tool_id    uuid NOT NULL,               -- no foreign key: a revoked permit outlives its tool
	server_id  uuid NOT NULL,
	version    integer NOT NULL,
	spec_hash  bytea NOT NULL,
	grant_hash bytea NOT NULL,
	purpose    text NOT NULL CHECK (purpose IN ('live', 'test', 'install', 'source', 'webhook')),
	key_id     integer NOT NULL,
	permit     bytea NOT NULL,
	signature  bytea NOT NULL,
	not_after  timestamptz NOT NULL,
	revoked_at timestamptz
);
CREATE INDEX ON permits (tool_id, purpose, not_after);
CREATE INDEX ON permits (not_after) WHERE revoked_at IS NOT NULL;

CREATE TABLE instances (                  -- history of processes; the living ones are in memory
	boot_id   bytea PRIMARY KEY,
	instance  text NOT NULL,
	role      text NOT NULL,
	version   text NOT NULL,
	joined_at timestamptz NOT NULL,
	left_at   timestamptz
);

-- ---- people and settings -------------------------------------------------------------------------

CREATE TABLE users (
	id               uuid PRIMARY KEY,
	username         text NOT NULL UNIQUE,
	password_hash    text NOT NULL,
	password_version integer NOT NULL DEFAULT 1,
	role             text NOT NULL CHECK (role IN ('admin', 'reviewer', 'author', 'viewer')),
	is_active        boolean NOT NULL DEFAULT true,
	last_login_at    timestamptz,
	revision         bigint NOT NULL DEFAULT 1,
	created_at       timestamptz NOT NULL DEFAULT now(),
	updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sessions (                   -- tokens are stored as BLAKE2b-256 only
	id              uuid PRIMARY KEY,
	user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
	access_hash     bytea NOT NULL UNIQUE,
	access_until    timestamptz NOT NULL,
	refresh_hash    bytea NOT NULL UNIQUE,
	refresh_until   timestamptz NOT NULL,
	remote          text,
	created_at      timestamptz NOT NULL DEFAULT now(),
	last_used_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON sessions (user_id);
CREATE TABLE used_refresh_tokens (        -- one seen again ends its session
	refresh_hash bytea PRIMARY KEY,
	session_id   uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
	used_at      timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE api_tokens (
	id           uuid PRIMARY KEY,
	name         text NOT NULL,
	user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
	token_hash   bytea NOT NULL UNIQUE,
	scope        text NOT NULL CHECK (scope IN ('read', 'call', 'author', 'admin')),
	expires_at   timestamptz,
	last_used_at timestamptz,
	created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE login_failures (
	subject   text NOT NULL,                -- "user:NAME" or "addr:ADDRESS"
	failed_at timestamptz NOT NULL
);
CREATE INDEX ON login_failures (subject, failed_at);

CREATE TABLE settings (
	key        text PRIMARY KEY,
	value      text NOT NULL,
	encrypted  boolean NOT NULL DEFAULT false,
	updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE security_policy (
	only_one                 boolean PRIMARY KEY DEFAULT true CHECK (only_one),
	remote_tool_editing      text NOT NULL DEFAULT 'disabled' CHECK (remote_tool_editing IN ('disabled', 'enabled')),
	tool_approval_mode       text NOT NULL DEFAULT 'require_approval'
	                         CHECK (tool_approval_mode IN ('require_approval', 'auto_approve')),
	network_access_policy    text NOT NULL DEFAULT 'require_approval'
	                         CHECK (network_access_policy IN ('require_approval', 'allow_all_public')),
	module_approval_mode     text NOT NULL DEFAULT 'require_approval'
	                         CHECK (module_approval_mode IN ('require_approval', 'auto_approve')),
	redact_secrets_in_output text NOT NULL DEFAULT 'enabled' CHECK (redact_secrets_in_output IN ('enabled', 'disabled')),
	log_retention_days       integer NOT NULL DEFAULT 30 CHECK (log_retention_days BETWEEN 1 AND 3650),
	execution_log_keep       integer NOT NULL DEFAULT 10000,
	mcp_rate_limit_rpm       integer NOT NULL DEFAULT 300 CHECK (mcp_rate_limit_rpm BETWEEN 10 AND 10000),
	approvals_required       integer NOT NULL DEFAULT 1 CHECK (approvals_required BETWEEN 1 AND 2),
	revision                 bigint NOT NULL DEFAULT 1,
	updated_at               timestamptz NOT NULL DEFAULT now()
);
INSERT INTO security_policy DEFAULT VALUES;

-- ---- requests, records, audit --------------------------------------------------------------------

-- A repeat of a changing request is answered from here (24 h).
CREATE TABLE requests (
	role       integer NOT NULL,
	request_id bytea NOT NULL,
	msg        integer NOT NULL,
	body_hash  bytea NOT NULL,
	reply      bytea,
	at         timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (role, request_id)
);
CREATE INDEX ON requests (at);

-- Names a batch before its audit row has a sequence number; gaps mean nothing.
CREATE SEQUENCE batches;

CREATE TABLE spool_origins (
	origin  text PRIMARY KEY,
	last_no bigint NOT NULL DEFAULT 0
);

-- A call is two records, start and end, each of one batch; a batch's hash is over its half of the columns.
CREATE TABLE executions (
	call_id     text PRIMARY KEY,
	start_batch bigint,
	start_no    bigint,
	started_at  timestamptz,
	tool_id     text,
	server_id   text,
	tool_name   text,
	version     integer,
	executor    text,
	is_test     boolean,
	executed_by text,
	via         text,
	input_args  text,
	end_batch   bigint,
	end_no      bigint,
	ended_at    timestamptz,
	outcome     text,
	error       text,
	result      text,
	stdout      text,
	duration_ms bigint,
	cpu_ms      bigint,
	memory_kb   bigint
);
CREATE INDEX ON executions (start_batch);
CREATE INDEX ON executions (end_batch);
CREATE INDEX ON executions (tool_id, started_at);
CREATE INDEX ON executions (server_id, started_at);
CREATE INDEX ON executions (started_at);

CREATE TABLE egress_requests (
	batch      bigint NOT NULL,
	no         bigint NOT NULL,
	at         timestamptz NOT NULL,
	stage      text NOT NULL CHECK (stage IN ('started', 'finished')),
	call_id    text NOT NULL,
	request_no text NOT NULL,
	tool_id    text,
	server_id  text,
	tool_name  text,
	version    integer,
	method     text,
	host       text,
	port       integer,
	path       text,
	status     integer,
	bytes_out  bigint,
	bytes_in   bigint,
	ttfb_ms    bigint,
	total_ms   bigint,
	decision   text,
	rule       text,
	error      text,
	address    text,
	mode       text,
	PRIMARY KEY (batch, no)
);
CREATE INDEX ON egress_requests (call_id);
CREATE INDEX ON egress_requests (server_id, at);
CREATE INDEX ON egress_requests (at);

CREATE TABLE activity (
	id          uuid PRIMARY KEY,
	server_id   text,
	log_type    text NOT NULL,
	level       text NOT NULL,
	message     text NOT NULL,
	details     text,
	request_id  text,
	duration_ms bigint,
	created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON activity (created_at);
CREATE INDEX ON activity (server_id, created_at);

CREATE TABLE audit_log (
	seq         bigint PRIMARY KEY,
	at          timestamptz NOT NULL,
	topic       text NOT NULL,
	actor       text NOT NULL,
	via         text NOT NULL,
	object_kind text NOT NULL,
	object_id   text NOT NULL,
	outcome     text NOT NULL,
	detail      jsonb NOT NULL,
	prev_hash   bytea NOT NULL,
	hash        bytea NOT NULL
);
CREATE INDEX ON audit_log (topic, seq);
CREATE INDEX ON audit_log (at);

-- The end of the chain.  The lock on this row is what makes sequence order commit order.
CREATE TABLE audit_head (
	only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one),
	seq         bigint NOT NULL DEFAULT 0,
	hash        bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
	state_seq   bigint NOT NULL DEFAULT 0,   -- seq of the last change of state
	signed_seq  bigint NOT NULL DEFAULT 0,
	signed_hash bytea,
	signature   bytea,
	key_id      integer,
	signed_at   timestamptz
);
INSERT INTO audit_head DEFAULT VALUES;

-- Where a segment ends: kept when retention drops the segment's rows.
CREATE TABLE audit_checkpoints (
	seq       bigint PRIMARY KEY,
	hash      bytea NOT NULL,
	key_id    integer NOT NULL,
	signature bytea NOT NULL,
	at        timestamptz NOT NULL DEFAULT now()
);

-- ---- export, alerts, remote access ---------------------------------------------------------------

CREATE TABLE exports (
	id         uuid PRIMARY KEY,
	direction  text NOT NULL CHECK (direction IN ('export', 'import')),
	sha256     bytea NOT NULL,
	verified   boolean NOT NULL,
	made_by    text,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE webhooks (
	id         uuid PRIMARY KEY,
	kind       text NOT NULL CHECK (kind IN ('discord', 'slack', 'generic')),
	url        bytea NOT NULL,               -- sealed: such addresses are credentials
	events     text[] NOT NULL DEFAULT '{}',
	is_active  boolean NOT NULL DEFAULT true,
	revision   bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE remote_access (
	id             uuid PRIMARY KEY,
	provider       text NOT NULL,
	status         text NOT NULL DEFAULT 'not_started',
	completed_step integer NOT NULL DEFAULT 0,
	config         text NOT NULL DEFAULT '{}', -- JSON: account, tunnel, worker, issuer
	sealed         bytea,                      -- its tokens
	error          bytea,
	revision       bigint NOT NULL DEFAULT 1,
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE access_policy (               -- who may come in on the remote port
	only_one     boolean PRIMARY KEY DEFAULT true CHECK (only_one),
	policy_type  text NOT NULL DEFAULT 'everyone' CHECK (policy_type IN ('everyone', 'emails', 'email_domain')),
	emails       text[] NOT NULL DEFAULT '{}',
	email_domain text,
	updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE tunnels (
	id          uuid PRIMARY KEY,
	name        text NOT NULL,
	description bytea,
	token       bytea,                       -- sealed
	public_url  text,
	is_active   boolean NOT NULL DEFAULT false,
	revision    bigint NOT NULL DEFAULT 1,
	created_at  timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX tunnels_one_active ON tunnels (is_active) WHERE is_active;

CREATE TABLE mcp_sessions (                -- of the legacy protocol; streams live in the gateways
	id            text PRIMARY KEY,
	ended_at      timestamptz,
	log_level     text,
	subscriptions text[] NOT NULL DEFAULT '{}',
	updated_at    timestamptz NOT NULL DEFAULT now()
);
