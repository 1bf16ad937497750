//! Organisations: making, changing and closing tenants.

use lightning_mesh::{etag, identity::Caller};

use super::{
    Auth,
    directory::{change_of, cut, is_operator},
};
use crate::{
    Error,
    domain::organizations::{Change, MAX_ORGANIZATIONS, Organization},
    error::DirectoryError,
    store::{Slice, changes},
};

impl Auth {
    /// An organisation: the caller's own, or with `organizations.read` any.
    pub(crate) fn organization(&self, caller: &Caller, id: &str) -> Result<Organization, Error> {
        let unknown = || Error::Directory(DirectoryError::OrganizationNotFound { id: cut(id) });
        if caller.organization_id != id && !caller.permits("organizations.read") {
            return Err(unknown());
        }
        self.access.directory().organization(id).cloned().ok_or_else(unknown)
    }

    /// A page of all organisations.
    pub(crate) fn organizations(&self, slice: &Slice, name: Option<&str>) -> Vec<Organization> {
        let directory = self.access.directory();
        let fits = |known: &&Organization| name.is_none_or(|name| known.name == name);
        slice.cut(directory.organizations().filter(fits).cloned().collect(), |known| {
            (known.created_at.as_micros(), known.id.clone())
        })
    }

    pub(crate) async fn create_organization(
        &self,
        caller: &Caller,
        id: String,
        name: &str,
    ) -> Result<Organization, Error> {
        let new = Organization::try_new(id, name, self.clock.now()).map_err(Error::field)?;
        self.change_directory(
            |directory| {
                if directory.organization(&new.id).is_some() {
                    return Err(Error::Directory(DirectoryError::OrganizationExists {
                        id: new.id.clone(),
                    }));
                }
                if directory.organizations().count() >= MAX_ORGANIZATIONS {
                    return Err(Error::TooMany { what: "organisations", limit: MAX_ORGANIZATIONS });
                }
                Ok((changes::insert_organization(&new), ()))
            },
            || Error::EtagMismatch,
        )
        .await?;
        let details = vec![("name", new.name.clone())];
        self.note(caller, "organization.created", ("organization", &new.id), details).await?;
        Ok(new)
    }

    /// Changes an organisation; disabling it ends all its sessions.
    pub(crate) async fn update_organization(
        &self,
        caller: &Caller,
        id: &str,
        change: &Change,
        etag: &str,
    ) -> Result<Organization, Error> {
        let now = self.clock.now();
        let (old, new) = self
            .change_directory(
                |directory| {
                    let old = directory.organization(id).ok_or_else(|| {
                        Error::Directory(DirectoryError::OrganizationNotFound { id: cut(id) })
                    })?;
                    if !etag::matches(etag, old.revision) {
                        return Err(Error::EtagMismatch);
                    }
                    let new = old.changed(change.clone(), now).map_err(Error::field)?;
                    Ok((changes::update_organization(&new, now), (old.clone(), new)))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let mut details = change_of(("name_before", &old.name), ("name_after", &new.name));
        let words = |disabled: bool| if disabled { "true" } else { "false" };
        details.extend(change_of(
            ("disabled_before", words(old.disabled)),
            ("disabled_after", words(new.disabled)),
        ));
        self.note(caller, "organization.updated", ("organization", id), details).await?;
        Ok(new)
    }

    /// Deletes an organisation that nobody is in.
    pub(crate) async fn delete_organization(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let in_use = |what: &str| {
            Error::Directory(DirectoryError::OrganizationInUse {
                id: cut(id),
                what: what.to_owned(),
            })
        };
        self.change_directory(
            |directory| {
                if directory.organization(id).is_none() {
                    return Err(Error::Directory(DirectoryError::OrganizationNotFound {
                        id: cut(id),
                    }));
                }
                if is_operator(id) {
                    return Err(in_use("is the operator's"));
                }
                if directory.accounts(id).next().is_some() {
                    return Err(in_use("has service accounts"));
                }
                Ok((changes::delete_organization(id), ()))
            },
            || in_use("has users"),
        )
        .await?;
        self.note(caller, "organization.deleted", ("organization", id), Vec::new()).await
    }
}
