//! The tables. Times are microseconds, lists are JSON, secrets are SHA-256 in hexadecimal.

/// The first tables.
pub(super) const FIRST: &str = "CREATE TABLE users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT,
    display_name TEXT NOT NULL,
    roles TEXT NOT NULL,
    acting_admin BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    password_hash TEXT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_username ON users (username);
CREATE UNIQUE INDEX users_email_key ON users (email_key);
CREATE INDEX users_create_time ON users (create_time, id);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    generation BIGINT NOT NULL,
    family_hash TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    refresh_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    end_time BIGINT
);
CREATE INDEX sessions_create_time ON sessions (create_time, id);
CREATE INDEX sessions_user ON sessions (user_id, create_time, id);
CREATE INDEX sessions_expire_time ON sessions (expire_time);
CREATE INDEX sessions_end_time ON sessions (end_time);
CREATE TABLE codes (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    session_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    scopes TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    issued_session_id TEXT
);
CREATE INDEX codes_expire_time ON codes (expire_time);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expire_time BIGINT,
    last_use_time BIGINT,
    create_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_key_hash ON api_keys (key_hash);
CREATE INDEX api_keys_create_time ON api_keys (create_time, id);
CREATE INDEX api_keys_user ON api_keys (user_id, create_time, id);
CREATE TABLE access (
    id BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL
);
INSERT INTO access (id, revision) VALUES (1, 1);";

/// Organisations, and what a session is bound to.
pub(super) const TERMS: &str =
    "ALTER TABLE users ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
CREATE INDEX users_organization ON users (organization_id, create_time, id);
ALTER TABLE sessions ADD COLUMN browser_session_id TEXT;
ALTER TABLE sessions ADD COLUMN auth_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN auth_methods TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN audiences TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN jkt TEXT;
ALTER TABLE sessions ADD COLUMN claims TEXT;
ALTER TABLE sessions ADD COLUMN nonce TEXT;
CREATE INDEX sessions_browser_session ON sessions (browser_session_id);
ALTER TABLE codes ADD COLUMN browser_session_id TEXT;
ALTER TABLE codes ADD COLUMN auth_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE codes ADD COLUMN auth_methods TEXT NOT NULL DEFAULT '[]';
ALTER TABLE codes ADD COLUMN audiences TEXT NOT NULL DEFAULT '[]';
ALTER TABLE codes ADD COLUMN jkt TEXT;
ALTER TABLE codes ADD COLUMN claims TEXT;
ALTER TABLE codes ADD COLUMN nonce TEXT;";

/// Clients, assertions that were used, and what answers a refresh token that comes twice in a moment.
pub(super) const CLIENTS: &str = "CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name TEXT NOT NULL,
    dynamic BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    registration_hash TEXT,
    use_time BIGINT,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE INDEX clients_organization ON clients (organization_id, create_time, id);
CREATE INDEX clients_dynamic ON clients (dynamic, create_time);
CREATE TABLE assertions (
    hash TEXT PRIMARY KEY,
    expire_time BIGINT NOT NULL
);
CREATE INDEX assertions_expire_time ON assertions (expire_time);
CREATE INDEX sessions_client ON sessions (client_id);
CREATE INDEX codes_client ON codes (client_id);
ALTER TABLE sessions ADD COLUMN previous_hash TEXT;
ALTER TABLE sessions ADD COLUMN successor TEXT;";
/// Signing keys, sealed, and single tokens that were revoked.
pub(super) const SIGNING_KEYS: &str = "CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    create_time BIGINT NOT NULL,
    active_time BIGINT NOT NULL
);
CREATE TABLE signing_rotations (
    algorithm TEXT PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO signing_rotations (algorithm, generation) VALUES ('ES256', 0), ('RS256', 0);
CREATE TABLE revoked_tokens (
    id TEXT PRIMARY KEY,
    expire_time BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_expire_time ON revoked_tokens (expire_time);";
/// Factors, recovery codes, tickets, proven addresses, and who people are elsewhere.
pub(super) const ACCOUNTS: &str = "CREATE TABLE factors (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    credential_id TEXT,
    counter BIGINT NOT NULL,
    confirm_time BIGINT,
    create_time BIGINT NOT NULL,
    last_use_time BIGINT
);
CREATE INDEX factors_user ON factors (user_id, create_time, id);
CREATE UNIQUE INDEX factors_credential ON factors (credential_id);
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id),
    hash TEXT NOT NULL,
    use_time BIGINT,
    PRIMARY KEY (user_id, hash)
);
CREATE TABLE tickets (
    hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    user_id TEXT REFERENCES users (id),
    state TEXT NOT NULL,
    expire_time BIGINT NOT NULL
);
CREATE INDEX tickets_user ON tickets (user_id, kind);
CREATE INDEX tickets_expire_time ON tickets (expire_time);
CREATE TABLE proven_emails (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    email_key TEXT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE TABLE upstream_identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    create_time BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX upstream_identities_user ON upstream_identities (user_id);";
