//! Writing and reading the audit trail, and taking what other services saw.

use lightning_mesh::identity::Caller;

use super::{Auth, organization_of};
use crate::{
    Error,
    audit::{Entry, Event, Link, Verdict},
    error::DirectoryError,
    store::audit::Query,
};

impl Auth {
    /// Notes an event, without waiting until it is kept.
    pub(crate) fn audit(&self, event: &Event) {
        self.audit.note(Entry::of(event, self.clock.now()));
    }

    /// Notes an event and waits until it is kept.
    pub(crate) async fn audited(&self, event: &Event) -> Result<(), Error> {
        self.audit.keep(vec![Entry::of(event, self.clock.now())]).await
    }

    /// A page of events, of the caller's organisation unless they may see all.
    pub(crate) async fn events(
        &self,
        caller: &Caller,
        query: Query,
        newest_first: bool,
        place: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Link>, Error> {
        let query = visible(caller, query)?;
        self.store.events(&query, newest_first, place, limit).await
    }

    /// Whether the chain is whole. It is that of the installation, so it is the operator's to check.
    pub(crate) async fn verify_events(
        &self,
        caller: &Caller,
        start: i64,
    ) -> Result<Verdict, Error> {
        if !caller.permits("organizations.read") {
            return Err(Error::Denied { permission: "organizations.read".to_owned() });
        }
        let verdict = self.store.verify_events(start).await?;
        if let Some(sequence) = verdict.broken {
            tracing::error!(sequence, "the audit trail is broken");
        }
        Ok(verdict)
    }

    /// Keeps what another service saw. `service` is who says so, by its own proof.
    pub(crate) async fn report(
        &self,
        caller: &Caller,
        entries: Vec<Entry>,
        dropped: u64,
    ) -> Result<(), Error> {
        let service = caller.via.clone().unwrap_or_default();
        if dropped > 0 {
            tracing::error!(service, dropped, "a service lost audit events");
            self.audit.lost(dropped);
        }
        let named = |entry: Entry| Entry { service: service.clone(), ..entry }.clean();
        self.audit.keep(entries.into_iter().map(named).collect()).await
    }
}

/// The query, narrowed to what the caller may see.
fn visible(caller: &Caller, query: Query) -> Result<Query, Error> {
    if caller.permits("organizations.read") {
        return Ok(query);
    }
    let own = organization_of(caller)?;
    match query.organization_id.as_deref() {
        Some(other) if other != own => {
            Err(Error::Directory(DirectoryError::OrganizationNotFound {
                id: super::directory::cut(other),
            }))
        }
        Some(_) | None => Ok(Query { organization_id: Some(own.to_owned()), ..query }),
    }
}
