//! Changing the directory, and what holds for every change of it.

use lightning_mesh::identity::{Caller, DEFAULT_ORGANIZATION};
use lightning_store::Batch;

use super::{Auth, must_hold, organization_of};
use crate::{
    Error,
    audit::{Event, Outcome},
    contract,
    domain::{
        Violation,
        directory::{Directory, Nesting},
        roles::MAX_DEPTH,
        users::User,
    },
    store::Wrote,
};

/// How often a change is checked again when others change the directory, before it is given up.
const ATTEMPTS: usize = 8;

impl Auth {
    /// Writes what `plan` makes of the directory, planning anew if it moves meanwhile. `refused` is the
    /// error if a condition of the change does not hold in the database.
    pub(super) async fn change_directory<T>(
        &self,
        plan: impl Fn(&Directory) -> Result<(Batch, T), Error>,
        refused: impl Fn() -> Error,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS {
            let directory = self.access.directory();
            let (batch, value) = plan(&directory)?;
            match self.store.write_directory(directory.number, batch).await? {
                Wrote::Yes => {
                    self.access.changed().await;
                    return Ok(value);
                }
                Wrote::Moved => self.access.refresh().await?,
                Wrote::Refused => return Err(refused()),
            }
        }
        Err(Error::EtagMismatch)
    }

    /// A user of the caller's organisation; another's is as unknown as none.
    pub(crate) async fn user_in(&self, caller: &Caller, id: &str) -> Result<User, Error> {
        let organization = organization_of(caller)?;
        let user = self.user(id).await?;
        if user.organization_id == organization {
            return Ok(user);
        }
        Err(Error::UserNotFound { id: cut(id) })
    }

    /// Fails unless these are roles and the caller holds all that they give.
    pub(super) fn may_give_roles(
        &self,
        caller: &Caller,
        directory: &Directory,
        organization: &str,
        roles: &[String],
    ) -> Result<(), Error> {
        if let Some(role) = directory.unknown_role(organization, roles) {
            return Err(Error::RoleUnknown { role: cut(role) });
        }
        must_hold(caller, &directory.permissions_of(organization, roles, contract::permissions()))
    }

    /// Notes what an administrator did, and waits until it is kept.
    pub(super) async fn note(
        &self,
        caller: &Caller,
        action: &'static str,
        resource: (&'static str, &str),
        details: Vec<(&'static str, String)>,
    ) -> Result<(), Error> {
        let event = Event::by(caller, action, Outcome::Success).on(resource.0, resource.1);
        self.audited(&Event { details, ..event }).await
    }
}

/// What changed of a field, for the audit trail; nothing if nothing did.
pub(super) fn change_of(
    before: (&'static str, &str),
    after: (&'static str, &str),
) -> Vec<(&'static str, String)> {
    if before.1 == after.1 {
        return Vec::new();
    }
    vec![(before.0, before.1.to_owned()), (after.0, after.1.to_owned())]
}

/// The same for a list.
pub(super) fn change_of_list(
    names: (&'static str, &'static str),
    before: &[String],
    after: &[String],
) -> Vec<(&'static str, String)> {
    change_of((names.0, &before.join(" ")), (names.1, &after.join(" ")))
}

/// Why something cannot be nested so, as what is wrong with a field.
pub(super) fn nesting(field: &'static str, nesting: Nesting) -> Error {
    let text = match nesting {
        Nesting::Cycle(way) => {
            let way: Vec<String> = way.into_iter().take(20).collect();
            format!("would make a circle: {}", way.join(" > "))
        }
        Nesting::TooDeep => format!("would nest more than {MAX_DEPTH} levels deep"),
    };
    invalid(field, text)
}

/// One wrong field.
pub(super) fn invalid(field: &'static str, text: impl Into<String>) -> Error {
    Error::FieldInvalid(vec![Violation { field, text: text.into() }])
}

/// Whether it is the organisation that runs the mesh.
pub(super) fn is_operator(organization: &str) -> bool {
    organization == DEFAULT_ORGANIZATION
}

/// A text that a caller sent, short enough for an error.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}
