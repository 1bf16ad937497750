//! The tables' move to organisations.
//!
//! An id that a caller chose is unique within an organisation, not beyond: otherwise who finds one
//! taken would learn of another organisation's agent. So the keys change, which SQLite can only do
//! by building the tables anew. Children move before their parents go, so no cascade takes them.

/// Every row belongs to an organisation; what is there belongs to the first one. An agent has an owner
/// and a list of what it may do at most: what was there before gets what new agents get.
pub(super) const ORGANIZATIONS: &str = "
CREATE TABLE agents_moved (
    organization_id TEXT NOT NULL DEFAULT 'default',
    id TEXT NOT NULL,
    template_id TEXT,
    status TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    owner_id TEXT NOT NULL,
    permissions TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO agents_moved
    SELECT 'default', id, template_id, status, version, revision, '',
        '[\"integrations.execute\",\"integrations.read\",\"models.infer\",\"models.read\",\"workflows.execute\",\"workflows.read\"]',
        create_time, update_time FROM agents;
CREATE TABLE agent_versions_moved (
    organization_id TEXT NOT NULL DEFAULT 'default',
    agent_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    status TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    model TEXT NOT NULL,
    instructions TEXT NOT NULL,
    temperature DOUBLE PRECISION,
    max_output_tokens BIGINT,
    config TEXT NOT NULL,
    labels TEXT NOT NULL,
    workflow_id TEXT,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (organization_id, agent_id, version),
    FOREIGN KEY (organization_id, agent_id) REFERENCES agents_moved (organization_id, id)
        ON DELETE CASCADE
);
INSERT INTO agent_versions_moved
    SELECT 'default', agent_id, version, revision, status, name, description, agent_type, model,
        instructions, temperature, max_output_tokens, config, labels, workflow_id, create_time
    FROM agent_versions;
CREATE TABLE deployments_moved (
    organization_id TEXT NOT NULL DEFAULT 'default',
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL,
    agent_version BIGINT NOT NULL,
    environment TEXT NOT NULL,
    replicas BIGINT NOT NULL,
    status TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    end_time BIGINT,
    FOREIGN KEY (organization_id, agent_id) REFERENCES agents_moved (organization_id, id)
        ON DELETE CASCADE
);
INSERT INTO deployments_moved
    SELECT 'default', id, agent_id, agent_version, environment, replicas, status, create_time, end_time
    FROM deployments;
DROP TABLE deployments;
DROP TABLE agent_versions;
DROP TABLE agents;
ALTER TABLE agents_moved RENAME TO agents;
ALTER TABLE agent_versions_moved RENAME TO agent_versions;
ALTER TABLE deployments_moved RENAME TO deployments;
CREATE INDEX agents_create_time ON agents (organization_id, create_time, id);
CREATE UNIQUE INDEX deployments_active ON deployments (organization_id, agent_id, environment)
    WHERE status = 'active';
CREATE INDEX deployments_create_time ON deployments (organization_id, agent_id, create_time, id);";
