//! `FactorService`.

use lightning_mesh::{identity::Caller, json};
use lightning_proto::auth::v1::{self as pb, factor_service_server::FactorService};
use serde_json::Value;
use tonic::{Request, Response, Status};

use super::{Api, unkept};
use crate::{
    convert,
    logic::{credentials::own_id, passkeys::Ceremony},
};

#[tonic::async_trait]
impl FactorService for Api {
    async fn list_factors(
        &self,
        request: Request<pb::ListFactorsRequest>,
    ) -> Result<Response<pb::ListFactorsResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (factors, left) = self.auth.factors(&own_id(&caller)?).await?;
        let factors = factors.iter().map(convert::factor).collect();
        let (factors, next_page_token) =
            convert::page_of(factors, request.page_size, &request.page_token, |one| &one.id)?;
        Ok(Response::new(pb::ListFactorsResponse {
            factors,
            next_page_token,
            recovery_codes_left: i32::try_from(left).unwrap_or(i32::MAX),
        }))
    }

    async fn enroll_totp(
        &self,
        request: Request<pb::EnrollTotpRequest>,
    ) -> Result<Response<pb::EnrollTotpResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let enrolment =
            self.auth.enroll_totp(&self.auth.recent(&caller).await?, &request.name).await?;
        Ok(unkept(pb::EnrollTotpResponse {
            factor: Some(convert::factor(&enrolment.factor)),
            secret: enrolment.secret,
            otpauth_uri: enrolment.address,
            qr_svg: enrolment.picture,
        }))
    }

    async fn confirm_factor(
        &self,
        request: Request<pb::ConfirmFactorRequest>,
    ) -> Result<Response<pb::RecoveryCodes>, Status> {
        let (caller, request) = Caller::split(request)?;
        let codes = self
            .auth
            .confirm_totp(&self.auth.recent(&caller).await?, &request.id, &request.code)
            .await?;
        Ok(unkept(pb::RecoveryCodes { codes }))
    }

    async fn delete_factor(
        &self,
        request: Request<pb::DeleteFactorRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = Caller::split(request)?;
        self.auth.delete_factor(&self.auth.recent(&caller).await?, &request.id).await?;
        Ok(Response::new(()))
    }

    async fn regenerate_recovery_codes(
        &self,
        request: Request<pb::RegenerateRecoveryCodesRequest>,
    ) -> Result<Response<pb::RecoveryCodes>, Status> {
        let (caller, _) = Caller::split(request)?;
        let codes = self.auth.renew_codes(&self.auth.recent(&caller).await?).await?;
        Ok(unkept(pb::RecoveryCodes { codes }))
    }

    async fn begin_passkey_registration(
        &self,
        request: Request<pb::BeginPasskeyRegistrationRequest>,
    ) -> Result<Response<pb::PasskeyCeremony>, Status> {
        let (caller, _) = Caller::split(request)?;
        Ok(unkept(ceremony(self.auth.begin_passkey(&self.auth.recent(&caller).await?).await?)))
    }

    async fn finish_passkey_registration(
        &self,
        request: Request<pb::FinishPasskeyRegistrationRequest>,
    ) -> Result<Response<pb::Factor>, Status> {
        let (caller, request) = Caller::split(request)?;
        let answer = Value::Object(json::from_struct(&request.credential.unwrap_or_default()));
        let factor = self
            .auth
            .finish_passkey(
                &self.auth.recent(&caller).await?,
                &request.ceremony_id,
                &request.name,
                answer,
            )
            .await?;
        Ok(Response::new(convert::factor(&factor)))
    }

    async fn begin_passkey_login(
        &self,
        request: Request<pb::BeginPasskeyLoginRequest>,
    ) -> Result<Response<pb::PasskeyCeremony>, Status> {
        Caller::split(request)?;
        Ok(unkept(ceremony(self.auth.begin_passkey_login().await?)))
    }

    async fn finish_passkey_login(
        &self,
        request: Request<pb::FinishPasskeyLoginRequest>,
    ) -> Result<Response<pb::TokenResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let answer = Value::Object(json::from_struct(&request.credential.unwrap_or_default()));
        let tokens =
            self.auth.login_with_passkey(&request.ceremony_id, answer, caller.address).await?;
        Ok(unkept(convert::tokens(tokens)))
    }
}

fn ceremony(ceremony: Ceremony) -> pb::PasskeyCeremony {
    pb::PasskeyCeremony {
        ceremony_id: ceremony.id,
        options: Some(json::to_struct(ceremony.options)),
    }
}
