//! OpenAiService: the surface that OpenAI's SDKs speak.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use lightning_mesh::identity::Caller;
use lightning_proto::{
    google::api::HttpBody,
    models::v1::{self as pb, open_ai_service_server::OpenAiService},
};
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    error::Error,
    heavy,
    open_ai::{self, chat, completion, embeddings},
};

#[tonic::async_trait]
impl OpenAiService for Api {
    type CreateChatCompletionStream = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

    async fn list_open_ai_models(
        &self,
        request: Request<pb::ListOpenAiModelsRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let (caller, _) = Caller::split(request)?;
        let organization =
            caller.organization().map_err(|fault| open_ai::refuse(Error::from(fault)))?;
        let most = open_ai::MAX_MODELS;
        let models = self.engine.registry.list(organization, "", None, None, most).await;
        let models = models.map_err(open_ai::refuse)?;
        Ok(Response::new(open_ai::models(&models)))
    }

    async fn get_open_ai_model(
        &self,
        request: Request<pb::GetOpenAiModelRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let (caller, request) = Caller::split(request)?;
        let organization =
            caller.organization().map_err(|fault| open_ai::refuse(Error::from(fault)))?;
        if request.id.is_empty() {
            return Err(open_ai::refuse(Error::ModelNotFound { model: request.id }));
        }
        // A path of several segments keeps `%2F` as it is, which is how some SDKs write a slash;
        // ids hold no `%`.
        let id = request.id.replace("%2F", "/").replace("%2f", "/");
        let model = self.engine.registry.get(organization, &id).await.map_err(open_ai::refuse)?;
        Ok(Response::new(open_ai::model(&model)))
    }

    async fn create_chat_completion(
        &self,
        request: Request<pb::CreateChatCompletionRequest>,
    ) -> Result<Response<Self::CreateChatCompletionStream>, Status> {
        let (caller, request) = Caller::split(request)?;
        let body = open_ai::body(request.body);
        let asked = heavy::run(body.len() > heavy::SMALL, move || chat::read(&body)).await;
        let asked = asked.map_err(open_ai::refuse)?.map_err(open_ai::refuse)?;
        if !asked.stream {
            let inference =
                Box::pin(self.engine.infer(&caller, asked.ask)).await.map_err(open_ai::refuse)?;
            let body = Ok(completion::whole(inference));
            return Ok(Response::new(stream::iter([body]).boxed()));
        }
        let running = self.engine.stream(&caller, asked.ask).await.map_err(open_ai::refuse)?;
        Ok(Response::new(completion::chunks(running, asked.include_usage).map(Ok).boxed()))
    }

    async fn create_embeddings(
        &self,
        request: Request<pb::CreateEmbeddingsRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let (caller, request) = Caller::split(request)?;
        let asked = embeddings::read(&open_ai::body(request.body)).map_err(open_ai::refuse)?;
        let embedded = self
            .engine
            .embed(&caller, &asked.model, asked.request)
            .await
            .map_err(open_ai::refuse)?;
        Ok(Response::new(embeddings::list(embedded, asked.encoding)))
    }
}
