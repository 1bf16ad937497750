//! `IntegrationService`.

use std::sync::Arc;

use lightning_mesh::idempotency::Key;
use lightning_mesh::identity::Caller;
use lightning_proto::integrations::v1::{
    CreateIntegrationRequest, DeleteIntegrationRequest, ExecuteActionRequest,
    ExecuteActionResponse, GetIntegrationRequest, Integration, ListIntegrationsRequest,
    ListIntegrationsResponse, TestIntegrationRequest, TestIntegrationResponse,
    UpdateIntegrationRequest, integration_service_server::IntegrationService,
};
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::{
    Error, convert,
    hub::{Hub, Made},
};

const FILTERS: [&str; 2] = ["connector_type", "name"];

/// Answers for the integrations.
pub(crate) struct IntegrationApi {
    pub(crate) hub: Arc<Hub>,
    /// The largest answer to an action, in bytes.
    pub(crate) max_result_bytes: usize,
}

#[tonic::async_trait]
impl IntegrationService for IntegrationApi {
    async fn get_integration(
        &self,
        request: Request<GetIntegrationRequest>,
    ) -> Result<Response<Integration>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::integration_id(&request.id)?;
        let integration = self.hub.get(&caller, &id).await?;
        Ok(Response::new(convert::integration(&integration)))
    }

    async fn list_integrations(
        &self,
        request: Request<ListIntegrationsRequest>,
    ) -> Result<Response<ListIntegrationsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let ListIntegrationsRequest { page_size, page_token, filter, order_by } = request;
        let (page, filter) = convert::page(page_size, &page_token, &order_by, &filter, FILTERS)?;
        let listing = convert::listing(caller.organization()?, &page, &filter, FILTERS);
        let mut found = self.hub.list(&listing).await?;
        let more = found.len() > page.size();
        found.truncate(page.size());
        let last = found.last().map(|last| (last.created_at.as_micros(), last.id.as_str()));
        Ok(Response::new(ListIntegrationsResponse {
            next_page_token: page.next(more, last),
            integrations: found.iter().map(convert::integration).collect(),
        }))
    }

    async fn create_integration(
        &self,
        request: Request<CreateIntegrationRequest>,
    ) -> Result<Response<Integration>, Status> {
        let (caller, mut request) = Caller::split(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let repeat = Key::of(&caller, "CreateIntegration", request_id, &request)?;
        let draft = convert::draft(request)?;
        let encode = |made: &_| convert::integration(made).encode_to_vec();
        let integration = match self.hub.create(&caller, draft, repeat, encode).await? {
            Made::New(integration) => convert::integration(&integration),
            Made::Before(reply) => kept(&reply)?,
        };
        Ok(Response::new(integration))
    }

    async fn update_integration(
        &self,
        request: Request<UpdateIntegrationRequest>,
    ) -> Result<Response<Integration>, Status> {
        let (caller, request) = Caller::split(request)?;
        let change = convert::change(request)?;
        let integration = self.hub.update(&caller, change).await?;
        Ok(Response::new(convert::integration(&integration)))
    }

    async fn delete_integration(
        &self,
        request: Request<DeleteIntegrationRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::integration_id(&request.id)?;
        self.hub.delete(&caller, &id, &request.etag).await?;
        Ok(Response::new(()))
    }

    async fn test_integration(
        &self,
        request: Request<TestIntegrationRequest>,
    ) -> Result<Response<TestIntegrationResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::integration_id(&request.id)?;
        let tested = self.hub.test(&caller, &id).await?;
        Ok(Response::new(convert::tested(tested)))
    }

    async fn execute_action(
        &self,
        request: Request<ExecuteActionRequest>,
    ) -> Result<Response<ExecuteActionResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let payload = convert::payload(&request)?;
        let id = convert::integration_id(&request.integration_id)?;
        let (action, key) = (&request.action, &request.idempotency_key);
        let ran = self.hub.execute(&caller, &id, action, payload, key).await?;
        Ok(Response::new(convert::ran(request, ran, self.max_result_bytes)?))
    }
}

/// The answer that was given when the same was asked for the first time.
pub(super) fn kept<M: prost::Message + Default>(reply: &[u8]) -> Result<M, Error> {
    M::decode(reply).map_err(|error| Error::Damaged("answer", Arc::new(error)))
}
