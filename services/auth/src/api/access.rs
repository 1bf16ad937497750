//! `AccessService`: what the gates of all services ask.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, access_service_server::AccessService};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert;

#[tonic::async_trait]
impl AccessService for Api {
    type WatchAccessStream = Pin<Box<dyn Stream<Item = Result<pb::AccessState, Status>> + Send>>;

    async fn verify_api_key(
        &self,
        request: Request<pb::VerifyApiKeyRequest>,
    ) -> Result<Response<pb::VerifyApiKeyResponse>, Status> {
        let (_, request) = Caller::split(request)?;
        let verified = self.auth.verify_api_key(&request.key).await?;
        Ok(Response::new(convert::verified(verified)))
    }

    async fn watch_access(
        &self,
        _: Request<pb::WatchAccessRequest>,
    ) -> Result<Response<Self::WatchAccessStream>, Status> {
        let (auth, shutdown) = (self.auth.clone(), self.shutdown.clone());
        let states = WatchStream::new(auth.access().watch()).map(move |snapshot| {
            Ok(convert::access_state(snapshot, &auth.config().issuer, auth.jwks()))
        });
        // The watchers in this process must go on checking callers while their services drain.
        let end = async move {
            shutdown.requested().await;
            shutdown.quiet().await;
        };
        Ok(Response::new(Box::pin(states.take_until(Box::pin(end)))))
    }
}
