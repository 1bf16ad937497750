//! Who may do what as of now, whatever kind of principal it is.

use super::Auth;
use crate::{
    Error, contract,
    domain::{
        UserId, permissions,
        principals::{Principal, Subject},
        users::User,
    },
};

impl Auth {
    /// A user with everything that the roles give.
    #[expect(clippy::unused_async, reason = "roles and groups will be read from the database")]
    pub(crate) async fn principal_of(&self, user: &User) -> Result<Principal, Error> {
        Ok(Principal {
            subject: Subject::User(user.id.to_string()),
            name: user.name().to_owned(),
            organization_id: user.organization_id.clone(),
            roles: user.roles.iter().map(|role| role.name().to_owned()).collect(),
            groups: Vec::new(),
            permissions: permissions::granted(&user.roles, &[], contract::permissions()),
        })
    }

    /// Whoever a token speaks for, as they are now. [`Error::GrantInvalid`] if they are gone, disabled
    /// or stopped.
    pub(crate) async fn principal(&self, subject: &Subject) -> Result<Principal, Error> {
        match subject {
            Subject::User(id) => {
                let id = UserId::parse(id).map_err(|_| Error::GrantInvalid)?;
                let user = self.acting_user(&id).await?;
                self.principal_of(&user).await
            }
            Subject::Client(id) => {
                let client = self.client(id).await?.ok_or(Error::GrantInvalid)?;
                self.principal_of_client(&client).await
            }
            Subject::ServiceAccount(_) | Subject::Agent(_) => Err(Error::GrantInvalid),
        }
    }
}
