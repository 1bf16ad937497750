//! `AuthService`: logging in and out, tokens, and who one is.

use lightning_mesh::identity::Caller;
use lightning_proto::{
    auth::v1::{self as pb, auth_service_server::AuthService},
    google::api::HttpBody,
};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::{Api, cached, unkept};
use crate::{
    Error, convert, domain::clients::AUTHORIZATION_CODE, oidc::discovery, signing::Signing,
};

/// How long the metadata may be kept.
const PUBLIC: &str = "public, max-age=300";

#[tonic::async_trait]
impl AuthService for Api {
    async fn login(
        &self,
        request: Request<pb::LoginRequest>,
    ) -> Result<Response<pb::TokenResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let login = convert::login(request)?;
        let tokens =
            self.auth.login(&login.name, &login.password, &login.code, caller.address).await?;
        Ok(unkept(convert::tokens(tokens)))
    }

    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (draft, password) = convert::registration(request)?;
        let user = self.auth.register(&caller, draft, &password).await?;
        Ok(Response::new(convert::user(user)))
    }

    async fn logout(&self, request: Request<pb::LogoutRequest>) -> Result<Response<()>, Status> {
        let (caller, _) = Caller::split(request)?;
        self.auth.logout(&caller).await?;
        Ok(Response::new(()))
    }

    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let config = self.auth.config();
        let client = self.auth.client(&request.client_id).await?;
        let may_redirect = client.is_some_and(|client| {
            client.may(AUTHORIZATION_CODE) && client.may_redirect_to(&request.redirect_uri)
        });
        let demand = convert::demand(&request, may_redirect)?;
        let grant = self.auth.authorize(&caller, &demand).await?;
        Ok(unkept(pb::AuthorizeResponse {
            code: grant.code,
            state: request.state,
            iss: config.issuer.clone(),
            redirect_to: grant.redirect_to,
        }))
    }

    async fn issue_token(
        &self,
        request: Request<pb::IssueTokenRequest>,
    ) -> Result<Response<pb::TokenResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let (caller, request) = Caller::split(request)?;
        let form = convert::token_form(&request).map_err(Error::from)?;
        let issuer = &self.auth.config().issuer;
        let urls = [
            format!("{issuer}/api/v1/auth/token"),
            format!("{issuer}/lightning.auth.v1.AuthService/IssueToken"),
        ];
        let tokens = self.auth.issue(&headers, &form, caller.address, &urls).await;
        Ok(unkept(convert::tokens(tokens.map_err(Error::from)?)))
    }

    async fn get_user_info(
        &self,
        request: Request<pb::GetUserInfoRequest>,
    ) -> Result<Response<pb::UserInfo>, Status> {
        let (caller, _) = Caller::split(request)?;
        let profile = self.auth.profile(&caller).await?;
        Ok(unkept(convert::profile(profile)))
    }

    async fn check_permission(
        &self,
        request: Request<pb::CheckPermissionRequest>,
    ) -> Result<Response<pb::CheckPermissionResponse>, Status> {
        let (caller, request) = Caller::split(request)?;
        let (permission, user_id) = (&request.permission, &request.user_id);
        let explained = self.auth.explain_permission(&caller, permission, user_id).await?;
        let (allowed, reason) = (explained.allowed, explained.reason);
        let policies = explained.policies;
        Ok(Response::new(pb::CheckPermissionResponse { allowed, reason, policies }))
    }

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<HttpBody>, Status> {
        let (keys, max_age) = self.auth.published_keys();
        let etag = MetadataValue::try_from(Signing::etag(&keys)).expect("a hash is ASCII");
        let mut response = Response::new(body("application/jwk-set+json", keys));
        let cache = MetadataValue::try_from(format!("public, max-age={}", max_age.as_secs()));
        let cache = cache.expect("digits are ASCII");
        response.metadata_mut().insert("cache-control", cache);
        response.metadata_mut().insert("etag", etag);
        Ok(readable(response))
    }

    async fn get_server_metadata(
        &self,
        _: Request<pb::GetServerMetadataRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let metadata = discovery::metadata(&self.auth.config().issuer);
        Ok(readable(cached(body("application/json", metadata.to_string()), PUBLIC)))
    }
}

/// A public answer, which scripts of every origin may read.
fn readable<T>(mut response: Response<T>) -> Response<T> {
    let anybody = MetadataValue::from_static("*");
    response.metadata_mut().insert("access-control-allow-origin", anybody);
    response
}

fn body(content_type: &str, text: String) -> HttpBody {
    HttpBody {
        content_type: content_type.to_owned(),
        data: text.into_bytes().into(),
        ..HttpBody::default()
    }
}
