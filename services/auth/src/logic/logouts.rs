//! Tells applications that a user signed out (OpenID Connect Back-Channel Logout).
//!
//! What has to be told is in the database before the user sees that they are signed out; it is tried at
//! once, again after growing waits, and given up after a day. Each attempt carries a token of its own, good
//! for two minutes. Only addresses that everybody may reach are called, as for everything that whoever
//! registers a client can choose.

use std::{sync::Arc, time::Duration};

use lightning_mesh::{shutdown::Shutdown, task};

use super::Auth;
use crate::{Error, signing::LogoutToken, store::Notice};

/// How often the queue is looked at when nothing happens: another instance may have put something in.
const EVERY: Duration = Duration::from_secs(5);
/// Within which time an attempt is certainly over.
const LEASE: Duration = Duration::from_secs(30);
/// After which time a notice is given up.
const GIVE_UP: Duration = Duration::from_hours(24);
/// The waits between attempts; the last one is repeated.
const WAITS: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];

impl Auth {
    /// Delivers notices until the shutdown.
    pub(crate) fn deliver_logouts(self: &Arc<Self>, shutdown: Shutdown) {
        let auth = self.clone();
        task::spawn("auth-logouts", async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = shutdown.requested() => return,
                    _ = ticks.tick() => {}
                    () = auth.logouts.notified() => {}
                }
                if let Err(error) = auth.deliver_due().await {
                    tracing::warn!(error = %error, "notices of logouts cannot be delivered");
                }
            }
        });
    }

    /// Delivers what is due.
    async fn deliver_due(&self) -> Result<(), Error> {
        loop {
            let notices = self.store.claim_notices(self.clock.now(), LEASE).await?;
            if notices.is_empty() {
                return Ok(());
            }
            let all = notices.iter().map(|notice| self.deliver(notice));
            for result in futures_util::future::join_all(all).await {
                result?;
            }
        }
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), Error> {
        let now = self.clock.now();
        let client = self.client(&notice.client_id).await?;
        let address = client.as_ref().and_then(|client| client.backchannel_logout_uri.clone());
        let (Some(client), Some(address)) = (client, address) else {
            return self.store.notice_done(&notice.id).await;
        };
        let token = LogoutToken {
            client_id: &client.id,
            algorithm: client.id_token_algorithm(),
            subject: Some(&notice.sub),
            browser_session_id: Some(&notice.sid),
        };
        let token = self.signing.logout_token(&token, now)?;
        let sent = self.clients.egress.post_form(&address, &[("logout_token", &token)]).await;
        let Err(error) = sent else {
            tracing::debug!(client_id = client.id, "an application knows of a logout");
            return self.store.notice_done(&notice.id).await;
        };
        if now.since(notice.created_at) >= GIVE_UP {
            tracing::warn!(client_id = client.id, error = %error, "an application was not told of a logout");
            return self.store.notice_done(&notice.id).await;
        }
        let tries = usize::try_from(notice.attempts.max(1) - 1).unwrap_or(usize::MAX);
        let wait = WAITS[tries.min(WAITS.len() - 1)];
        tracing::debug!(client_id = client.id, error = %error, "a logout is told later");
        self.store.put_off(&notice.id, now + wait).await
    }
}
