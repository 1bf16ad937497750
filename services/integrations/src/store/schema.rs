//! The tables' move to organisations.
//!
//! An integration's id may be chosen by its caller, so it is unique within an organisation and not
//! beyond; SQLite can only change the key by building the table anew. Ids of webhooks are made here:
//! their tables get a column.

/// Every row belongs to an organisation; what is there belongs to the first one.
pub(super) const ORGANIZATIONS: &str = "
CREATE TABLE integrations_moved (
    organization_id TEXT NOT NULL DEFAULT 'default',
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    connector_type TEXT NOT NULL,
    config TEXT NOT NULL,
    credentials TEXT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO integrations_moved
    SELECT 'default', id, name, connector_type, config, credentials, revision, create_time, update_time
    FROM integrations;
DROP TABLE integrations;
ALTER TABLE integrations_moved RENAME TO integrations;
CREATE INDEX integrations_create_time ON integrations (organization_id, create_time, id);
ALTER TABLE webhooks ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
DROP INDEX webhooks_create_time;
CREATE INDEX webhooks_create_time ON webhooks (organization_id, create_time, id);
ALTER TABLE webhook_events ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
DROP INDEX webhook_events_create_time;
CREATE INDEX webhook_events_create_time
    ON webhook_events (organization_id, webhook_id, create_time, id)";
