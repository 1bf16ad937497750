//! Messages with links, taken in by a mail server of a few lines.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lightning_auth::{Config, Mail, Registration};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::world::{PASSWORD, World, eventually};

const NEW: &str = "seven purple lanterns drift";

/// What came: the envelope's addresses and the text.
type Inbox = Arc<Mutex<Vec<(String, String)>>>;

/// Takes every message in; answers the address of the server and what came.
async fn server() -> (String, Inbox) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept = Inbox::default();
    let inbox = kept.clone();
    lightning_mesh::task::spawn("test-mail-server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let inbox = inbox.clone();
            lightning_mesh::task::spawn("test-mail", async move {
                let _ = take(stream, &inbox).await;
            });
        }
    });
    (format!("smtp://{address}"), kept)
}

async fn take(stream: TcpStream, inbox: &Inbox) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 test\r\n").await?;
    let (mut to, mut text, mut in_text) = (String::new(), String::new(), false);
    while let Some(line) = lines.next_line().await? {
        if in_text {
            if line == "." {
                in_text = false;
                inbox.lock().unwrap().push((std::mem::take(&mut to), std::mem::take(&mut text)));
                writer.write_all(b"250 ok\r\n").await?;
            } else {
                text.push_str(&line);
                text.push('\n');
            }
            continue;
        }
        let answer: &[u8] = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => b"250-test\r\n250 8BITMIME\r\n",
            "DATA" => {
                in_text = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            "RCPT" => {
                to.push_str(&line);
                b"250 ok\r\n"
            }
            _ => b"250 ok\r\n",
        };
        writer.write_all(answer).await?;
    }
    Ok(())
}

fn config(url: &str) -> Config {
    let mail = Mail {
        url: url.to_owned(),
        from: "Lightning <no-reply@example.com>".to_owned(),
        username: String::new(),
        password: lightning_mesh::config::SecretSource::default(),
    };
    Config { mail: Some(mail), registration: Registration::Open, ..Config::default() }
}

/// The next message whose subject begins so, and the token of its link.
async fn message(inbox: &Inbox, subject: &str) -> (String, String) {
    let find = || {
        let mut inbox = inbox.lock().unwrap();
        let subject = format!("Subject: {subject}");
        let at = inbox.iter().position(|(_, text)| text.contains(&subject))?;
        Some(inbox.remove(at))
    };
    tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("no such message comes")
}

