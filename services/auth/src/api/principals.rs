//! `PrincipalService`: stopping somebody everywhere.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, principal_service_server::PrincipalService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert::{directory as convert, page_of};

#[tonic::async_trait]
impl PrincipalService for Api {
    async fn stop_principal(
        &self,
        request: Request<pb::StopPrincipalRequest>,
    ) -> Result<Response<pb::StoppedPrincipal>, Status> {
        let (caller, request) = Caller::split(request)?;
        let stopped = self.auth.stop(&caller, &request.subject, &request.reason).await?;
        Ok(Response::new(convert::stopped(stopped)))
    }

    async fn start_principal(
        &self,
        request: Request<pb::StartPrincipalRequest>,
    ) -> Result<Response<pb::StartPrincipalResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.start(&caller, &request.subject).await?;
        Ok(Response::new(pb::StartPrincipalResponse {}))
    }

    async fn list_stopped_principals(
        &self,
        request: Request<pb::ListStoppedPrincipalsRequest>,
    ) -> Result<Response<pb::ListStoppedPrincipalsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let stopped = self.auth.stopped(&caller).await?;
        let stopped = stopped.into_iter().map(convert::stopped).collect();
        let (stopped_principals, next_page_token) =
            page_of(stopped, request.page_size, &request.page_token, |one| &one.subject)?;
        Ok(Response::new(pb::ListStoppedPrincipalsResponse { stopped_principals, next_page_token }))
    }
}
