//! Rows of executions: what lists, filters and a first answer need.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Once, Row, params};
use serde_json::Value;

use super::{
    After, JournalRow, Store, Written, callbacks, journal, json, labels, labels_text, limit,
    number, parse, problem, readable,
};
use crate::{
    Error,
    domain::{Execution, ExecutionId, Problem, Status, WorkflowId},
};

const COLUMNS_GET: &str =
    "SELECT id, workflow_id, workflow_version, status, input, output, problem,
    callback_url, labels, subject, create_time, start_time, end_time, organization_id
    FROM executions WHERE organization_id = $1 AND id = $2";
const LIST_DOWN: &str = "SELECT id, workflow_id, workflow_version, status, input, output, problem,
    callback_url, labels, subject, create_time, start_time, end_time, organization_id
    FROM executions WHERE organization_id = $6 AND (CAST($1 AS TEXT) IS NULL OR workflow_id = $1) AND (CAST($2 AS TEXT) IS NULL OR status = $2)
    AND (create_time < $3 OR (create_time = $3 AND id < $4))
    ORDER BY create_time DESC, id DESC LIMIT $5";
const LIST_UP: &str = "SELECT id, workflow_id, workflow_version, status, input, output, problem,
    callback_url, labels, subject, create_time, start_time, end_time, organization_id
    FROM executions WHERE organization_id = $6 AND (CAST($1 AS TEXT) IS NULL OR workflow_id = $1) AND (CAST($2 AS TEXT) IS NULL OR status = $2)
    AND (create_time > $3 OR (create_time = $3 AND id > $4))
    ORDER BY create_time, id LIMIT $5";
const OPEN: &str = "SELECT organization_id, id, caller, create_time FROM executions
    WHERE end_time IS NULL AND (create_time > $1 OR (create_time = $1 AND id > $2))
    ORDER BY create_time, id LIMIT $3";
/// Holds the workflow, own or shared, while an execution of it is inserted, so that it cannot be deleted meanwhile.
const HOLD: &str = "UPDATE workflows SET id = id WHERE id = $1
    AND (organization_id = $3 OR (shared = 1 AND NOT EXISTS
        (SELECT 1 FROM workflows o WHERE o.organization_id = $3 AND o.id = $1)))
    AND EXISTS (SELECT 1 FROM workflow_versions v WHERE v.workflow_id = $1 AND v.version = $2
        AND v.organization_id = workflows.organization_id)";
const INSERT: &str = "INSERT INTO executions
    (id, workflow_id, workflow_version, status, input, callback_url, labels, subject, caller, create_time,
        organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const MOVE: &str = "UPDATE executions SET status = $1, start_time = $2
    WHERE organization_id = $4 AND id = $3 AND end_time IS NULL";
const FINISH: &str =
    "UPDATE executions SET status = $1, start_time = $2, output = $3, problem = $4,
    end_time = $5 WHERE organization_id = $7 AND id = $6 AND end_time IS NULL";

/// How many open executions are read at once at the start.
const CHUNK: usize = 500;

/// What a list of executions is narrowed to.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecutionFilter {
    pub(crate) workflow_id: Option<String>,
    pub(crate) status: Option<Status>,
}

/// An execution that has not ended, as recovery needs it.
pub(crate) struct Open {
    pub(crate) organization_id: String,
    pub(crate) id: ExecutionId,
    /// Who started it, as JSON.
    pub(crate) caller: String,
}

/// How far an execution has come.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    /// It is under way with this status.
    Moved { status: Status, started_at: Option<Timestamp> },
    /// It has ended.
    Ended {
        status: Status,
        started_at: Option<Timestamp>,
        output: Option<Value>,
        problem: Option<Problem>,
        ended_at: Timestamp,
        /// Whether its callback is to be delivered.
        callback: bool,
    },
}

// === impl Store ===

impl Store {
    pub(crate) async fn execution(
        &self,
        organization: &str,
        id: &ExecutionId,
    ) -> Result<Execution, Error> {
        match self.db.query_opt(COLUMNS_GET, params![organization, id.as_str()]).await? {
            Some(row) => execution(&row),
            None => Err(Error::ExecutionNotFound { id: id.clone() }),
        }
    }

    /// The execution, with an input that is what it was started with.
    pub(crate) async fn runnable(
        &self,
        organization: &str,
        id: &ExecutionId,
    ) -> Result<Execution, Error> {
        let params = params![organization, id.as_str()];
        let Some(row) = self.db.query_opt(COLUMNS_GET, params).await? else {
            return Err(Error::ExecutionNotFound { id: id.clone() });
        };
        parse(&row.text("input")?, "an input")?;
        execution(&row)
    }

