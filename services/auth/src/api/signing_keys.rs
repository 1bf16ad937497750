//! `SigningKeyService`: the keys that sign tokens.

use lightning_mesh::identity::Caller;
use lightning_proto::auth::v1::{self as pb, signing_key_service_server::SigningKeyService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert;

#[tonic::async_trait]
impl SigningKeyService for Api {
    async fn list_signing_keys(
        &self,
        request: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let keys = self.auth.signing_keys(&caller)?;
        let keys = keys.into_iter().map(convert::signing_key).collect();
        let (signing_keys, next_page_token) =
            convert::page_of(keys, request.page_size, &request.page_token, |one| &one.kid)?;
        Ok(Response::new(pb::ListSigningKeysResponse { signing_keys, next_page_token }))
    }

    async fn rotate_signing_keys(
        &self,
        request: Request<pb::RotateSigningKeysRequest>,
    ) -> Result<Response<pb::RotateSigningKeysResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let algorithms = convert::algorithms(&request.algorithm)?;
        let keys = self.auth.rotate_signing_keys(&caller, &algorithms).await?;
        let signing_keys = keys.into_iter().map(convert::signing_key).collect();
        Ok(Response::new(pb::RotateSigningKeysResponse { signing_keys }))
    }
}
