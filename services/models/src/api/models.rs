//! ModelService.

use lightning_mesh::{
    fault::Fault, filter::Filter, idempotency::Key, identity::Caller, page::Page,
};
use lightning_proto::models::v1::{self as pb, model_service_server::ModelService};
use lightning_store::Once;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::Api;
use crate::{convert, error::Error, store::Inserted};

#[tonic::async_trait]
impl ModelService for Api {
    async fn get_model(
        &self,
        request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::Model>, Status> {
        let (caller, request) = Caller::split(request)?;
        if request.id.is_empty() {
            return Err(Error::ModelNotFound { model: request.id }.into());
        }
        let model = self.engine.registry.get(caller.organization()?, &request.id).await?;
        Ok(Response::new(pb::Model::from(&model)))
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let filter =
            Filter::parse(&request.filter, &["provider", "source"]).map_err(Fault::from)?;
        let page =
            Page::parse(request.page_size, &request.page_token, "", &request.filter, &["id"]);
        let page = page.map_err(Fault::from)?;
        let after = page.after_key().and_then(|key| key.first()).map_or("", String::as_str);
        let (provider, source) = (filter.get("provider"), filter.get("source"));
        let (organization, registry) = (caller.organization()?, &self.engine.registry);
        let mut models = registry.list(organization, after, provider, source, page.size()).await?;
        let more = models.len() > page.size();
        models.truncate(page.size());
        let last = models.last().map_or("", |model| model.id.as_str());
        let next_page_token = page.next_key(more, &[last]);
        let models = models.iter().map(pb::Model::from).collect();
        Ok(Response::new(pb::ListModelsResponse { models, next_page_token }))
    }

    async fn register_model(
        &self,
        request: Request<pb::RegisterModelRequest>,
    ) -> Result<Response<pb::Model>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let key = Key::of(&caller, "RegisterModel", request_id, &request)?;
        let now = self.engine.clock.now();
        let model = convert::models::registration(request)?.into_model(now);
        let reply = pb::Model::from(&model);
        let once = key.map(|Key { scope, key, fingerprint }| Once {
            scope,
            key,
            fingerprint,
            reply: reply.encode_to_vec(),
        });
        let organization = caller.organization()?;
        match self.engine.registry.register(organization, &model, once, now).await? {
            Inserted::New => Ok(Response::new(reply)),
            Inserted::Replayed(reply) => {
                let reply = pb::Model::decode(reply.as_slice());
                Ok(Response::new(
                    reply.map_err(|_| Error::Damaged("a kept answer does not decode"))?,
                ))
            }
        }
    }

    async fn delete_model(
        &self,
        request: Request<pb::DeleteModelRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.engine.registry.delete(caller.organization()?, &request.id).await?;
        Ok(Response::new(()))
    }
}
