//! Groups: making, changing and deleting them, and who is in them.

use lightning_mesh::{etag, identity::Caller};

use super::{
    Auth,
    directory::{change_of, change_of_list, cut, invalid, nesting},
    must_hold, organization_of,
};
use crate::{
    Error, contract,
    domain::{
        directory::Directory,
        groups::{Change, GROUP, Group, MAX_AT_ONCE, MAX_GROUPS, MAX_MEMBERS},
        sorted,
    },
    error::DirectoryError,
    store::changes,
};

/// A group with the number of its members.
pub(crate) type Counted = (Group, usize);

impl Auth {
    pub(crate) fn group(&self, caller: &Caller, id: &str) -> Result<Counted, Error> {
        let directory = self.access.directory();
        let group = known(&directory, organization_of(caller)?, id)?;
        Ok((group.clone(), directory.members(id).count()))
    }

    /// All groups of the organisation, by name.
    pub(crate) fn groups(&self, caller: &Caller) -> Result<Vec<Counted>, Error> {
        let directory = self.access.directory();
        let groups = directory.groups(organization_of(caller)?);
        let counted = |group: &Group| (group.clone(), directory.members(group.id.as_str()).count());
        Ok(groups.into_iter().map(counted).collect())
    }

    /// Who is directly in a group.
    pub(crate) fn group_members(&self, caller: &Caller, id: &str) -> Result<Vec<String>, Error> {
        let directory = self.access.directory();
        known(&directory, organization_of(caller)?, id)?;
        Ok(directory.members(id).cloned().collect())
    }

    pub(crate) async fn create_group(
        &self,
        caller: &Caller,
        values: Change,
    ) -> Result<Counted, Error> {
        let organization = organization_of(caller)?;
        let new = Group::try_new(organization.to_owned(), values, self.clock.now())
            .map_err(Error::field)?;
        self.change_directory(
            |directory| {
                let others = directory.groups(organization);
                if others.iter().any(|group| group.name == new.name) {
                    return Err(Error::Directory(DirectoryError::GroupExists {
                        name: new.name.clone(),
                    }));
                }
                if others.len() >= MAX_GROUPS {
                    return Err(Error::TooMany { what: "groups", limit: MAX_GROUPS });
                }
                self.may_give_roles(caller, directory, organization, &new.roles)?;
                Ok((changes::insert_group(&new), ()))
            },
            || Error::EtagMismatch,
        )
        .await?;
        let details = vec![("name", new.name.clone()), ("roles_after", new.roles.join(" "))];
        self.note(caller, "group.created", ("group", new.id.as_str()), details).await?;
        Ok((new, 0))
    }

