//! New certificates without a restart: the files are looked at again and again.
//!
//! Contents are compared, not times: files that are mounted from elsewhere change under a symbolic link.
//! The three files of a service cannot be replaced at one stroke, so a look may find a new certificate
//! with an old key; then what was there before stays, and the next look finds the rest. Connections that
//! exist live on; those to whom a certificate that ends belongs are drained by the server then.

use std::{
    error::Error as _,
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    Tls,
    figures::Outcome,
    material::{Material, MaterialError},
};
use crate::{clock::Timestamp, shutdown::Shutdown, task};

/// The least time between two looks, however many handshakes fail.
const PAUSE: Duration = Duration::from_millis(200);
/// The shortest interval between looks that can be configured.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often a certificate that ends soon is warned about.
const WARN_EVERY: Duration = Duration::from_secs(3_600);

/// What the loop remembers.
#[derive(Default)]
struct Memory {
    /// What was wrong at the last look, so that it is told once.
    complaint: Option<String>,
    /// When the coming end was warned about, and which end it was.
    warned: Option<(Timestamp, Timestamp)>,
}

impl Tls {
    /// Looks at the files until the shutdown.
    pub(crate) fn watch(&self, shutdown: Shutdown) {
        let tls = self.clone();
        task::spawn("tls-files", async move {
            let mut memory = Memory::default();
            let interval = tls.0.config.reload_interval.max(SHORTEST);
            loop {
                tls.warn_of_the_end(&mut memory);
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(interval) => {}
                    () = tls.0.look.notified() => tokio::time::sleep(PAUSE.min(interval)).await,
                }
                tls.look(&mut memory).await;
            }
        });
    }

    async fn look(&self, memory: &mut Memory) {
        let tls = self.clone();
        let looked = tokio::task::spawn_blocking(move || tls.read_if_changed()).await;
        let Ok(looked) = looked else {
            return; // the runtime is ending
        };
        match looked {
            Ok(None) => memory.complaint = None,
            Ok(Some(material)) => {
                memory.complaint = None;
                self.use_from_now_on(material);
            }
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                let complaint = format!("{error}{cause}");
                if memory.complaint.as_ref() != Some(&complaint) {
                    self.0.figures.reload(Outcome::Failed);
                    tracing::warn!(
                        service = self.0.service,
                        error = complaint,
                        "new certificate files cannot be used; the old ones stay in use"
                    );
                    memory.complaint = Some(complaint);
                }
            }
        }
    }

    fn read_if_changed(&self) -> Result<Option<Material>, MaterialError> {
        let contents = self.0.files.read()?;
        if contents.fingerprint() == self.current().fingerprint {
            return Ok(None);
        }
        contents.build(&self.0.files, &self.0.clock).map(Some)
    }

    fn use_from_now_on(&self, material: Material) {
        let not_after = material.not_after;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
        self.0.figures.ends(not_after);
        self.0.figures.reload(Outcome::Ok);
        tracing::info!(
            service = self.0.service,
            not_after = %not_after,
            "new certificate files are in use"
        );
    }

    fn warn_of_the_end(&self, memory: &mut Memory) {
        let (now, end) = (self.0.clock.now(), self.current().not_after);
        let fresh = memory.warned.is_none_or(|(at, of)| of != end || now.since(at) >= WARN_EVERY);
        if !fresh || end.since(now) >= self.0.config.expiry_warning {
            return;
        }
        memory.warned = Some((now, end));
        let service = &self.0.service;
        match now >= end {
            true => tracing::error!(
                service,
                not_after = %end,
                "the certificate has expired: peers refuse this service; renew it with `lightning ca renew`"
            ),
            false => tracing::warn!(
                service,
                not_after = %end,
                "the certificate expires soon; renew it with `lightning ca renew`"
            ),
        }
    }
}
