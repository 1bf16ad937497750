//! Users.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Error as StoreError, Expect, Params, Row, params};

use super::{Slice, Store, bounds, decisive, directory, list, sessions, unlist};
use crate::{
    Error,
    domain::{
        UserId,
        users::{self, User},
    },
};

/// A user and what proves that it is them.
pub(crate) struct Credentials {
    pub(crate) user: User,
    /// The PHC string.
    pub(crate) password_hash: String,
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is kept.
    Yes,
    /// Somebody else changed the user meanwhile.
    Stale,
    /// No admin of the organisation would be left.
    LastAdmin,
    /// The directory under which the roles were checked is another one by now.
    Moved,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, organization_id, username, email, display_name, roles, disabled, password_hash, revision, \
             create_time, update_time FROM users ",
            $rest
        )
    };
}

const GET: &str = select!("WHERE id = $1");

// Names and addresses differ in the `@`, so at most one user fits.
const BY_LOGIN: &str = select!("WHERE username = $1 OR email_key = $1 LIMIT 1");

const NEWEST: &str = select!(
    "WHERE (create_time < $1 OR (create_time = $1 AND id < $2))
      AND (CAST($3 AS TEXT) IS NULL OR username = $3)
      AND (CAST($4 AS TEXT) IS NULL OR email_key = $4)
      AND organization_id = $6
     ORDER BY create_time DESC, id DESC LIMIT $5"
);

const OLDEST: &str = select!(
    "WHERE (create_time > $1 OR (create_time = $1 AND id > $2))
      AND (CAST($3 AS TEXT) IS NULL OR username = $3)
      AND (CAST($4 AS TEXT) IS NULL OR email_key = $4)
      AND organization_id = $6
     ORDER BY create_time, id LIMIT $5"
);

// Touches the one row if there is no user: an expectation that a batch can be rolled back by. It is a
// statement of its own because a statement sees the moment in which it began, and this one begins after
// the row before it is locked.
const ONLY_WITHOUT_USERS: &str =
    "UPDATE access SET revision = revision WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM users)";

// Also holds for somebody who is no admin now. Comes before the change.
pub(super) const ONLY_WITH_ANOTHER_ADMIN: &str =
    "UPDATE access SET revision = revision WHERE id = 1
    AND (EXISTS (SELECT 1 FROM users WHERE acting_admin = 1 AND organization_id = $2 AND id <> $1
            AND NOT EXISTS (SELECT 1 FROM stopped_subjects WHERE subject = 'user:' || users.id))
        OR NOT EXISTS (SELECT 1 FROM users WHERE id = $1 AND acting_admin = 1))";

pub(super) const INSERT: &str =
    "INSERT INTO users (id, username, email, email_key, display_name, roles, acting_admin,
        disabled, password_hash, revision, create_time, update_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const UPDATE: &str = "UPDATE users SET email = $2, email_key = $3, display_name = $4, roles = $5,
        acting_admin = $6, disabled = $7, revision = $8, update_time = $9
    WHERE id = $1 AND revision = $8 - 1";

const WITH_ROLE: &str = "SELECT username FROM users WHERE organization_id = $1 AND roles LIKE $2
    ORDER BY username LIMIT $3";

impl Store {
    pub(crate) async fn user(&self, id: &UserId) -> Result<Option<User>, Error> {
        let row = self.0.query_opt(GET, params![id.as_str()]).await?;
        row.as_ref().map(user_of).transpose()
    }

    /// The user who logs in under a name or an address, in lower case.
    pub(crate) async fn credentials(&self, login: &str) -> Result<Option<Credentials>, Error> {
        // A NUL cannot be stored, so it cannot be found either.
        if login.contains('\0') {
            return Ok(None);
        }
        let row = self.0.query_opt(BY_LOGIN, params![login]).await?;
        row.map(|row| {
            Ok(Credentials { user: user_of(&row)?, password_hash: row.text("password_hash")? })
        })
        .transpose()
    }

    pub(crate) async fn users_in(
        &self,
        slice: &Slice,
        organization: &str,
        username: Option<&str>,
        email: Option<&str>,
    ) -> Result<Vec<User>, Error> {
        let (time, id) = bounds(slice);
        let sql = if slice.newest_first { NEWEST } else { OLDEST };
        let params = params![
            time,
            id,
            username.map(str::to_lowercase),
            email.map(users::email_key),
            slice.limit,
            organization,
        ];
        let rows = self.0.query(sql, params).await?;
        rows.iter().map(user_of).collect()
    }

