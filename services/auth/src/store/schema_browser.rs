//! The tables of what happens in browsers.

/// Sessions of browsers, requests that wait, consents, devices, and notices of logouts.
pub(super) const PAGES: &str = "CREATE TABLE browser_sessions (
    id TEXT PRIMARY KEY,
    chain_id TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    secret_hash TEXT NOT NULL,
    auth_time BIGINT NOT NULL,
    auth_methods TEXT NOT NULL,
    half BIGINT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    seen_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    end_time BIGINT
);
CREATE UNIQUE INDEX browser_sessions_secret ON browser_sessions (secret_hash);
CREATE INDEX browser_sessions_chain ON browser_sessions (chain_id);
CREATE INDEX browser_sessions_user ON browser_sessions (user_id, seen_time);
CREATE INDEX browser_sessions_expire_time ON browser_sessions (expire_time);
CREATE TABLE authorization_requests (
    hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    client_id TEXT NOT NULL,
    parameters BYTEA NOT NULL,
    browser_hash TEXT,
    session_before TEXT,
    chosen BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL
);
CREATE INDEX authorization_requests_expire_time ON authorization_requests (expire_time);
CREATE INDEX authorization_requests_browser ON authorization_requests (browser_hash);
CREATE TABLE consents (
    user_id TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    resources TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE TABLE device_logins (
    id TEXT PRIMARY KEY,
    device_hash TEXT NOT NULL,
    user_hash TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    resources TEXT NOT NULL,
    jkt TEXT,
    address TEXT NOT NULL,
    interval_seconds BIGINT NOT NULL,
    poll_time BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    state TEXT NOT NULL,
    browser_session_id TEXT,
    user_id TEXT,
    auth_time BIGINT NOT NULL,
    auth_methods TEXT NOT NULL
);
CREATE UNIQUE INDEX device_logins_device ON device_logins (device_hash);
CREATE UNIQUE INDEX device_logins_user_code ON device_logins (user_hash);
CREATE INDEX device_logins_expire_time ON device_logins (expire_time);
CREATE TABLE logout_notices (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    sub TEXT NOT NULL,
    sid TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_time BIGINT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE INDEX logout_notices_next_time ON logout_notices (next_time);";
