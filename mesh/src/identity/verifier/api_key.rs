//! API keys: auth is asked about a key once, and again when anything changed since.

use std::{net::IpAddr, sync::Arc};

use http::request::Parts;
use ipnet::IpNet;
use lightning_proto::{
    auth::v1::{
        VerifyApiKeyRequest, VerifyApiKeyResponse, access_service_client::AccessServiceClient,
    },
    mesh::v1::ErrorReason,
};
use tonic::Code;

use super::{Known, Shown, Verifier, auth_unreachable, invalid_key, origin};
use crate::{
    clock::Timestamp,
    fault::Fault,
    identity::{Caller, access::Access},
};

/// A key that auth knows.
pub(super) struct ApiKey {
    caller: Caller,
    /// The revision of the access state under which it was verified.
    revision: i64,
    expires: Option<Timestamp>,
    /// From where it may be used; none means from anywhere.
    allowed: Option<Vec<IpNet>>,
}

impl Verifier {
    /// Asks auth whose key it is.
    pub(super) async fn learn_key(&self, name: [u8; 32], key: &str) -> Result<Arc<Known>, Fault> {
        let revision = self.state().await?.revision;
        let request = VerifyApiKeyRequest { key: key.to_owned() };
        let answer = AccessServiceClient::new(self.auth.clone()).verify_api_key(request).await;
        let answer =
            answer.map(tonic::Response::into_inner).map_err(|status| match status.code() {
                Code::Unauthenticated | Code::NotFound | Code::InvalidArgument => invalid_key(),
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => auth_unreachable().source(status),
            })?;
        let known = Arc::new(Known::Key(ApiKey::from_proto(answer, revision)));
        self.known.insert(name, known.clone());
        Ok(known)
    }

    /// Uses a key that is known, or learns it anew if anything changed.
    pub(super) async fn use_key(
        &self,
        name: [u8; 32],
        credential: &str,
        key: &ApiKey,
        shown: Shown<'_>,
        parts: &Parts,
    ) -> Result<Caller, Fault> {
        if shown.with_proof {
            return Err(invalid_key());
        }
        let access = self.state().await?;
        let address = origin::seen(parts);
        if key.revision == access.revision {
            return key.speaks_for(&access, self.clock.now(), address);
        }
        match &*self.learn_key(name, credential).await? {
            Known::Key(key) => key.speaks_for(&access, self.clock.now(), address),
            Known::Token(_) => Err(invalid_key()),
        }
    }
}

impl ApiKey {
    fn from_proto(answer: VerifyApiKeyResponse, revision: i64) -> Self {
        let subject = format!("api-key:{}", answer.api_key_id);
        let mut caller = Caller::new(subject, answer.name, answer.permissions);
        caller.roles = answer.roles;
        caller.organization_id = answer.organization_id;
        caller.groups = answer.groups;
        caller.reach = answer.reach;
        let owners = [answer.user_id, answer.owner_subject];
        caller.owner_id = owners.into_iter().find(|owner| !owner.is_empty());
        let allowed = answer.allowed_addresses;
        Self {
            caller,
            revision,
            expires: answer.expire_time.as_ref().and_then(Timestamp::from_proto),
            allowed: (!allowed.is_empty()).then(|| networks(&allowed)),
        }
    }

    fn speaks_for(
        &self,
        access: &Access,
        now: Timestamp,
        address: Option<IpAddr>,
    ) -> Result<Caller, Fault> {
        let expired = self.expires.is_some_and(|expires| now >= expires);
        if expired || access.stopped(&self.caller).is_some() {
            return Err(invalid_key());
        }
        let at_home = self.allowed.as_ref().is_none_or(|networks| {
            address.is_some_and(|address| networks.iter().any(|net| net.contains(&address)))
        });
        if !at_home {
            return Err(Fault::denied(ErrorReason::AddressNotAllowed)
                .message("the API key may not be used from this address")
                .with("subject", &self.caller.subject));
        }
        Ok(self.caller.clone())
    }
}

/// Addresses and networks. What cannot be read allows nothing.
fn networks(texts: &[String]) -> Vec<IpNet> {
    let parse = |text: &String| {
        let address = || text.parse::<IpAddr>().ok().map(|it| IpNet::from(it.to_canonical()));
        text.parse::<IpNet>().ok().or_else(address)
    };
    texts.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests;
