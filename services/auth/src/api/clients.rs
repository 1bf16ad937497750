//! `ClientService`.

use std::time::Duration;

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, client_service_server::ClientService};
use tonic::{Request, Response, Status};

use super::{Api, unkept};
use crate::convert::{self, List};

#[tonic::async_trait]
impl ClientService for Api {
    async fn get_client(
        &self,
        request: Request<pb::GetClientRequest>,
    ) -> Result<Response<pb::Client>, Status> {
        let (caller, request) = Caller::split(request)?;
        let client = self.auth.client_of(&caller, &request.id).await?;
        Ok(Response::new(convert::clients::client(&client, None, self.clock.now())))
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let pb::ListClientsRequest { page_size, page_token, filter, order_by } = request;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &["name"])?;
        let mut clients =
            self.auth.clients(&caller, &list.slice(), list.filter.get("name")).await?;
        let next_page_token =
            list.cut(&mut clients, |client| (client.created_at.as_micros(), client.id.clone()));
        let now = self.clock.now();
        let clients =
            clients.iter().map(|client| convert::clients::client(client, None, now)).collect();
        Ok(Response::new(pb::ListClientsResponse { clients, next_page_token }))
    }

    async fn create_client(
        &self,
        request: Request<pb::CreateClientRequest>,
    ) -> Result<Response<pb::Client>, Status> {
        let (caller, request) = Caller::split(request)?;
        let metadata = convert::clients::metadata(request.client.unwrap_or_default())?;
        let made = self.auth.create_client(&caller, metadata).await?;
        Ok(unkept(convert::clients::client(&made.client, made.secret, self.clock.now())))
    }

    async fn update_client(
        &self,
        request: Request<pb::UpdateClientRequest>,
    ) -> Result<Response<pb::Client>, Status> {
        let (caller, request) = Caller::split(request)?;
        let update = convert::clients::update(request)?;
        let (id, etag) = (update.id.clone(), update.etag.clone());
        let changed = self
            .auth
            .update_client(&caller, &id, &etag, |metadata, disabled| {
                update.onto(metadata, disabled)
            })
            .await?;
        Ok(Response::new(convert::clients::client(&changed, None, self.clock.now())))
    }

    async fn delete_client(
        &self,
        request: Request<pb::DeleteClientRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_client(&caller, &request.id).await?;
        Ok(Response::new(()))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<pb::RotateClientSecretRequest>,
    ) -> Result<Response<pb::Client>, Status> {
        let (caller, request) = Caller::split(request)?;
        let grace = convert::clients::grace(request.grace_period.map(Duration::try_from))?;
        let made = self.auth.rotate_client_secret(&caller, &request.id, grace).await?;
        Ok(unkept(convert::clients::client(&made.client, made.secret, self.clock.now())))
    }
}
