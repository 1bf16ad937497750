//! How many invocations run at once: as many as a deployment has replicas, and a bound over all.
//!
//! The count is this process's own. Several agents services on one database admit that many each,
//! which is what a replica means there: a place per process. What does not get a place is refused at
//! once and told to retry; queueing belongs to whoever calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Error,
    domain::{Deployment, DeploymentId},
    tally::Tally,
};

#[cfg(test)]
mod tests;

/// Gives out places.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    /// How many places are taken, by deployment. A deployment with none has no entry, so the map is
    /// bounded by `max`.
    taken: Mutex<Taken>,
    max: usize,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_deployment: HashMap<DeploymentId, i32>,
}

/// A place; dropping it gives it free.
pub(crate) struct Permit {
    admission: Admission,
    deployment: DeploymentId,
}

// === impl Admission ===

impl Admission {
    pub(crate) fn new(max: usize, tally: Arc<Tally>) -> Self {
        Self(Arc::new(Inner { taken: Mutex::default(), max, tally }))
    }

    /// A place at a deployment, if one is free.
    pub(crate) fn enter(&self, deployment: &Deployment) -> Result<Permit, Error> {
        {
            let mut taken = self.lock();
            if taken.all >= self.0.max {
                return Err(Error::Busy { limit: self.0.max });
            }
            let here = taken.by_deployment.get(&deployment.id).copied().unwrap_or_default();
            if here >= deployment.replicas {
                let (id, replicas) = (deployment.id.clone(), deployment.replicas);
                return Err(Error::ConcurrencyLimit { id, replicas });
            }
            taken.all += 1;
            taken.by_deployment.insert(deployment.id.clone(), here + 1);
        }
        self.0.tally.invocation_began();
        Ok(Permit { admission: self.clone(), deployment: deployment.id.clone() })
    }

    /// No code panics while it holds the lock, so a poisoned one still holds the truth.
    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.admission.lock();
        taken.all -= 1;
        if let Some(here) = taken.by_deployment.get_mut(&self.deployment) {
            *here -= 1;
            if *here == 0 {
                taken.by_deployment.remove(&self.deployment);
            }
        }
        drop(taken);
        self.admission.0.tally.invocation_ended();
    }
}
