//! The rules, the hashes and the bounded queue.

use lightning_mesh::config::Secret;

use super::{BLOCKED, Passwords, Weakness, check};
use crate::Error;

#[test]
fn passwords_are_judged_by_length_block_list_and_name() {
    let judge = |password: &str, expected: Result<(), Weakness>| {
        assert_eq!(check(password, "ada", "lovelace@example.com"), expected, "{password:?}");
    };
    judge("correct mule battery", Ok(()));
    judge("dies ist völlig in Ordnung", Ok(()));
    judge("🐎🔋📎🐎🔋x🐌🧅🚲🪁🧊🪴", Ok(()));
    judge("elevenchars", Err(Weakness::Short));
    judge("", Err(Weakness::Short));
    judge(&"long enough ".repeat(22), Err(Weakness::Long));
    judge(&"x".repeat(1_000_000), Err(Weakness::Long));
    judge("aaaaaaaaaaaaaaaa", Err(Weakness::Repetitive));
    judge("abcdeabcdeabcde", Err(Weakness::Repetitive));
    judge("Password1234", Err(Weakness::Common));
    judge("P@ssw0rd!!!!", Err(Weakness::Common));
    judge("123456789012", Err(Weakness::Common));
    judge("qwertyuiop[]", Err(Weakness::Common));
    judge("passwordPassword", Err(Weakness::Common));
    judge("correcthorsebatterystaple", Err(Weakness::Common));
    judge("Ada's long secret", Err(Weakness::ContainsName));
    judge("countess of Lovelace", Err(Weakness::ContainsName));
}

#[test]
fn the_block_list_has_a_few_hundred_lines_in_lower_case() {
    assert!(BLOCKED.len() >= 300, "{}", BLOCKED.len());
    assert!(BLOCKED.iter().all(|line| line.to_lowercase() == **line && line.trim() == *line));
}

#[tokio::test]
async fn a_hash_fits_its_password_alone_and_nobody_fits_none() {
    let passwords = Passwords::new(2, 8);
    let (right, wrong) = (Secret::new("correct mule battery"), Secret::new("correct mule batterz"));
    let hash = passwords.hash(&right).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
    assert!(!passwords.verify(&wrong, Some(&hash)).await.unwrap());
    assert!(!passwords.verify(&right, None).await.unwrap());
    assert_ne!(passwords.hash(&right).await.unwrap(), hash);
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_at_once() {
    let passwords = Passwords::new(1, 1);
    let secret = Secret::new("correct mule battery");
    let (a, b, c) = tokio::join!(
        passwords.verify(&secret, None),
        passwords.verify(&secret, None),
        passwords.verify(&secret, None),
    );
    assert!(a.is_ok() && b.is_ok());
    assert!(matches!(c, Err(Error::Overloaded { .. })));
    assert!(passwords.verify(&secret, None).await.is_ok());
}
