//! The tables' move to organisations.
//!
//! An id that a caller chose is unique within an organisation, not beyond, so the keys of workflows
//! change, which SQLite can only do by building the tables anew. Ids of executions are made here and
//! unique anywhere: their tables get a column.

/// Every row belongs to an organisation; what is there belongs to the first one. The shipped workflows
/// are shared: everybody sees them, and only the first organisation changes them.
pub(super) const ORGANIZATIONS: &str = "
CREATE TABLE workflows_moved (
    organization_id TEXT NOT NULL DEFAULT 'default',
    id TEXT NOT NULL,
    shared BIGINT NOT NULL DEFAULT 0,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO workflows_moved
    SELECT 'default', id,
        CASE WHEN id IN ('workflow-customer-support', 'workflow-data-pipeline') THEN 1 ELSE 0 END,
        name, description, labels, version, revision, create_time, update_time FROM workflows;
CREATE TABLE workflow_versions_moved (
    organization_id TEXT NOT NULL DEFAULT 'default',
    workflow_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT NOT NULL,
    source TEXT,
    hash TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (organization_id, workflow_id, version),
    FOREIGN KEY (organization_id, workflow_id) REFERENCES workflows_moved (organization_id, id)
        ON DELETE CASCADE
);
INSERT INTO workflow_versions_moved
    SELECT 'default', workflow_id, version, definition, source, hash, create_time
    FROM workflow_versions;
DROP TABLE workflow_versions;
DROP TABLE workflows;
ALTER TABLE workflows_moved RENAME TO workflows;
ALTER TABLE workflow_versions_moved RENAME TO workflow_versions;
CREATE INDEX workflows_create_time ON workflows (organization_id, create_time, id);
CREATE INDEX workflows_shared ON workflows (id) WHERE shared = 1;
ALTER TABLE executions ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
DROP INDEX executions_create_time;
DROP INDEX executions_workflow;
CREATE INDEX executions_create_time ON executions (organization_id, create_time, id);
CREATE INDEX executions_workflow ON executions (organization_id, workflow_id, create_time, id);
CREATE INDEX executions_open_workflow ON executions (workflow_id) WHERE end_time IS NULL;
ALTER TABLE journal ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
ALTER TABLE callbacks ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';";
