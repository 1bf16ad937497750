//! Places for calls: so many per integration at a time, so that one slow system cannot take them all.
//!
//! An integration that nobody calls has no entry. Whoever finds no place waits a while and is then
//! refused, instead of waiting for as long as the other side likes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, domain::Address};

type Taken = Arc<Mutex<HashMap<Address, Arc<Semaphore>>>>;

/// The places of all integrations.
pub(crate) struct Slots {
    limit: usize,
    wait: Duration,
    taken: Taken,
}

/// A place; free again when dropped.
pub(crate) struct Place {
    id: Address,
    permit: Option<OwnedSemaphorePermit>,
    taken: Taken,
}

// === impl Slots ===

impl Slots {
    pub(crate) fn new(limit: usize, wait: Duration) -> Self {
        Self { limit, wait, taken: Arc::default() }
    }

    /// Takes a place, waiting for one if need be.
    pub(crate) async fn take(&self, id: &Address) -> Result<Place, Error> {
        let places = self
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.limit)))
            .clone();
        // From here on the entry is looked after, even if the wait is given up.
        let mut place = Place { id: id.clone(), permit: None, taken: self.taken.clone() };
        match tokio::time::timeout(self.wait, places.acquire_owned()).await {
            Ok(Ok(permit)) => place.permit = Some(permit),
            Ok(Err(_)) | Err(_) => return Err(Error::Busy { limit: self.limit }),
        }
        Ok(place)
    }

    /// How many calls are under way.
    pub(crate) fn busy(&self) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.values().map(|places| self.limit - places.available_permits()).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: nobody is calling and nobody waits.
        if taken.get(&self.id).is_some_and(|places| Arc::strong_count(places) == 1) {
            taken.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_integration_cannot_take_the_places_of_another() {
        let slots = Slots::new(1, Duration::from_secs(5));
        let address = |organization: &str| Address {
            organization_id: organization.to_owned(),
            id: crate::domain::IntegrationId::parse("a").unwrap(),
        };
        let (a, b) = (address("one"), address("other"));
        let first = slots.take(&a).await.unwrap();
        assert!(matches!(slots.take(&a).await, Err(Error::Busy { limit: 1 })));
        let other = slots.take(&b).await.unwrap();
        assert_eq!(slots.busy(), 2);
        drop(first);
        let again = slots.take(&a).await.unwrap();
        drop((again, other));
        assert!(slots.taken.lock().unwrap().is_empty(), "an unused entry stayed");
    }
}
