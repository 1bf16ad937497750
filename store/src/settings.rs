//! Where the data is kept: the `[store]` section of the configuration.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// The `[store]` section.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder of the SQLite files, `<data_dir>/<service>.db`; it is made, for its owner only,
    /// if it
    /// is absent. Default `./data`.
    pub data_dir: PathBuf,
    /// `postgres://user:password@host/database` to keep the data in PostgreSQL, one schema per
    /// service.
    /// Absent (the default): SQLite files. `sslmode` may be `disable` or `prefer`.
    pub url: Option<String>,
    /// SQLite: how many reads run at once; PostgreSQL: how many connections there are. Per service,
    /// 1 to 256. Default 4.
    pub pool: usize,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self { data_dir: PathBuf::from("./data"), url: None, pool: 4 }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("Settings")
            .field("data_dir", &self.data_dir)
            .field("url", &self.url.as_ref().map(|_| "***"))
            .field("pool", &self.pool)
            .finish()
    }
}
