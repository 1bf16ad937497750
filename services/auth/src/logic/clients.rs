//! OAuth clients.

use std::sync::Arc;

use super::Auth;
use crate::{
    Error,
    domain::clients::{Client, OWN_CLIENT},
};

impl Auth {
    /// The client with this id.
    #[expect(clippy::unused_async, reason = "clients will be read from the database")]
    pub(crate) async fn client(&self, id: &str) -> Result<Option<Arc<Client>>, Error> {
        Ok((id == OWN_CLIENT).then(|| Arc::new(Client::own())))
    }
}
