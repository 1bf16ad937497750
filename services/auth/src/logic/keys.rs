//! The signing keys: reading them, making the next ones in time, deleting those that are over.
//!
//! The database has them, sealed, so that instances on one database need no folder in common but only
//! the same sealing key. One instance makes the next key (a counter in the database decides which), all
//! read it within the regular reading, and the lead is many times as long as that.

use std::{path::Path, sync::Arc, time::Duration};

use lightning_mesh::{
    clock::{Clock, Timestamp},
    identity::{Caller, DEFAULT_ORGANIZATION},
};

use super::Auth;
use crate::{
    Config, Error,
    audit::{Event, Outcome},
    domain::keys::{Algorithm, KeyState, KeyTimes, Schedule},
    secrets::Seal,
    signing::{KeyError, Material, Signing, files},
    store::{KeyRow, Store},
};

/// Clocks may differ by this much: so much longer than its tokens live does a key verify.
const MARGIN: Duration = Duration::from_mins(1);

/// A key as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct ShownKey {
    pub(crate) times: KeyTimes,
    pub(crate) state: KeyState,
    /// When it is for nothing any more, if that is known.
    pub(crate) ends_at: Option<Timestamp>,
}

/// Opens the keys, making the first ones at the first start.
pub(super) async fn open(
    config: &Config,
    store: &Store,
    clock: &Clock,
    data_dir: &Path,
) -> Result<(Arc<Signing>, Seal), Error> {
    let now = clock.now();
    let seal = files::open_seal(data_dir, config.sealing_key_file.as_deref())?;
    let schedule = Schedule {
        period: config.signing_key_period,
        lead: config.signing_key_lead,
        life: config.access_token_ttl + MARGIN,
    };
    let signing = Arc::new(Signing::new(&config.issuer, config.access_token_ttl, schedule));
    take_over(store, &seal, data_dir, now).await?;
    load(store, &seal, &signing).await?;
    for algorithm in Algorithm::ALL {
        make_if_due(store, &seal, &signing, algorithm, now).await?;
    }
    Ok((signing, seal))
}

/// Takes over the signing keys that earlier versions kept in files. They go on as they were if the
/// database has none yet; otherwise they only verify what they may have signed.
async fn take_over(
    store: &Store,
    seal: &Seal,
    data_dir: &Path,
    now: Timestamp,
) -> Result<(), Error> {
    let is_first = store.key_generation(Algorithm::Es256).await? == 0;
    for old in files::old_keys(data_dir)? {
        let malformed = || files::OldKey::malformed(old.path.clone());
        let material = Material::read(Algorithm::Es256, &old.der).ok_or_else(malformed)?;
        loop {
            let generation = store.key_generation(Algorithm::Es256).await?;
            let keys = store.signing_keys().await?;
            if keys.iter().any(|key| key.times.kid == material.kid) {
                break;
            }
            let mut active_at = Timestamp::from_micros(old.made).min(now);
            if !is_first {
                let of_kind = keys.iter().filter(|key| key.times.algorithm == Algorithm::Es256);
                let first = of_kind.map(|key| key.times.active_at).min().unwrap_or(now);
                active_at = active_at.min(first.before(Duration::from_micros(1)));
            }
            let (kid, algorithm) = (material.kid.clone(), Algorithm::Es256);
            let times = KeyTimes { kid, algorithm, created_at: now, active_at };
            let sealed = close(seal, &times, &old.der);
            if store.insert_signing_key(&KeyRow { times, sealed }, generation).await? {
                tracing::info!(
                    kid = material.kid,
                    "a signing key moved from its file to the database"
                );
                break;
            }
        }
        old.remove()?;
    }
    Ok(())
}

/// Reads the keys of the database into memory, opening those that are not there yet.
async fn load(store: &Store, seal: &Seal, signing: &Signing) -> Result<(), Error> {
    let mut keys = Vec::new();
    for row in store.signing_keys().await? {
        let known = signing.known(&row.times.kid);
        let key = match known {
            Some(key) => key,
            None => Arc::new(open_row(seal, &row)?),
        };
        keys.push((row.times, key));
    }
    signing.replace(keys);
    Ok(())
}

fn open_row(seal: &Seal, row: &KeyRow) -> Result<Material, KeyError> {
    let broken = || KeyError::Sealed { kid: row.times.kid.clone() };
    let der = seal.open(&about(&row.times), &row.sealed).map_err(|_| broken())?;
    let material = Material::read(row.times.algorithm, &der).ok_or_else(broken)?;
    (material.kid == row.times.kid).then_some(material).ok_or_else(broken)
}

fn close(seal: &Seal, times: &KeyTimes, der: &[u8]) -> Vec<u8> {
    seal.close(&about(times), der)
}