    pub(crate) async fn executions(
        &self,
        organization: &str,
        filter: &ExecutionFilter,
        ascending: bool,
        after: After,
        rows: usize,
    ) -> Result<Vec<Execution>, Error> {
        let (sql, first) = if ascending { (LIST_UP, i64::MIN) } else { (LIST_DOWN, i64::MAX) };
        let (time, id) = after.unwrap_or((first, String::new()));
        let status = filter.status.map(Status::word);
        let workflow = filter.workflow_id.as_deref();
        let params = params![workflow, status, time, id, limit(rows), organization];
        self.db.query(sql, params).await?.iter().map(execution).collect()
    }

    /// Every execution that has not ended, oldest first.
    pub(crate) async fn open_executions(&self) -> Result<Vec<Open>, Error> {
        let mut open = Vec::new();
        let mut after = (i64::MIN, String::new());
        loop {
            let (time, id) = after;
            let rows = self.db.query(OPEN, params![time, id, limit(CHUNK)]).await?;
            let Some(last) = rows.last() else { return Ok(open) };
            after = (last.integer("create_time")?, last.text("id")?);
            for row in &rows {
                open.push(Open {
                    organization_id: row.text("organization_id")?,
                    id: execution_id(row)?,
                    caller: row.text("caller")?,
                });
            }
        }
    }

    /// Writes a new execution, unless the version has gone or the request is a repetition.
    pub(crate) async fn insert_execution(
        &self,
        execution: &Execution,
        caller: &str,
        once: Option<Once>,
    ) -> Result<Written, Error> {
        let (workflow, created) =
            (execution.workflow_id.as_str(), execution.created_at.as_micros());
        let organization = &execution.organization_id;
        let insert = params![
            execution.id.as_str(),
            workflow,
            execution.version,
            execution.status.word(),
            Value::Object(execution.input.clone()).to_string(),
            execution.callback_url.as_deref(),
            labels_text(&execution.labels),
            &execution.subject,
            caller,
            created,
            organization
        ];
        let batch = Batch::new()
            .then_expect(HOLD, params![workflow, execution.version, organization], Expect::Rows(1))
            .then(INSERT, insert);
        match self.write_once(once, batch, created).await {
            Err(Error::Store(lightning_store::Error::Unexpected { .. })) => {
                Err(Error::WorkflowNotFound { id: execution.workflow_id.clone() })
            }
            result => result,
        }
    }

    /// Appends to the journal, and brings the execution's row along; durable when it returns.
    pub(crate) async fn append(
        &self,
        organization: &str,
        id: &ExecutionId,
        rows: &[JournalRow],
        progress: Option<&Progress>,
    ) -> Result<(), Error> {
        let mut batch = journal::insert(organization, id, rows);
        match progress {
            None => {}
            Some(Progress::Moved { status, started_at }) => {
                let started = started_at.map(Timestamp::as_micros);
                batch =
                    batch.then(MOVE, params![status.word(), started, id.as_str(), organization]);
            }
            Some(Progress::Ended { status, started_at, output, problem, ended_at, callback }) => {
                let finish = params![
                    status.word(),
                    started_at.map(Timestamp::as_micros),
                    output.as_ref().map(json),
                    problem.as_ref().map(|problem| json(&problem.to_value())),
                    ended_at.as_micros(),
                    id.as_str(),
                    organization
                ];
                batch = batch.then_expect(FINISH, finish, Expect::Rows(1));
                if *callback {
                    batch = batch.append(callbacks::insert(organization, id, *ended_at));
                }
            }
        }
        self.db.write(batch).await?;
        Ok(())
    }
}

fn execution_id(row: &Row) -> Result<ExecutionId, Error> {
    ExecutionId::parse(&row.text("id")?).map_err(|_| Error::Damaged { what: "an id" })
}

fn execution(row: &Row) -> Result<Execution, Error> {
    // What cannot be read is shown as that, so that it stands in no list's way.
    let input = match readable(&row.text("input")?, "an input") {
        Value::Object(input) => input,
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => std::iter::once(("unreadable".to_owned(), other)).collect(),
    };
    let output = row.opt_text("output")?;
    let workflow = row.text("workflow_id")?;
    Ok(Execution {
        organization_id: row.text("organization_id")?,
        id: execution_id(row)?,
        workflow_id: WorkflowId::parse(&workflow).map_err(|_| Error::Damaged { what: "an id" })?,
        version: number(row.integer("workflow_version")?, "a version")?,
        status: Status::of(&row.text("status")?).ok_or(Error::Damaged { what: "a status" })?,
        input,
        output: output.map(|text| readable(&text, "an output")),
        problem: problem(row.opt_text("problem")?),
        callback_url: row.opt_text("callback_url")?,
        labels: labels(&row.text("labels")?),
        subject: row.text("subject")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        started_at: row.opt_integer("start_time")?.map(Timestamp::from_micros),
        ended_at: row.opt_integer("end_time")?.map(Timestamp::from_micros),
    })
}
