//! The rules, the hashes and the bounded queue.

use lightning_mesh::config::Secret;

use super::{BLOCKED, Passwords, Weakness, check, hash_now, verify_now};
use crate::Error;

#[test]
fn passwords_are_judged_by_length_block_list_and_name() {
    let judge = |password: &str, expected: Result<(), Weakness>| {
        assert_eq!(check(password, "ada", "lovelace@example.com"), expected, "{password:?}");
    };
    judge("correct mule battery", Ok(()));
    judge("dies ist völlig in Ordnung", Ok(()));
    judge("🐎🔋📎🐎🔋x🐌🧅🚲🪁🧊🪴🫖🎻🪗🧭", Ok(()));
    judge("fourteen chars", Err(Weakness::Short));
    judge("", Err(Weakness::Short));
    judge(&"long enough ".repeat(22), Err(Weakness::Long));
    judge(&"x".repeat(1_000_000), Err(Weakness::Long));
    judge("aaaaaaaaaaaaaaaa", Err(Weakness::Repetitive));
    judge("abcdeabcdeabcde", Err(Weakness::Repetitive));
    judge("!!!Password1234!!!", Err(Weakness::Common));
    judge("!!!!P@ssw0rd!!!!", Err(Weakness::Common));
    judge("123qwertyuiop[]123", Err(Weakness::Common));
    judge("passwordPassword", Err(Weakness::Common));
    judge("correcthorsebatterystaple", Err(Weakness::Common));
    judge("jennifermichael", Err(Weakness::Common));
    judge("abcdefghijklmnopq", Err(Weakness::Guessable));
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

#[test]
fn length_is_not_cut_and_every_character_counts() {
    let long = |last: &str| format!("{}{last}", "seven purple lanterns drift over 4 ".repeat(3));
    let hash = hash_now(&Secret::new(long("a"))).unwrap();
    assert!(verify_now(&Secret::new(long("a")), &hash).unwrap());
    assert!(!verify_now(&Secret::new(long("b")), &hash).unwrap());
    let nul = Secret::new("correct mule\0battery a");
    let hash = hash_now(&nul).unwrap();
    assert!(verify_now(&nul, &hash).unwrap());
    assert!(!verify_now(&Secret::new("correct mule\0battery b"), &hash).unwrap());
}

#[test]
fn a_weaker_hash_of_the_past_is_outdated() {
    let check = |phc: &str, expected| assert_eq!(Passwords::is_outdated(phc), expected, "{phc}");
    let rest = "$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    check(&format!("$argon2id$v=19$m=19456,t=2,p=1{rest}"), false);
    check(&format!("$argon2id$v=19$m=65536,t=3,p=4{rest}"), false);
    check(&format!("$argon2id$v=19$m=9216,t=4,p=1{rest}"), true);
    check(&format!("$argon2id$v=19$m=19456,t=1,p=1{rest}"), true);
    check(&format!("$argon2i$v=19$m=19456,t=2,p=1{rest}"), true);
    check("nonsense", false);
}

#[test]
fn judging_the_longest_password_is_cheap() {
    let begun = std::time::Instant::now();
    for seed in ["aB3$", "qwer", "1999", "🐎🔋📎x"] {
        let long: String = seed.chars().cycle().take(250).chain("xyzzy!".chars()).collect();
        let _ = check(&long, "ada", "");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
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
