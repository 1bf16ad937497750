//! `AccessService`: what the gates of all services ask.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use lightning_mesh::{identity::Caller, serve::Peer};
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
        request: Request<pb::WatchAccessRequest>,
    ) -> Result<Response<Self::WatchAccessStream>, Status> {
        let (auth, shutdown) = (self.auth.clone(), self.shutdown.clone());
        let states = WatchStream::new(auth.access().watch()).map(move |snapshot| {
            let config = auth.config();
            Ok(convert::access_state(snapshot, &config.issuer, &config.resources))
        });
        // Watchers in this process go on checking callers while their services drain; others are let
        // go at once, because their streams would hold up the drain of this port, and ask again.
        let in_process = request.extensions().get::<Peer>().is_some_and(|peer| peer.in_process);
        let end = async move {
            shutdown.requested().await;
            if in_process {
                shutdown.quiet().await;
            }
        };
        Ok(Response::new(Box::pin(states.take_until(Box::pin(end)))))
    }
}