    /// Keeps the first user. False if there is one already.
    pub(crate) async fn insert_first_user(
        &self,
        user: &User,
        password_hash: &str,
    ) -> Result<bool, Error> {
        let batch = decisive()
            .then_expect(ONLY_WITHOUT_USERS, params![], Expect::Rows(1))
            .then(INSERT, insert_params(user, password_hash));
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(conflict(error)),
        }
    }

    /// Keeps a user whose roles were checked against the directory with this number. False if it is
    /// another one by now.
    pub(crate) async fn insert_user(
        &self,
        user: &User,
        password_hash: &str,
        number: i64,
    ) -> Result<bool, Error> {
        let batch = directory::under(number).then(INSERT, insert_params(user, password_hash));
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(conflict(error)),
        }
    }

    /// Keeps a user as changed, whose roles were checked against the directory with this number. A
    /// disabled one loses all sessions.
    pub(crate) async fn update_user(
        &self,
        user: &User,
        number: i64,
        now: Timestamp,
    ) -> Result<Changed, Error> {
        let mut batch = directory::under(number);
        let must_leave_an_admin = !user.is_acting_admin();
        if must_leave_an_admin {
            let who = params![user.id.as_str(), &user.organization_id];
            batch = batch.then_expect(ONLY_WITH_ANOTHER_ADMIN, who, Expect::Rows(1));
        }
        batch = batch.then_expect(UPDATE, update_params(user), Expect::Rows(1));
        if user.disabled {
            batch = batch.then(sessions::END_OF_USER, params![user.id.as_str(), now.as_micros()]);
        }
        match self.0.write(batch).await {
            Ok(_) => Ok(Changed::Yes),
            Err(StoreError::Unexpected { statement: 0, .. }) => Ok(Changed::Moved),
            Err(StoreError::Unexpected { statement: 1, .. }) if must_leave_an_admin => {
                Ok(Changed::LastAdmin)
            }
            Err(StoreError::Unexpected { .. }) => Ok(Changed::Stale),
            Err(error) => Err(conflict(error)),
        }
    }

    /// The names of users who have a role directly, at most `most`.
    pub(crate) async fn users_with_role(
        &self,
        organization: &str,
        role: &str,
        most: i64,
    ) -> Result<Vec<String>, Error> {
        let params = params![organization, directory::changes::has_role(role), most];
        let rows = self.0.query(WITH_ROLE, params).await?;
        rows.iter().map(|row| Ok(row.text("username")?)).collect()
    }
}

pub(super) fn insert_params(user: &User, password_hash: &str) -> Params {
    params![
        user.id.as_str(),
        &user.username,
        &user.email,
        email_key(user),
        &user.display_name,
        list(&user.roles),
        user.is_acting_admin(),
        user.disabled,
        password_hash,
        user.revision,
        user.created_at.as_micros(),
        user.updated_at.as_micros(),
        &user.organization_id,
    ]
}

fn update_params(user: &User) -> Params {
    params![
        user.id.as_str(),
        &user.email,
        email_key(user),
        &user.display_name,
        list(&user.roles),
        user.is_acting_admin(),
        user.disabled,
        user.revision,
        user.updated_at.as_micros(),
    ]
}

/// NULL for none: NULLs are not equal to each other, so any number of users may have no address.
fn email_key(user: &User) -> Option<String> {
    (!user.email.is_empty()).then(|| users::email_key(&user.email))
}

pub(super) fn conflict(error: StoreError) -> Error {
    if let StoreError::Conflict { constraint, .. } = &error {
        let field = if constraint.contains("email_key") { "email" } else { "username" };
        return Error::UserExists { field };
    }
    error.into()
}

fn user_of(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: UserId::parse(&row.text("id")?).map_err(|_| Error::Row { what: "user" })?,
        organization_id: row.text("organization_id")?,
        username: row.text("username")?,
        email: row.text("email")?,
        display_name: row.text("display_name")?,
        roles: unlist(&row.text("roles")?, "user")?,
        disabled: row.boolean("disabled")?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}
