//! `lightning.agents.v1.TemplateService`.

use lightning_proto::agents::v1::{self as pb, template_service_server::TemplateService};
use tonic::{Request, Response, Status, async_trait};

use super::Api;
use crate::convert;

#[async_trait]
impl TemplateService for Api {
    async fn get_template(
        &self,
        request: Request<pb::GetTemplateRequest>,
    ) -> Result<Response<pb::Template>, Status> {
        Ok(Response::new(self.templates.get(&request.get_ref().id)?.clone().into()))
    }

    async fn list_templates(
        &self,
        request: Request<pb::ListTemplatesRequest>,
    ) -> Result<Response<pb::ListTemplatesResponse>, Status> {
        let page = convert::templates_page(request.get_ref())?;
        let after = page.after_key().and_then(|key| key.first()).map_or("", String::as_str);
        let mut rest = self.templates.after(after).cloned();
        let templates: Vec<pb::Template> =
            rest.by_ref().take(page.size()).map(Into::into).collect();
        let last = templates.last().map_or("", |template| template.id.as_str());
        let next_page_token = page.next_key(rest.next().is_some(), &[last]);
        Ok(Response::new(pb::ListTemplatesResponse { templates, next_page_token }))
    }
}
