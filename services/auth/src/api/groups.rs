//! `GroupService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, group_service_server::GroupService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{directory as convert, page_of};

#[tonic::async_trait]
impl GroupService for Api {
    async fn get_group(
        &self,
        request: Request<pb::GetGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        let (caller, request) = Caller::split(request)?;
        Ok(Response::new(convert::group(self.auth.group(&caller, &request.id)?)))
    }

    async fn list_groups(
        &self,
        request: Request<pb::ListGroupsRequest>,
    ) -> Result<Response<pb::ListGroupsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let groups = self.auth.groups(&caller)?.into_iter().map(convert::group).collect();
        let (groups, next_page_token) =
            page_of(groups, request.page_size, &request.page_token, |one| &one.id)?;
        Ok(Response::new(pb::ListGroupsResponse { groups, next_page_token }))
    }

    async fn create_group(
        &self,
        request: Request<pb::CreateGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        let (caller, request) = Caller::split(request)?;
        let group = self.auth.create_group(&caller, convert::group_draft(request)).await?;
        Ok(Response::new(convert::group(group)))
    }

    async fn update_group(
        &self,
        request: Request<pb::UpdateGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        let (caller, request) = Caller::split(request)?;
        let convert::Update { id, etag, change } = convert::group_update(request)?;
        let group = self.auth.update_group(&caller, &id, &change, &etag).await?;
        Ok(Response::new(convert::group(group)))
    }

    async fn delete_group(
        &self,
        request: Request<pb::DeleteGroupRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_group(&caller, &request.id).await?;
        Ok(Response::new(()))
    }

    async fn list_group_members(
        &self,
        request: Request<pb::ListGroupMembersRequest>,
    ) -> Result<Response<pb::ListGroupMembersResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let members = self.auth.group_members(&caller, &request.group_id)?;
        let (members, next_page_token) =
            page_of(members, request.page_size, &request.page_token, |one| one)?;
        Ok(Response::new(pb::ListGroupMembersResponse { members, next_page_token }))
    }

    async fn add_group_members(
        &self,
        request: Request<pb::AddGroupMembersRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        let (caller, request) = Caller::split(request)?;
        let group = self.auth.add_members(&caller, &request.group_id, request.members).await?;
        Ok(Response::new(convert::group(group)))
    }

    async fn remove_group_members(
        &self,
        request: Request<pb::RemoveGroupMembersRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        let (caller, request) = Caller::split(request)?;
        let group = self.auth.remove_members(&caller, &request.group_id, request.members).await?;
        Ok(Response::new(convert::group(group)))
    }
}
