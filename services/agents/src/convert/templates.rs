//! Templates.

use lightning_mesh::{fault::Fault, page::Page};
use lightning_proto::agents::v1 as pb;

use super::to_struct;
use crate::templates::Template;

/// Reads which page of the templates to list.
pub(crate) fn templates_page(request: &pb::ListTemplatesRequest) -> Result<Page, Fault> {
    Ok(Page::parse(request.page_size, &request.page_token, "", "", &["id"])?)
}

impl From<Template> for pb::Template {
    fn from(template: Template) -> Self {
        let design = template.design;
        Self {
            id: template.id,
            name: design.name,
            description: design.description,
            agent_type: design.agent_type.as_str().to_owned(),
            instructions: design.instructions,
            temperature: design.temperature,
            max_output_tokens: design.max_output_tokens,
            config: Some(to_struct(design.config)),
        }
    }
}
