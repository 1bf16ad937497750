//! Keeping workflows: making, changing, listing, ending them.
//!
//! A definition is read whole before anything is written, off the runtime's threads, because compiling
//! expressions takes the processor. Every change reads the workflow, decides on what it read, and
//! writes only if it is still so.

use lightning_mesh::{
    clock::Clock,
    etag,
    idempotency::Key,
    identity::{Caller, DEFAULT_ORGANIZATION},
    page::Page,
};
use lightning_proto::workflows::v1 as pb;

use crate::{
    Error,
    access::{self, READ, WRITE},
    convert::{self, Draft},
    definition,
    domain::{Change, Given, Labels, Version, Workflow, WorkflowId},
    pages::{self, weight},
    repeat::{self, Reply},
    samples::SAMPLES,
    store::{Store, Written},
};

/// How often a change without etag is decided again when others were faster.
const ATTEMPTS: usize = 8;

/// The workflows.
#[derive(Clone)]
pub(crate) struct Workflows {
    store: Store,
    clock: Clock,
}

// === impl Workflows ===

impl Workflows {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Makes the shipped workflows that are not there.
    pub(crate) async fn install_samples(&self) -> Result<(), Error> {
        for sample in SAMPLES {
            let id =
                WorkflowId::parse(sample.id).map_err(|_| Error::Damaged { what: "a sample" })?;
            match self.store.workflow(DEFAULT_ORGANIZATION, &id).await {
                Ok(_) => continue,
                Err(Error::WorkflowNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            let given = read(None, Some(sample.source.to_owned())).await?;
            let (title, summary) = (given.title.clone(), given.summary.clone());
            let workflow = self.fresh(DEFAULT_ORGANIZATION, id, title, summary, given);
            let workflow = Workflow { shared: true, ..workflow };
            match self.store.insert_workflow(&workflow, None).await {
                Ok(_) | Err(Error::WorkflowExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) async fn get(&self, caller: &Caller, id: &WorkflowId) -> Result<Workflow, Error> {
        let workflow = self.store.workflow(caller.organization()?, id).await?;
        access::check_workflow(caller, READ, &workflow)?;
        Ok(workflow)
    }

    /// A page of workflows and the token of the next.
    pub(crate) async fn list(
        &self,
        organization: &str,
        name: Option<&str>,
        page: &Page,
    ) -> Result<(Vec<Workflow>, String), Error> {
        let ascending = page.order() == "create_time";
        pages::fill(
            page,
            |workflow: &Workflow| (workflow.created_at.as_micros(), workflow.id.to_string()),
            |workflow| size(&workflow.version),
            |after, rows| self.store.workflows(organization, name, ascending, after, rows),
        )
        .await
    }

    /// A page of the versions of a workflow, newest first, and the token of the next.
    pub(crate) async fn versions(
        &self,
        caller: &Caller,
        id: &WorkflowId,
        page: &Page,
    ) -> Result<(Vec<Version>, String), Error> {
        self.get(caller, id).await?;
        let organization = caller.organization()?;
        pages::fill(
            page,
            |version: &Version| (i64::from(version.number), String::new()),
            size,
            |after, rows| {
                let below = after.map_or(i64::MAX, |(number, _)| number);
                self.store.versions(organization, id, below, rows)
            },
        )
        .await
    }

    pub(crate) async fn create(
        &self,
        caller: &Caller,
        draft: Draft,
        key: Option<Key>,
    ) -> Result<Reply<Workflow>, Error> {
        if let Some(reply) = self.store.recall(key.as_ref()).await? {
            return Ok(Reply::Again(reply));
        }
        let organization = caller.organization()?;
        let id = draft.id.unwrap_or_else(WorkflowId::generate);
        access::check_labelled(caller, WRITE, &id, &draft.labels)?;
        let given = read(draft.definition.definition, draft.definition.source).await?;
        let name = named(draft.name, &given);
        // A shared one stands in the way too, so that nobody takes one for the other.
        match self.store.workflow(organization, &id).await {
            Ok(found) if found.organization_id != organization => {
                return Err(Error::WorkflowExists { id });
            }
            Ok(_) | Err(Error::WorkflowNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let workflow = self.fresh(organization, id, name, draft.description, given);
        let workflow = Workflow { labels: draft.labels, ..workflow };
        let once = key.map(|key| repeat::once(key, &pb::Workflow::from(workflow.clone())));
        match self.store.insert_workflow(&workflow, once).await? {
            Written::Before(reply) => Ok(Reply::Again(reply)),
            Written::Now => {
                tracing::info!(workflow_id = %workflow.id, "workflow created");
                Ok(Reply::First(workflow))
            }
        }
    }

    /// Changes a workflow. The caller must be allowed to write it as it was and as it becomes, so that
    /// nobody changes labels to get around a policy.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        change: convert::ChangeDraft,
    ) -> Result<Workflow, Error> {
        let organization = caller.organization()?;
        let definition = match change.definition {
            Some(draft) => Some(read(draft.definition, draft.source).await?),
            None => None,
        };
        let change = Change {
            id: change.id,
            etag: change.etag,
            name: change.name,
            description: change.description,
            labels: change.labels,
            definition,
        };
        for _ in 0..ATTEMPTS {
            let before = self.own(organization, &change.id).await?;
            access::check_workflow(caller, WRITE, &before)?;
            if !etag::matches(&change.etag, before.revision) {
                return Err(Error::EtagMismatch);
            }
            let (after, new_version) = self.changed(before, &change);
            if change.labels.is_some() {
                access::check_workflow(caller, WRITE, &after)?;
            }
            if self.store.update_workflow(&after, new_version).await? {
                tracing::info!(workflow_id = %after.id, version = after.version.number, "workflow updated");
                return Ok(after);
            }
            if !change.etag.is_empty() {
                return Err(Error::EtagMismatch);
            }
        }
        Err(Error::Contended)
    }

    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        id: &WorkflowId,
        etag: &str,
    ) -> Result<(), Error> {
        let organization = caller.organization()?;
        for _ in 0..ATTEMPTS {
            let workflow = self.own(organization, id).await?;
            access::check_workflow(caller, WRITE, &workflow)?;
            if !etag::matches(etag, workflow.revision) {
                return Err(Error::EtagMismatch);
            }
            match self.store.delete_workflow(&workflow).await {
                Err(Error::Contended) if etag.is_empty() => {}
                Err(Error::Contended) => return Err(Error::EtagMismatch),
                Err(error) => return Err(error),
                Ok(()) => {
                    tracing::info!(workflow_id = %id, "workflow deleted");
                    return Ok(());
                }
            }
        }
        Err(Error::Contended)
    }

    /// A workflow that the organisation may change.
    async fn own(&self, organization: &str, id: &WorkflowId) -> Result<Workflow, Error> {
        let workflow = self.store.workflow(organization, id).await?;
        if workflow.organization_id == organization {
            return Ok(workflow);
        }
        Err(Error::WorkflowShared { id: id.clone() })
    }

    fn fresh(
        &self,
        organization: &str,
        id: WorkflowId,
        name: String,
        description: String,
        given: Given,
    ) -> Workflow {
        let now = self.clock.now();
        let Given { definition, source, hash, .. } = given;
        let version = Version { number: 1, definition, source, hash, created_at: now };
        Workflow {
            organization_id: organization.to_owned(),
            shared: false,
            id,
            name,
            description,
            labels: Labels::new(),
            version,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// The workflow after the change, and whether that is a new version. The same definition once more
    /// is none.
    fn changed(&self, before: Workflow, change: &Change) -> (Workflow, bool) {
        let now = self.clock.now();
        let mut after = Workflow { revision: before.revision + 1, updated_at: now, ..before };
        let mut new_version = false;
        if let Some(given) = &change.definition
            && (given.hash != after.version.hash || given.source != after.version.source)
        {
            new_version = true;
            after.version = Version {
                number: after.version.number + 1,
                definition: given.definition.clone(),
                source: given.source.clone(),
                hash: given.hash.clone(),
                created_at: now,
            };
        }
        if let Some(name) = &change.name {
            after.name = match name.trim() {
                "" => document_name(&after.version.definition),
                _ => name.clone(),
            };
        }
        if let Some(description) = &change.description {
            after.description.clone_from(description);
        }
        if let Some(labels) = &change.labels {
            after.labels.clone_from(labels);
        }
        (after, new_version)
    }
}

fn named(name: String, given: &Given) -> String {
    if name.trim().is_empty() { document_name(&given.definition) } else { name }
}

fn document_name(definition: &serde_json::Value) -> String {
    definition["document"]["name"].as_str().unwrap_or_default().to_owned()
}

fn size(version: &Version) -> usize {
    512 + weight(&version.definition) + version.source.as_ref().map_or(0, String::len)
}

/// Reads a definition from its value or its text. Both are fine if they mean the same, as in a
/// workflow that is sent back the way it was read.
async fn read(value: Option<serde_json::Value>, source: Option<String>) -> Result<Given, Error> {
    tokio::task::spawn_blocking(move || read_here(value, source)).await?
}

fn read_here(value: Option<serde_json::Value>, source: Option<String>) -> Result<Given, Error> {
    let invalid = |faults| Error::DefinitionInvalid { faults };
    let (definition, positions) = match (&source, value) {
        (None, value) => (value.unwrap_or_default(), None),
        (Some(text), other) => {
            let (value, positions) = definition::parse(text).map_err(|finding| {
                invalid(vec![("workflow.source".to_owned(), finding.to_string())])
            })?;
            if other.is_some_and(|other| definition::hash(&other) != definition::hash(&value)) {
                let text = "differs from workflow.source: give one of them";
                return Err(invalid(vec![("workflow.definition".to_owned(), text.to_owned())]));
            }
            (value, Some(positions))
        }
    };
    let field = if positions.is_some() { "workflow.source" } else { "workflow.definition" };
    match definition::read(&definition) {
        Ok(read) => Ok(Given {
            hash: definition::hash(&definition),
            definition,
            source,
            title: if read.title.is_empty() { read.name } else { read.title },
            summary: read.summary,
        }),
        Err(mut findings) => {
            if let Some(positions) = &positions {
                definition::locate(&mut findings, positions);
            }
            let faults = findings
                .iter()
                .map(|finding| (format!("{field}{}", finding.pointer), finding.to_string()));
            Err(invalid(faults.collect()))
        }
    }
}
