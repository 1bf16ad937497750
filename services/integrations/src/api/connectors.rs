//! `ConnectorService`.

use std::sync::Arc;

use lightning_mesh::{fault::Fault, page::Page};
use lightning_proto::integrations::v1::{
    Connector, GetConnectorRequest, ListConnectorsRequest, ListConnectorsResponse,
    connector_service_server::ConnectorService,
};
use tonic::{Request, Response, Status};

use crate::{convert, hub::Hub};

/// Answers for the connectors.
pub(crate) struct ConnectorApi {
    pub(crate) hub: Arc<Hub>,
}

#[tonic::async_trait]
impl ConnectorService for ConnectorApi {
    async fn get_connector(
        &self,
        request: Request<GetConnectorRequest>,
    ) -> Result<Response<Connector>, Status> {
        let registered = self.hub.registry.get(&request.into_inner().id)?;
        Ok(Response::new(convert::connector(registered)))
    }

    async fn list_connectors(
        &self,
        request: Request<ListConnectorsRequest>,
    ) -> Result<Response<ListConnectorsResponse>, Status> {
        let request = request.into_inner();
        let page = Page::parse(request.page_size, &request.page_token, "", "", &["id"])
            .map_err(Fault::from)?;
        let after =
            page.after_key().and_then(|key| key.first()).map(String::as_str).unwrap_or_default();
        let all = self.hub.registry.all();
        let rest: Vec<_> =
            all.iter().filter(|known| known.descriptor.id.as_str() > after).collect();
        let shown = &rest[..rest.len().min(page.size())];
        let last = shown.last().map(|known| known.descriptor.id.as_str()).unwrap_or_default();
        Ok(Response::new(ListConnectorsResponse {
            connectors: shown.iter().map(|known| convert::connector(known)).collect(),
            next_page_token: page.next_key(rest.len() > shown.len(), &[last]),
        }))
    }
}
