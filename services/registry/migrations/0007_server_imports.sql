-- Which server came from which content of a file: importing the same again changes nothing.
CREATE TABLE server_imports (
	server_id  uuid PRIMARY KEY REFERENCES servers ON DELETE CASCADE,
	digest     bytea NOT NULL UNIQUE,        -- of the server as it stands in the file
	created_at timestamptz NOT NULL DEFAULT now()
);
