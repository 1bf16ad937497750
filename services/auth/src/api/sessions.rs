//! `SessionService`.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, session_service_server::SessionService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{self, List};

#[tonic::async_trait]
impl SessionService for Api {
    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let pb::ListSessionsRequest { page_size, page_token, filter, order_by } = request;
        let list = List::parse(page_size, &page_token, &order_by, &filter, &["user_id"])?;
        let mut sessions =
            self.auth.sessions(&caller, &list.slice(), list.filter.get("user_id")).await?;
        let next_page_token = list
            .cut(&mut sessions, |session| (session.created_at.as_micros(), session.id.to_string()));
        let current = caller.session_id.as_deref();
        let sessions =
            sessions.into_iter().map(|session| convert::session(session, current)).collect();
        Ok(Response::new(pb::ListSessionsResponse { sessions, next_page_token }))
    }

    async fn delete_session(
        &self,
        request: Request<pb::DeleteSessionRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_session(&caller, &request.id).await?;
        Ok(Response::new(()))
    }
}