/// What a sealed key is bound to: nobody can pass one off as another by moving rows about.
fn about(times: &KeyTimes) -> String {
    format!("signing-key:{}:{}", times.algorithm.name(), times.kid)
}

/// Makes the next key if it is time, and reads the keys again if there is another one.
async fn make_if_due(
    store: &Store,
    seal: &Seal,
    signing: &Signing,
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<(), Error> {
    let due = |keys: &[KeyTimes]| signing.schedule().due(algorithm, keys, now);
    // Most of the time nothing is due, which needs no question to the database.
    if due(&signing.times()).is_some() {
        make(store, seal, signing, algorithm, now, due).await?;
    }
    Ok(())
}

/// Makes a key that signs from the time that `when` tells, unless another instance was faster. True if
/// it was made here.
async fn make(
    store: &Store,
    seal: &Seal,
    signing: &Signing,
    algorithm: Algorithm,
    now: Timestamp,
    when: impl Fn(&[KeyTimes]) -> Option<Timestamp>,
) -> Result<bool, Error> {
    let generation = store.key_generation(algorithm).await?;
    load(store, seal, signing).await?;
    let Some(active_at) = when(&signing.times()) else {
        return Ok(false);
    };
    let generated = tokio::task::spawn_blocking(move || {
        let der = Material::generate(algorithm)?;
        let kid = Material::read(algorithm, &der).ok_or(KeyError::Generate)?.kid;
        Ok::<_, KeyError>((kid, der))
    });
    let (kid, der) = generated.await.map_err(|_| KeyError::Generate)??;
    let times = KeyTimes { kid, algorithm, created_at: now, active_at };
    let sealed = close(seal, &times, &der);
    let kid = times.kid.clone();
    let made = store.insert_signing_key(&KeyRow { times, sealed }, generation).await?;
    load(store, seal, signing).await?;
    if made {
        tracing::info!(kid, algorithm = algorithm.name(), "signing key made");
    }
    Ok(made)
}

impl Auth {
    /// Reads the keys, makes those that are due and deletes those that are over.
    pub(super) async fn keep_keys(&self) -> Result<(), Error> {
        load(&self.store, &self.seal, &self.signing).await?;
        let now = self.clock.now();
        for algorithm in Algorithm::ALL {
            make_if_due(&self.store, &self.seal, &self.signing, algorithm, now).await?;
        }
        let over = self.signing.over(now);
        for kid in &over {
            self.store.delete_signing_key(kid).await?;
            tracing::info!(kid, "signing key deleted; all that it signed has expired");
        }
        if !over.is_empty() {
            load(&self.store, &self.seal, &self.signing).await?;
        }
        Ok(())
    }

    /// The public keys as a JWK Set, and how long others may keep them.
    pub(crate) fn published_keys(&self) -> (String, Duration) {
        (self.signing.jwks(self.clock.now()), self.signing.schedule().max_age())
    }

    /// The keys that are for something, the next ones first.
    pub(crate) fn signing_keys(&self, caller: &Caller) -> Result<Vec<ShownKey>, Error> {
        operator(caller, "keys.read")?;
        Ok(self.shown_keys())
    }

    fn shown_keys(&self) -> Vec<ShownKey> {
        let mut keys: Vec<_> = self
            .signing
            .states(self.clock.now())
            .into_iter()
            .map(|(times, state, ends_at)| ShownKey { times, state, ends_at })
            .collect();
        keys.sort_by(|a, b| {
            let order = |key: &ShownKey| (key.times.algorithm, key.times.active_at);
            order(a).0.cmp(&order(b).0).then(order(b).1.cmp(&order(a).1))
        });
        keys
    }

    /// Makes the next keys now: they sign after the lead. Does nothing for those that are on their way.
    pub(crate) async fn rotate_signing_keys(
        &self,
        caller: &Caller,
        algorithms: &[Algorithm],
    ) -> Result<Vec<ShownKey>, Error> {
        operator(caller, "keys.write")?;
        let now = self.clock.now();
        for &algorithm in algorithms {
            let asked = |keys: &[KeyTimes]| self.signing.schedule().asked(algorithm, keys, now);
            make(&self.store, &self.seal, &self.signing, algorithm, now, asked).await?;
            let event = Event::by(caller, "signing_keys.rotated", Outcome::Success);
            self.audit(&event.with("algorithm", algorithm.name()));
        }
        self.access.changed().await;
        Ok(self.shown_keys())
    }
}

/// Fails unless the caller belongs to the operator: keys are everybody's.
fn operator(caller: &Caller, permission: &str) -> Result<(), Error> {
    let is_operator =
        caller.organization_id.is_empty() || caller.organization_id == DEFAULT_ORGANIZATION;
    if is_operator { Ok(()) } else { Err(Error::Denied { permission: permission.to_owned() }) }
}

#[cfg(test)]
pub(super) mod tests;