fn token(text: &str) -> String {
    // Quoted-printable (RFC 2045 section 6.7).
    let text = text.replace("=\n", "").replace("=3D", "=");
    let (_, rest) = text.split_once("token=").expect("there is a link");
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[tokio::test]
async fn a_lost_password_is_set_anew_through_the_mailbox() {
    let (url, inbox) = server().await;
    let world = World::with(config(&url)).await;
    world.admin().await;
    let nobody = world.nobody();
    let reset = "/api/v1/auth/password/reset";
    let answer = nobody.post(reset, json!({"username": "ADA@example.com"})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let unknown = nobody.post(reset, json!({"username": "nobody@example.com"})).await;
    assert_eq!((unknown.status, &unknown.body), (answer.status, &answer.body));
    let (to, text) = message(&inbox, "Set your password").await;
    assert_eq!(to, "RCPT TO:<Ada@example.com>");
    assert!(text.contains("http://localhost:8006/account/reset?token="), "{text}");
    let body = json!({"token": token(&text), "new_password": NEW});
    assert_eq!(nobody.post("/api/v1/auth/password/complete", body).await.status, 204);
    assert_eq!(world.try_login("ada", NEW).await.status, 200);
    message(&inbox, "Your password").await;
    assert!(inbox.lock().unwrap().iter().all(|(to, _)| !to.contains("nobody")));
}

#[tokio::test]
async fn a_forged_host_does_not_reach_the_link() {
    let (url, inbox) = server().await;
    let world = World::with(config(&url)).await;
    world.admin().await;
    let http = reqwest::Client::new();
    let reset = format!("{}/api/v1/auth/password/reset", world.harness.rest("auth"));
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-forwarded-proto", "https"),
        ("x-host", "evil.example"),
    ] {
        let request = http.post(&reset).header(name, value).json(&json!({"username": "ada"}));
        if request.send().await.unwrap().status() == 202 {
            let (_, text) = message(&inbox, "Set your password").await;
            assert!(!text.contains("evil"), "{text}");
            assert!(text.contains("http://localhost:8006/account/reset?token="), "{text}");
        }
        world.advance(Duration::from_mins(16));
    }
}

#[tokio::test]
async fn only_so_many_messages_go_to_one_name_known_or_not() {
    let (url, _) = server().await;
    let world = World::with(config(&url)).await;
    world.admin().await;
    for name in ["ada", "nobody"] {
        for _ in 0..3 {
            let body = json!({"username": name});
            let answer = world.nobody().post("/api/v1/auth/password/reset", body).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        let body = json!({"username": name});
        let answer = world.nobody().post("/api/v1/auth/password/reset", body).await;
        answer.refused(429, "ACCOUNT_LOCKED");
    }
}

#[tokio::test]
async fn an_address_is_proven_by_its_link_once_and_only_while_it_is_the_address() {
    let (url, inbox) = server().await;
    let world = World::with(config(&url)).await;
    let (ada, _) = world.admin().await;
    let (to, text) = message(&inbox, "Confirm your address").await;
    assert!(to.contains("Ada@example.com"), "{to}");
    let body = json!({"token": token(&text)});
    let verify = "/api/v1/auth/email/verify";
    assert_eq!(world.nobody().post(verify, body.clone()).await.status, 204);
    world.nobody().post(verify, body).await.refused(400, "LINK_INVALID");
    assert_eq!(ada.post("/api/v1/account/email/verify", json!({})).await.status, 202);
    let (_, text) = message(&inbox, "Confirm your address").await;
    let other = json!({"email": "other@example.com"});
    assert_eq!(ada.patch("/api/v1/account", other).await.status, 200);
    let body = json!({"token": token(&text)});
    world.nobody().post(verify, body).await.refused(400, "LINK_INVALID");
    // A link of one kind is none of the other.
    assert_eq!(ada.post("/api/v1/account/email/verify", json!({})).await.status, 202);
    let (to, text) = message(&inbox, "Confirm your address").await;
    assert!(to.contains("other@example.com"), "{to}");
    let body = json!({"token": token(&text), "new_password": NEW});
    let complete = "/api/v1/auth/password/complete";
    world.nobody().post(complete, body).await.refused(400, "LINK_INVALID");
}

#[tokio::test]
async fn nothing_that_people_choose_becomes_a_header_or_a_link() {
    let (url, inbox) = server().await;
    let world = World::with(config(&url)).await;
    world.admin().await;
    message(&inbox, "Confirm your address").await;
    for email in [
        "eve@example.com\r\nBcc: all@example.com",
        "eve@example.com, mallory@example.com",
        "Eve <eve@example.com>",
        "eve@example.com\n\nhello",
        "\"eve\\\"@example.com",
    ] {
        let body = json!({"username": "eve", "password": PASSWORD, "email": email});
        let answer = world.nobody().post("/api/v1/auth/register", body).await;
        answer.refused(400, "USER_INVALID");
    }
    let body = json!({"username": "eve", "password": PASSWORD, "email": "eve@example.com",
        "display_name": "Click https://evil.example {{7*7}}"});
    assert_eq!(world.nobody().post("/api/v1/auth/register", body).await.status, 201);
    let (to, text) = message(&inbox, "Confirm your address").await;
    assert_eq!(to, "RCPT TO:<eve@example.com>");
    assert!(!text.contains("evil") && !text.contains("Bcc"), "{text}");
}

#[tokio::test]
async fn without_a_mail_server_everybody_is_told_the_same() {
    let world = World::new().await;
    world.admin().await;
    for name in ["ada", "nobody"] {
        let body = json!({"username": name});
        let answer = world.nobody().post("/api/v1/auth/password/reset", body).await;
        answer.refused(400, "MAIL_OFF");
    }
    eventually(|| async { world.try_login("ada", PASSWORD).await.status == 200 }).await;
}
