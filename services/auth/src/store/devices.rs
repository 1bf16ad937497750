//! Devices that wait for their users.

use std::time::Duration;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Row, params};

use super::{Store, list, unlist};
use crate::{
    Error,
    domain::{
        SessionId, UserId,
        browser_sessions::BrowserSession,
        devices::{DeviceLogin, State},
        principals::Authentication,
    },
};

/// The most devices that wait at a time: with 25 billion codes, a guess hits one in half a million.
const MAX_WAITING: i64 = 50_000;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, device_hash, user_hash, client_id, scopes, resources, jkt, address, interval_seconds, \
             poll_time, create_time, expire_time, state, browser_session_id, user_id, auth_time, \
             auth_methods FROM device_logins ",
            $rest
        )
    };
}

const BY_DEVICE: &str = select!("WHERE device_hash = $1");

const BY_USER_CODE: &str =
    select!("WHERE user_hash = $1 AND state = 'pending' AND expire_time > $2");

const BY_ID: &str = select!("WHERE id = $1");

// Codes of devices are not used again before their time is over twice.
pub(super) const FORGET: &str = "DELETE FROM device_logins WHERE expire_time < $1";

const INSERT: &str = "INSERT INTO device_logins (id, device_hash, user_hash, client_id, scopes, resources, jkt,
        address, interval_seconds, poll_time, create_time, expire_time, state, auth_time, auth_methods)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'pending', 0, '[]')";

const COUNT: &str = "SELECT COUNT(*) AS waiting FROM device_logins";

const POLLED: &str =
    "UPDATE device_logins SET poll_time = $2, interval_seconds = $3 WHERE device_hash = $1";

const TYPED: &str =
    "UPDATE device_logins SET browser_session_id = $2 WHERE id = $1 AND state = 'pending'";

const DECIDE: &str =
    "UPDATE device_logins SET state = $2, user_id = $3, auth_time = $4, auth_methods = $5,
        scopes = $6
    WHERE id = $1 AND browser_session_id = $7 AND state = 'pending' AND expire_time > $8";

const USE: &str =
    "UPDATE device_logins SET state = 'used' WHERE device_hash = $1 AND state = 'approved'";

impl Store {
    /// Keeps a device; forgets those whose time was over an hour ago. False if too many wait.
    pub(crate) async fn insert_device(&self, device: &DeviceLogin) -> Result<bool, Error> {
        // A bound on what strangers can fill, so it may be passed by the few that come at once.
        let row = self.0.query_opt(COUNT, params![]).await?;
        let count = row.ok_or(Error::Row { what: "count of devices" })?.integer("waiting")?;
        let hour_ago = device.created_at.before(Duration::from_hours(1)).as_micros();
        let values = params![
            device.id.as_str(),
            &device.device_hash,
            &device.user_hash,
            &device.client_id,
            list(&device.scopes),
            list(&device.resources),
            device.jkt.as_deref(),
            &device.address,
            seconds(device.interval),
            device.polled_at.as_micros(),
            device.created_at.as_micros(),
            device.expires_at.as_micros(),
        ];
        let mut batch = Batch::new().then(FORGET, params![hour_ago]);
        if count < MAX_WAITING {
            batch = batch.then(INSERT, values);
        }
        self.0.write(batch).await?;
        Ok(count < MAX_WAITING)
    }

    pub(crate) async fn device_by_code(&self, hash: &str) -> Result<Option<DeviceLogin>, Error> {
        let row = self.0.query_opt(BY_DEVICE, params![hash]).await?;
        row.as_ref().map(device_of).transpose()
    }

    /// The device that waits for somebody to type the code with this hash.
    pub(crate) async fn device_by_user_code(
        &self,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<DeviceLogin>, Error> {
        let row = self.0.query_opt(BY_USER_CODE, params![hash, now.as_micros()]).await?;
        row.as_ref().map(device_of).transpose()
    }

    pub(crate) async fn device(&self, id: &SessionId) -> Result<Option<DeviceLogin>, Error> {
        let row = self.0.query_opt(BY_ID, params![id.as_str()]).await?;
        row.as_ref().map(device_of).transpose()
    }

    pub(crate) async fn device_polled(
        &self,
        hash: &str,
        at: Timestamp,
        interval: Duration,
    ) -> Result<(), Error> {
        self.0.execute(POLLED, params![hash, at.as_micros(), seconds(interval)]).await?;
        Ok(())
    }

    /// Notes in which browser session the code was typed.
    pub(crate) async fn device_typed(
        &self,
        id: &SessionId,
        browser: &SessionId,
    ) -> Result<(), Error> {
        self.0.execute(TYPED, params![id.as_str(), browser.as_str()]).await?;
        Ok(())
    }

    /// Keeps what the user decided in the session in which the code was typed. False if it is too late.
    pub(crate) async fn decide_device(
        &self,
        id: &SessionId,
        state: State,
        scopes: &[String],
        session: &BrowserSession,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = params![
            id.as_str(),
            state.name(),
            session.user_id.as_str(),
            session.authentication.at.as_micros(),
            list(&session.authentication.methods),
            list(scopes),
            session.id.as_str(),
            now.as_micros(),
        ];
        Ok(self.0.execute(DECIDE, params).await?.changed == 1)
    }

    /// Hands an approved device over to its tokens; true for one caller only.
    pub(crate) async fn use_device(&self, hash: &str) -> Result<bool, Error> {
        Ok(self.0.execute(USE, params![hash]).await?.changed == 1)
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn device_of(row: &Row) -> Result<DeviceLogin, Error> {
    const WHAT: &str = "device login";
    let broken = || Error::Row { what: WHAT };
    let session = |text: String| SessionId::parse(&text).map_err(|_| broken());
    let user = |text: String| UserId::parse(&text).map_err(|_| broken());
    let interval = u64::try_from(row.integer("interval_seconds")?).map_err(|_| broken())?;
    Ok(DeviceLogin {
        id: session(row.text("id")?)?,
        device_hash: row.text("device_hash")?,
        user_hash: row.text("user_hash")?,
        client_id: row.text("client_id")?,
        scopes: unlist(&row.text("scopes")?, WHAT)?,
        resources: unlist(&row.text("resources")?, WHAT)?,
        jkt: row.opt_text("jkt")?,
        address: row.text("address")?,
        interval: Duration::from_secs(interval),
        polled_at: Timestamp::from_micros(row.integer("poll_time")?),
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        expires_at: Timestamp::from_micros(row.integer("expire_time")?),
        state: State::parse(&row.text("state")?).ok_or_else(broken)?,
        browser_session_id: row.opt_text("browser_session_id")?.map(session).transpose()?,
        user_id: row.opt_text("user_id")?.map(user).transpose()?,
        authentication: Authentication {
            at: Timestamp::from_micros(row.integer("auth_time")?),
            methods: unlist(&row.text("auth_methods")?, WHAT)?,
        },
    })
}
