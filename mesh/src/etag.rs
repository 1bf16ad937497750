//! Etags: the quoted revision number of a resource (AIP-154).

/// The etag of a revision, quotes included: `"3"`.
pub fn of(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// Whether a given etag allows a change of this revision. None given means that the caller does not
/// mind which revision it changes; weak etags (`W/"3"`), unquoted ones and `*` are accepted as well,
/// because HTTP clients send them.
pub fn matches(given: &str, revision: i64) -> bool {
    let given = given.trim();
    if given.is_empty() || given == "*" {
        return true;
    }
    let bare = given.strip_prefix("W/").unwrap_or(given).trim_matches('"');
    bare == revision.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_allows_only_its_own_revision() {
        let check = |given, expected| assert_eq!(matches(given, 3), expected, "{given}");
        check("\"3\"", true);
        check("", true);
        check("*", true);
        check("3", true);
        check("W/\"3\"", true);
        check("\"4\"", false);
        check("\"03\"", false);
        check("x", false);
    }
}
