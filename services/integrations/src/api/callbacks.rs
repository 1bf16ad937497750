//! `CallbackService`.

use lightning_proto::integrations::v1::{
    CheckCallbackRequest, CheckCallbackResponse, DeliverCallbackRequest, DeliverCallbackResponse,
    callback_service_server::CallbackService,
};
use tonic::{Request, Response, Status};

use crate::{callbacks::Callbacks, convert};

/// Answers for the callbacks.
pub(crate) struct CallbackApi {
    pub(crate) callbacks: Callbacks,
}

#[tonic::async_trait]
impl CallbackService for CallbackApi {
    async fn deliver_callback(
        &self,
        request: Request<DeliverCallbackRequest>,
    ) -> Result<Response<DeliverCallbackResponse>, Status> {
        let callback = convert::callback(request.into_inner());
        let status = self.callbacks.deliver(callback).await?;
        Ok(Response::new(DeliverCallbackResponse { http_status: status.into() }))
    }

    async fn check_callback(
        &self,
        request: Request<CheckCallbackRequest>,
    ) -> Result<Response<CheckCallbackResponse>, Status> {
        self.callbacks.check(&request.into_inner().url).await?;
        Ok(Response::new(CheckCallbackResponse {}))
    }
}
