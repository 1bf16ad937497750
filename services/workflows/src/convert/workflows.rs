//! Workflows and versions, in and out.

use lightning_mesh::{
    etag,
    fault::{Fault, Violations},
    filter::Filter,
    json,
    mask::Mask,
    page::Page,
};
use lightning_proto::workflows::v1::{self as pb, ErrorReason as Reason};
use prost_types::Struct;
use serde_json::Value;

use super::{ORDERS, check_labels, check_text, id};
use crate::{
    definition::MAX_SOURCE,
    domain::{Labels, Version, Workflow, WorkflowId},
    nesting,
};

const NAME: usize = 200;
const DESCRIPTION: usize = 2_000;
const CHANGEABLE: [&str; 5] = ["name", "description", "definition", "source", "labels"];
const OUTPUT_ONLY: [&str; 6] =
    ["id", "version", "definition_hash", "create_time", "update_time", "etag"];

/// A workflow to be made, with its definition not yet read.
pub(crate) struct Draft {
    pub(crate) id: Option<WorkflowId>,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) labels: Labels,
    pub(crate) definition: DefinitionDraft,
}

/// A definition as it came.
pub(crate) struct DefinitionDraft {
    pub(crate) definition: Option<Value>,
    pub(crate) source: Option<String>,
}

/// A change of a workflow, with its definition not yet read.
pub(crate) struct ChangeDraft {
    pub(crate) id: WorkflowId,
    pub(crate) etag: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) labels: Option<Labels>,
    pub(crate) definition: Option<DefinitionDraft>,
}

pub(crate) fn draft(request: pb::CreateWorkflowRequest) -> Result<Draft, Fault> {
    let pb::CreateWorkflowRequest { workflow, workflow_id, .. } = request;
    let id = match workflow_id.as_str() {
        "" => None,
        text => Some(id("workflow_id", text, WorkflowId::parse, Reason::WorkflowInvalid)?),
    };
    let mut v = Violations::new();
    let Some(workflow) = workflow else {
        v.add("workflow", "is missing");
        v.finish(Reason::WorkflowInvalid)?;
        return draft(pb::CreateWorkflowRequest {
            workflow: Some(pb::Workflow::default()),
            ..Default::default()
        });
    };
    check_text(&mut v, "workflow.name", &workflow.name, NAME);
    check_text(&mut v, "workflow.description", &workflow.description, DESCRIPTION);
    let labels: Labels = workflow.labels.clone().into_iter().collect();
    check_labels(&mut v, "workflow.labels", &labels);
    let definition = definition_draft(&mut v, workflow.definition.as_ref(), &workflow.source);
    v.finish(Reason::WorkflowInvalid)?;
    Ok(Draft { id, name: workflow.name, description: workflow.description, labels, definition })
}

/// Reads `definition` and `source`, of which one is needed.
fn definition_draft(
    v: &mut Violations,
    definition: Option<&Struct>,
    source: &str,
) -> DefinitionDraft {
    let definition = definition.map(|definition| Value::Object(json::from_struct(definition)));
    let source = Some(source.to_owned()).filter(|source| !source.is_empty());
    if definition.is_none() && source.is_none() {
        v.add("workflow.definition", "is missing: give the definition, or its text as source");
    }
    if let Some(definition) = &definition {
        let bytes = definition.to_string().len();
        let fits = bytes <= MAX_SOURCE;
        v.check(
            fits,
            "workflow.definition",
            format!("must have at most {MAX_SOURCE} bytes as JSON, not {bytes}"),
        );
    }
    if let Some(source) = &source {
        let bytes = source.len();
        let fits = bytes <= MAX_SOURCE;
        v.check(
            fits,
            "workflow.source",
            format!("must have at most {MAX_SOURCE} bytes, not {bytes}"),
        );
        v.check(!source.contains('\0'), "workflow.source", "must not contain the NUL character");
    }
    DefinitionDraft { definition, source }
}

pub(crate) fn change(request: pb::UpdateWorkflowRequest) -> Result<ChangeDraft, Fault> {
    let workflow = request.workflow.unwrap_or_default();
    let id = id("workflow.id", &workflow.id, WorkflowId::parse, Reason::WorkflowInvalid)?;
    let mask = Mask::parse(request.update_mask.as_ref(), &CHANGEABLE, &OUTPUT_ONLY)?;
    let takes =
        |field: &str, present: bool| if mask.is_empty() { present } else { mask.has(field) };
    let mut v = Violations::new();
    let labels: Labels = workflow.labels.clone().into_iter().collect();
    let given = workflow.definition.is_some() || !workflow.source.is_empty();
    let definition = (takes("definition", given) || takes("source", given))
        .then(|| definition_draft(&mut v, workflow.definition.as_ref(), &workflow.source));
    let change = ChangeDraft {
        id,
        etag: workflow.etag,
        name: takes("name", !workflow.name.is_empty()).then_some(workflow.name),
        description: takes("description", !workflow.description.is_empty())
            .then_some(workflow.description),
        labels: takes("labels", !labels.is_empty()).then_some(labels),
        definition,
    };
    if let Some(name) = &change.name {
        check_text(&mut v, "workflow.name", name, NAME);
    }
    if let Some(description) = &change.description {
        check_text(&mut v, "workflow.description", description, DESCRIPTION);
    }
    if let Some(labels) = &change.labels {
        check_labels(&mut v, "workflow.labels", labels);
    }
    v.finish(Reason::WorkflowInvalid)?;
    Ok(change)
}

/// Reads which workflows to list, and which page of them.
pub(crate) fn workflow_list(
    request: &pb::ListWorkflowsRequest,
) -> Result<(Option<String>, Page), Fault> {
    let pb::ListWorkflowsRequest { page_size, page_token, filter, order_by } = request;
    let page = Page::parse(*page_size, page_token, order_by, filter, &ORDERS)?;
    let filter = Filter::parse(filter, &["name"])?;
    Ok((filter.get("name").map(str::to_owned), page))
}

/// Reads whose versions to list, and which page of them.
pub(crate) fn versions_page(
    request: &pb::ListWorkflowVersionsRequest,
) -> Result<(WorkflowId, Page), Fault> {
    let id = id("workflow_id", &request.workflow_id, WorkflowId::parse, Reason::WorkflowInvalid)?;
    // The workflow is part of the query: a token of another one's versions is refused.
    let page =
        Page::parse(request.page_size, &request.page_token, "", id.as_str(), &["version desc"])?;
    Ok((id, page))
}

impl From<Workflow> for pb::Workflow {
    fn from(workflow: Workflow) -> Self {
        let Version { number, definition, source, hash, .. } = workflow.version;
        Self {
            id: workflow.id.into(),
            name: workflow.name,
            description: workflow.description,
            definition: Some(json::to_struct(nesting::shown(definition))),
            source: source.unwrap_or_default(),
            version: number,
            definition_hash: hash,
            labels: workflow.labels.into_iter().collect(),
            create_time: Some(workflow.created_at.to_proto()),
            update_time: Some(workflow.updated_at.to_proto()),
            etag: etag::of(workflow.revision),
        }
    }
}

pub(crate) fn version(id: &WorkflowId, version: Version) -> pb::WorkflowVersion {
    pb::WorkflowVersion {
        workflow_id: id.to_string(),
        version: version.number,
        definition: Some(json::to_struct(nesting::shown(version.definition))),
        definition_hash: version.hash,
        create_time: Some(version.created_at.to_proto()),
    }
}
