//! Rows of workflows and their versions.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Once, Row, params};

use super::{After, Store, Written, json, labels, labels_text, limit, number, readable};
use crate::{
    Error,
    domain::{Version, Workflow, WorkflowId},
};

/// Selects workflows that the organisation `$1` sees: its own, and the shared ones that it has no
/// workflow of the same id in place of.
macro_rules! seen {
    ($columns:literal, $version:literal, $tail:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM workflows w JOIN workflow_versions v ON v.organization_id = w.organization_id
                AND v.workflow_id = w.id ",
            $version,
            " WHERE (w.organization_id = $1 OR (w.shared = 1 AND NOT EXISTS
                (SELECT 1 FROM workflows o WHERE o.organization_id = $1 AND o.id = w.id))) ",
            $tail
        )
    };
}

/// Selects workflows as they are now.
macro_rules! current {
    ($tail:literal) => {
        seen!(
            "w.organization_id, w.id, w.shared, w.name, w.description, w.labels, w.revision,
            w.create_time, w.update_time, v.version, v.definition, v.source, v.hash,
            v.create_time AS version_time",
            "AND v.version = w.version",
            $tail
        )
    };
}

/// Selects versions.
macro_rules! versions {
    ($tail:literal) => {
        seen!("v.version, v.definition, v.source, v.hash, v.create_time AS version_time", "", $tail)
    };
}

const GET: &str = current!("AND w.id = $2");
const LIST_DOWN: &str = current!(
    "AND (CAST($2 AS TEXT) IS NULL OR w.name = $2)
    AND (w.create_time < $3 OR (w.create_time = $3 AND w.id < $4))
    ORDER BY w.create_time DESC, w.id DESC LIMIT $5"
);
const LIST_UP: &str = current!(
    "AND (CAST($2 AS TEXT) IS NULL OR w.name = $2)
    AND (w.create_time > $3 OR (w.create_time = $3 AND w.id > $4))
    ORDER BY w.create_time, w.id LIMIT $5"
);
const VERSION: &str = versions!("AND w.id = $2 AND v.version = $3");
const VERSIONS: &str =
    versions!("AND w.id = $2 AND v.version < $3 ORDER BY v.version DESC LIMIT $4");
