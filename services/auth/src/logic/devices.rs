//! The device flow (RFC 8628).

use std::{net::IpAddr, time::Duration};

use lightning_mesh::clock::Timestamp;

use super::Auth;
use crate::{
    Error,
    audit::Outcome,
    domain::{
        SessionId, UserId,
        browser_sessions::BrowserSession,
        clients::Client,
        devices::{self, DeviceLogin, INTERVAL, LIFETIME, Poll, State},
        requests,
        sessions::Terms,
    },
    lockout::Axis,
    oidc::error::{OauthError, OauthResult},
    secrets,
};

/// The codes for a device. Has no `Debug`.
pub(crate) struct DeviceCodes {
    pub(crate) device_code: String,
    /// As people are shown it.
    pub(crate) user_code: String,
}

/// What a device gets its tokens from.
pub(crate) struct ApprovedDevice {
    pub(crate) user_id: UserId,
    pub(crate) scopes: Vec<String>,
    pub(crate) terms: Terms,
}

impl Auth {
    /// Gives a device its codes.
    pub(crate) async fn begin_device(
        &self,
        client: &Client,
        scopes: Vec<String>,
        resources: Vec<String>,
        jkt: Option<String>,
        address: Option<IpAddr>,
    ) -> Result<DeviceCodes, Error> {
        let now = self.clock.now();
        let (device_code, user_code) = (devices::device_code(), devices::user_code());
        let device = DeviceLogin {
            id: SessionId::generate(),
            device_hash: secrets::hash(&device_code),
            user_hash: devices::user_hash(&user_code),
            client_id: client.id.clone(),
            scopes,
            resources,
            jkt,
            address: address.map(|ip| ip.to_canonical().to_string()).unwrap_or_default(),
            interval: INTERVAL,
            polled_at: now.before(INTERVAL),
            created_at: now,
            expires_at: now + LIFETIME,
            state: State::Pending,
            browser_session_id: None,
            user_id: None,
            authentication: crate::domain::principals::Authentication::default(),
        };
        if !self.store.insert_device(&device).await? {
            return Err(Error::Overloaded { retry_after: Duration::from_mins(1) });
        }
        Ok(DeviceCodes { device_code, user_code: devices::shown(&user_code) })
    }

    /// The device whose code a person typed, which from now on only this browser session may decide
    /// about. None for every text that is not a code that waits.
    pub(crate) async fn device_of_user_code(
        &self,
        typed: &str,
        session: &BrowserSession,
        address: Option<IpAddr>,
    ) -> Result<Option<DeviceLogin>, Error> {
        let now = self.clock.now();
        let axes: Vec<_> = [Axis::DeviceCode(address), Axis::AnyDeviceCode]
            .into_iter()
            .chain(address.map(Axis::Address))
            .collect();
        let attempt = self.lockout.begin(&axes, now)?;
        let found = match devices::typed(typed) {
            Some(code) => self.store.device_by_user_code(&devices::user_hash(&code), now).await?,
            None => None,
        };
        match &found {
            Some(device) => self.store.device_typed(&device.id, &session.id).await?,
            None => attempt.failed(now),
        }
        Ok(found)
    }

    /// Keeps what the user decided about a device. False if it is too late, or the code was typed in
    /// another session.
    pub(crate) async fn decide_device(
        &self,
        id: &str,
        approve: bool,
        session: &BrowserSession,
    ) -> Result<bool, Error> {
        let Ok(id) = SessionId::parse(id) else { return Ok(false) };
        let Some(device) = self.store.device(&id).await? else { return Ok(false) };
        let state = if approve { State::Approved } else { State::Denied };
        let user = self.acting_user(&session.user_id).await?;
        let held = self.principal_of(&user).permissions;
        let scopes = requests::givable(&device.scopes, &held);
        let now = self.clock.now();
        let is_kept = self.store.decide_device(&id, state, &scopes, session, now).await?;
        if is_kept {
            let outcome = if approve { Outcome::Success } else { Outcome::Denied };
            let event = self.about(&session.user_id, &device.client_id, "device.approved", outcome);
            self.audit(&event.with("device_address", &device.address));
        }
        Ok(is_kept)
    }

    /// Hands an approved device over, once. Every other state is the error that RFC 8628 section 3.5
    /// names.
    pub(crate) async fn redeem_device_code(
        &self,
        client: &Client,
        device_code: &str,
        now: Timestamp,
    ) -> OauthResult<ApprovedDevice> {
        let unknown = || OauthError::invalid_grant("the device code is unknown or used");
        let hash = secrets::hash(device_code);
        let device = self.store.device_by_code(&hash).await?.ok_or_else(unknown)?;
        if device.client_id != client.id {
            return Err(unknown());
        }
        match device.poll(now) {
            Poll::Used => Err(unknown()),
            Poll::Denied => Err(OauthError {
                status: http::StatusCode::BAD_REQUEST,
                ..OauthError::new("access_denied", "the user said no")
            }),
            Poll::Expired => {
                Err(OauthError::new("expired_token", "nobody entered the code in time"))
            }
            Poll::TooSoon => {
                let longer = device.interval + INTERVAL;
                self.store.device_polled(&hash, now, longer).await?;
                let text = format!("wait {} seconds between two questions", longer.as_secs());
                Err(OauthError::new("slow_down", text))
            }
            Poll::Pending => {
                self.store.device_polled(&hash, now, device.interval).await?;
                Err(OauthError::new("authorization_pending", "the user has not decided yet"))
            }
            Poll::Approved => {
                if !self.store.use_device(&hash).await? {
                    return Err(unknown());
                }
                let user_id = device.user_id.ok_or_else(unknown)?;
                let terms = Terms {
                    browser_session_id: device.browser_session_id.map(|id| id.to_string()),
                    authentication: device.authentication,
                    audiences: device.resources,
                    jkt: device.jkt,
                    claims: None,
                    nonce: None,
                };
                Ok(ApprovedDevice { user_id, scopes: device.scopes, terms })
            }
        }
    }
}
