//! `AccountService`.

use lightning_mesh::{config::Secret, identity::Caller};
use lightning_proto::auth::v1::{self as pb, account_service_server::AccountService};
use tonic::{Request, Response, Status};

use super::{Api, unkept};
use crate::convert;

#[tonic::async_trait]
impl AccountService for Api {
    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let (caller, _) = Caller::split(request)?;
        let user = self.auth.own_account(&caller).await?;
        Ok(Response::new(convert::user(user)))
    }

    async fn update_account(
        &self,
        request: Request<pb::UpdateAccountRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (change, etag) = convert::account_change(request)?;
        let user = self.auth.update_own_account(&caller, &change, &etag).await?;
        Ok(Response::new(convert::user(user)))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (current, new) =
            (Secret::new(request.current_password), Secret::new(request.new_password));
        let recent = self.auth.recent(&caller).await?;
        self.auth.change_password(&recent, &current, &new).await?;
        Ok(Response::new(()))
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.request_reset(&request.username, caller.address)?;
        Ok(Response::new(()))
    }

    async fn complete_password_reset(
        &self,
        request: Request<pb::CompletePasswordResetRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        let new = Secret::new(request.new_password);
        self.auth.complete_reset(&request.token, &new, caller.address).await?;
        Ok(Response::new(()))
    }

    async fn request_email_verification(
        &self,
        request: Request<pb::RequestEmailVerificationRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, _) = Caller::split(request)?;
        self.auth.request_proof(&caller).await?;
        Ok(Response::new(()))
    }

    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.prove_email(&request.token, caller.address).await?;
        Ok(Response::new(()))
    }

    async fn reset_user_password(
        &self,
        request: Request<pb::ResetUserPasswordRequest>,
    ) -> Result<Response<pb::ResetUserPasswordResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let link = self.auth.reset_user(&caller, &request.id).await?;
        Ok(unkept(pb::ResetUserPasswordResponse {
            token: link.token,
            url: link.url,
            expire_time: Some(link.expires_at.to_proto()),
        }))
    }
}