const INSERT: &str = "INSERT INTO workflows
    (id, name, description, labels, version, revision, create_time, update_time, organization_id, shared)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const INSERT_VERSION: &str = "INSERT INTO workflow_versions
    (workflow_id, version, definition, source, hash, create_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const UPDATE: &str = "UPDATE workflows SET name = $1, description = $2, labels = $3, version = $4,
    revision = revision + 1, update_time = $5
    WHERE organization_id = $8 AND id = $6 AND revision = $7";
/// Takes the row before anything is decided on it, so that no execution begins meanwhile.
const HOLD: &str =
    "UPDATE workflows SET id = id WHERE organization_id = $3 AND id = $1 AND revision = $2";
const DELETE: &str = "DELETE FROM workflows WHERE organization_id = $2 AND id = $1 AND NOT EXISTS
    (SELECT 1 FROM executions e WHERE e.workflow_id = $1 AND e.end_time IS NULL
        AND (e.organization_id = $2 OR workflows.shared = 1))";

// === impl Store ===

impl Store {
    pub(crate) async fn workflow(
        &self,
        organization: &str,
        id: &WorkflowId,
    ) -> Result<Workflow, Error> {
        match self.db.query_opt(GET, params![organization, id.as_str()]).await? {
            Some(row) => workflow(&row),
            None => Err(Error::WorkflowNotFound { id: id.clone() }),
        }
    }

    pub(crate) async fn workflows(
        &self,
        organization: &str,
        name: Option<&str>,
        ascending: bool,
        after: After,
        rows: usize,
    ) -> Result<Vec<Workflow>, Error> {
        let (sql, first) = if ascending { (LIST_UP, i64::MIN) } else { (LIST_DOWN, i64::MAX) };
        let (time, id) = after.unwrap_or((first, String::new()));
        let params = params![organization, name, time, id, limit(rows)];
        let rows = self.db.query(sql, params).await?;
        rows.iter().map(workflow).collect()
    }

    pub(crate) async fn version(
        &self,
        organization: &str,
        id: &WorkflowId,
        number: i32,
    ) -> Result<Version, Error> {
        match self.db.query_opt(VERSION, params![organization, id.as_str(), number]).await? {
            Some(row) => version(&row),
            None => Err(Error::VersionNotFound { id: id.clone(), version: number }),
        }
    }

    pub(crate) async fn versions(
        &self,
        organization: &str,
        id: &WorkflowId,
        below: i64,
        rows: usize,
    ) -> Result<Vec<Version>, Error> {
        let params = params![organization, id.as_str(), below, limit(rows)];
        let rows = self.db.query(VERSIONS, params).await?;
        rows.iter().map(version).collect()
    }

    pub(crate) async fn insert_workflow(
        &self,
        workflow: &Workflow,
        once: Option<Once>,
    ) -> Result<Written, Error> {
        let Workflow { id, name, description, labels, version, revision, .. } = workflow;
        let Workflow { organization_id, shared, created_at, updated_at, .. } = workflow;
        let (created, updated) = (created_at.as_micros(), updated_at.as_micros());
        let batch = Batch::new()
            .then(
                INSERT,
                params![
                    id.as_str(),
                    name,
                    description,
                    labels_text(labels),
                    version.number,
                    *revision,
                    created,
                    updated,
                    organization_id,
                    *shared
                ],
            )
            .append(insert_version(workflow));
        match self.write_once(once, batch, created).await {
            Err(Error::Store(error)) if error.is_conflict() => {
                Err(Error::WorkflowExists { id: id.clone() })
            }
            result => result,
        }
    }

    /// Writes what changed, if the revision is still the one before. Tells whether it was.
    pub(crate) async fn update_workflow(
        &self,
        workflow: &Workflow,
        new_version: bool,
    ) -> Result<bool, Error> {
        let Workflow { id, name, description, labels, version, revision, updated_at, .. } =
            workflow;
        let organization = &workflow.organization_id;
        let mut batch = Batch::new().then_expect(
            UPDATE,
            params![
                name,
                description,
                labels_text(labels),
                version.number,
                updated_at.as_micros(),
                id.as_str(),
                *revision - 1,
                organization
            ],
            Expect::Rows(1),
        );
        if new_version {
            batch = batch.append(insert_version(workflow));
        }
        match self.db.write(batch).await {
            Ok(_) => Ok(true),
            Err(lightning_store::Error::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a workflow if it is still what it was.
    pub(crate) async fn delete_workflow(&self, workflow: &Workflow) -> Result<(), Error> {
        let Workflow { organization_id, id, revision, .. } = workflow;
        let batch = Batch::new()
            .then_expect(HOLD, params![id.as_str(), *revision, organization_id], Expect::Rows(1))
            .then_expect(DELETE, params![id.as_str(), organization_id], Expect::Rows(1));
        match self.db.write(batch).await {
            Ok(_) => Ok(()),
            Err(lightning_store::Error::Unexpected { statement: 0, .. }) => Err(Error::Contended),
            Err(lightning_store::Error::Unexpected { .. }) => {
                Err(Error::WorkflowInUse { id: id.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn insert_version(workflow: &Workflow) -> Batch {
    let Workflow { organization_id, id, version, .. } = workflow;
    Batch::new().then(
        INSERT_VERSION,
        params![
            id.as_str(),
            version.number,
            json(&version.definition),
            version.source.as_deref(),
            &version.hash,
            version.created_at.as_micros(),
            organization_id
        ],
    )
}

fn workflow(row: &Row) -> Result<Workflow, Error> {
    Ok(Workflow {
        organization_id: row.text("organization_id")?,
        shared: row.boolean("shared")?,
        id: WorkflowId::parse(&row.text("id")?).map_err(|_| Error::Damaged { what: "an id" })?,
        name: row.text("name")?,
        description: row.text("description")?,
        labels: labels(&row.text("labels")?),
        version: version(row)?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

fn version(row: &Row) -> Result<Version, Error> {
    Ok(Version {
        number: number(row.integer("version")?, "a version")?,
        definition: readable(&row.text("definition")?, "a definition"),
        source: row.opt_text("source")?,
        hash: row.text("hash")?,
        created_at: Timestamp::from_micros(row.integer("version_time")?),
    })
}