    pub(crate) async fn update_group(
        &self,
        caller: &Caller,
        id: &str,
        change: &Change,
        etag: &str,
    ) -> Result<Counted, Error> {
        let organization = organization_of(caller)?;
        let now = self.clock.now();
        let (old, new) = self
            .change_directory(
                |directory| {
                    let old = known(directory, organization, id)?;
                    if !etag::matches(etag, old.revision) {
                        return Err(Error::EtagMismatch);
                    }
                    let new = old.changed(change.clone(), now).map_err(Error::field)?;
                    let others = directory.groups(organization);
                    if others.iter().any(|group| group.name == new.name && group.id != new.id) {
                        return Err(Error::Directory(DirectoryError::GroupExists {
                            name: new.name,
                        }));
                    }
                    may_change(caller, directory, old)?;
                    self.may_give_roles(caller, directory, organization, &new.roles)?;
                    Ok((changes::update_group(&new), (old.clone(), new)))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let mut details = change_of(("name_before", &old.name), ("name_after", &new.name));
        details.extend(change_of_list(("roles_before", "roles_after"), &old.roles, &new.roles));
        self.note(caller, "group.updated", ("group", id), details).await?;
        let count = self.access.directory().members(id).count();
        Ok((new, count))
    }

    pub(crate) async fn delete_group(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let organization = organization_of(caller)?;
        let name = self
            .change_directory(
                |directory| {
                    let group = known(directory, organization, id)?;
                    may_change(caller, directory, group)?;
                    Ok((changes::delete_group(group), group.name.clone()))
                },
                || Error::EtagMismatch,
            )
            .await?;
        self.note(caller, "group.deleted", ("group", id), vec![("name", name)]).await
    }

    pub(crate) async fn add_members(
        &self,
        caller: &Caller,
        id: &str,
        members: Vec<String>,
    ) -> Result<Counted, Error> {
        let organization = organization_of(caller)?;
        let members = checked(members)?;
        for member in &members {
            if let Some(user) = member.strip_prefix("user:") {
                self.user_in(caller, user).await.map_err(|error| {
                    let is_unknown = matches!(error, Error::UserNotFound { .. });
                    if is_unknown { unknown(member) } else { error }
                })?;
            }
        }
        let now = self.clock.now();
        let group = self
            .change_directory(
                |directory| {
                    let group = known(directory, organization, id)?;
                    for member in &members {
                        exists(directory, organization, member)?;
                    }
                    directory
                        .check_members(group, &members)
                        .map_err(|why| nesting("members", why))?;
                    may_change(caller, directory, group)?;
                    let new =
                        members.iter().filter(|one| !directory.members(id).any(|it| it == *one));
                    if directory.members(id).count() + new.count() > MAX_MEMBERS {
                        return Err(Error::TooMany {
                            what: "members of a group",
                            limit: MAX_MEMBERS,
                        });
                    }
                    let group = group.changed(Change::default(), now).map_err(Error::field)?;
                    Ok((changes::add_members(&group, &members), group))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let details = vec![("added", members.join(" "))];
        self.note(caller, "group.members_added", ("group", id), details).await?;
        let count = self.access.directory().members(id).count();
        Ok((group, count))
    }

    pub(crate) async fn remove_members(
        &self,
        caller: &Caller,
        id: &str,
        members: Vec<String>,
    ) -> Result<Counted, Error> {
        let organization = organization_of(caller)?;
        let members = checked(members)?;
        let now = self.clock.now();
        let group = self
            .change_directory(
                |directory| {
                    let group = known(directory, organization, id)?;
                    may_change(caller, directory, group)?;
                    let group = group.changed(Change::default(), now).map_err(Error::field)?;
                    Ok((changes::remove_members(&group, &members), group))
                },
                || Error::EtagMismatch,
            )
            .await?;
        let details = vec![("removed", members.join(" "))];
        self.note(caller, "group.members_removed", ("group", id), details).await?;
        let count = self.access.directory().members(id).count();
        Ok((group, count))
    }
}

fn known<'a>(directory: &'a Directory, organization: &str, id: &str) -> Result<&'a Group, Error> {
    directory
        .group(organization, id)
        .ok_or_else(|| Error::Directory(DirectoryError::GroupNotFound { id: cut(id) }))
}

/// Fails unless the caller holds all that the group gives, for that is what is given or taken.
fn may_change(caller: &Caller, directory: &Directory, group: &Group) -> Result<(), Error> {
    must_hold(caller, &directory.permissions_of_group(group, contract::permissions()))
}

fn checked(members: Vec<String>) -> Result<Vec<String>, Error> {
    if members.is_empty() || members.len() > MAX_AT_ONCE {
        return Err(invalid("members", format!("must name 1 to {MAX_AT_ONCE} members")));
    }
    Ok(sorted(members))
}

/// Fails if a member that the directory knows of does not exist in the organisation. Users are checked
/// elsewhere: they are never deleted.
fn exists(directory: &Directory, organization: &str, member: &str) -> Result<(), Error> {
    let is_known = if let Some(id) = member.strip_prefix(GROUP) {
        directory.group(organization, id).is_some()
    } else if let Some(id) = member.strip_prefix("service-account:") {
        directory.account(id).is_some_and(|account| account.organization_id == organization)
    } else {
        member.starts_with("user:")
    };
    if is_known { Ok(()) } else { Err(unknown(member)) }
}

fn unknown(member: &str) -> Error {
    Error::Directory(DirectoryError::PrincipalNotFound { subject: cut(member) })
}
