//! People as other providers know them.
//!
//! A person elsewhere is an issuer and a subject and nothing more: addresses and names change hands, so
//! an account here is never found by them. They only fill the record of somebody who is new.

/// Somebody whom another provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The `iss` of the ID token.
    pub(crate) issuer: String,
    /// The `sub` of the ID token.
    pub(crate) subject: String,
    /// What they would like to be called; may be empty.
    pub(crate) username: String,
    /// The name for people; may be empty.
    pub(crate) display_name: String,
    /// The address, if the provider says that it is theirs.
    pub(crate) email: Option<String>,
}

// === impl Identity ===

impl Identity {
    /// A user name for somebody new: what of theirs may stand in one, and something random behind it, so
    /// that nobody takes a name that others expect to be someone else.
    pub(crate) fn new_username(&self, random: &str) -> String {
        let wished = self.username.split('@').next().unwrap_or_default().to_ascii_lowercase();
        let plain: String = wished
            .chars()
            .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c))
            .take(40)
            .collect();
        let plain = if plain.is_empty() { "user" } else { &plain };
        format!("{plain}-{}", random.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn a_new_name_is_a_user_name_whatever_was_wished() {
        let check = |wished: &str, expected: &str| {
            let identity = Identity {
                issuer: "https://op.example".to_owned(),
                subject: "1".to_owned(),
                username: wished.to_owned(),
                display_name: String::new(),
                email: None,
            };
            assert_eq!(identity.new_username("7Xq"), expected, "{wished:?}");
        };
        check("Ada", "ada-7xq");
        check("ada@example.com", "ada-7xq");
        check("", "user-7xq");
        check("<script>", "script-7xq");
        check("älä", "l-7xq");
        check(&"x".repeat(300), &format!("{}-7xq", "x".repeat(40)));
    }
}
