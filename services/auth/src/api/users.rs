//! `UserService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, user_service_server::UserService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{self, List};

#[tonic::async_trait]
impl UserService for Api {
    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let (caller, request) = Caller::split(request)?;
        let user = self.auth.user_in(&caller, &request.id).await?;
        Ok(Response::new(convert::user(user)))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (caller, pb::ListUsersRequest { page_size, page_token, filter, order_by }) =
            Caller::split(request)?;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &["username", "email"])?;
        let (username, email) = (list.filter.get("username"), list.filter.get("email"));
        let mut users = self.auth.users(&caller, &list.slice(), username, email).await?;
        let next_page_token =
            list.cut(&mut users, |user| (user.created_at.as_micros(), user.id.to_string()));
        let users = users.into_iter().map(convert::user).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let (caller, request) = Caller::split(request)?;
        let update = convert::update(request)?;
        let user = self.auth.update_user(&caller, &update.id, &update.change, &update.etag).await?;
        Ok(Response::new(convert::user(user)))
    }
}
