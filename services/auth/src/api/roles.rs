//! `RoleService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, role_service_server::RoleService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{directory as convert, page_of};

#[tonic::async_trait]
impl RoleService for Api {
    async fn get_role(
        &self,
        request: Request<pb::GetRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        let (caller, request) = Caller::split(request)?;
        Ok(Response::new(convert::role(self.auth.role(&caller, &request.name)?)))
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let roles = self.auth.roles(&caller)?.into_iter().map(convert::role).collect();
        let (roles, next_page_token) =
            page_of(roles, request.page_size, &request.page_token, |one| &one.id)?;
        Ok(Response::new(pb::ListRolesResponse { roles, next_page_token }))
    }

    async fn create_role(
        &self,
        request: Request<pb::CreateRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (name, values) = convert::role_draft(request);
        let role = self.auth.create_role(&caller, name, values).await?;
        Ok(Response::new(convert::role(role)))
    }

    async fn update_role(
        &self,
        request: Request<pb::UpdateRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        let (caller, request) = Caller::split(request)?;
        let convert::Update { id, etag, change } = convert::role_update(request)?;
        let role = self.auth.update_role(&caller, &id, &change, &etag).await?;
        Ok(Response::new(convert::role(role)))
    }

    async fn delete_role(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_role(&caller, &request.name).await?;
        Ok(Response::new(()))
    }

    async fn list_user_permissions(
        &self,
        request: Request<pb::ListUserPermissionsRequest>,
    ) -> Result<Response<pb::ListUserPermissionsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let rights = self.auth.rights(&caller, &request.user_id).await?;
        let mut answer = convert::rights(rights);
        let whole = std::mem::take(&mut answer.permissions);
        (answer.permissions, answer.next_page_token) =
            page_of(whole, request.page_size, &request.page_token, |one| &one.permission)?;
        Ok(Response::new(answer))
    }
}
