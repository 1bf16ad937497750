//! `ServiceAccountService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{
    self as pb, service_account_service_server::ServiceAccountService,
};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{List, directory as convert};

#[tonic::async_trait]
impl ServiceAccountService for Api {
    async fn get_service_account(
        &self,
        request: Request<pb::GetServiceAccountRequest>,
    ) -> Result<Response<pb::ServiceAccount>, Status> {
        let (caller, request) = Caller::split(request)?;
        Ok(Response::new(convert::account(self.auth.account(&caller, &request.id)?)))
    }

    async fn list_service_accounts(
        &self,
        request: Request<pb::ListServiceAccountsRequest>,
    ) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let pb::ListServiceAccountsRequest { page_size, page_token, filter, order_by } = request;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &["name", "agent_id"])?;
        let (name, agent) = (list.filter.get("name"), list.filter.get("agent_id"));
        let mut all = self.auth.accounts(&caller, &list.slice(), name, agent)?;
        let next_page_token =
            list.cut(&mut all, |known| (known.created_at.as_micros(), known.id.to_string()));
        let service_accounts = all.into_iter().map(convert::account).collect();
        Ok(Response::new(pb::ListServiceAccountsResponse { service_accounts, next_page_token }))
    }

    async fn create_service_account(
        &self,
        request: Request<pb::CreateServiceAccountRequest>,
    ) -> Result<Response<pb::ServiceAccount>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (name, agent, values) = convert::account_draft(request);
        let account = self.auth.create_account(&caller, name, agent, values).await?;
        Ok(Response::new(convert::account(account)))
    }

    async fn update_service_account(
        &self,
        request: Request<pb::UpdateServiceAccountRequest>,
    ) -> Result<Response<pb::ServiceAccount>, Status> {
        let (caller, request) = Caller::split(request)?;
        let convert::Update { id, etag, change } = convert::account_update(request)?;
        let account = self.auth.update_account(&caller, &id, &change, &etag).await?;
        Ok(Response::new(convert::account(account)))
    }

    async fn delete_service_account(
        &self,
        request: Request<pb::DeleteServiceAccountRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_account(&caller, &request.id).await?;
        Ok(Response::new(()))
    }
}
