//! `lightning ca`: a certificate authority in a folder, for a mesh whose services run apart.
//!
//! It makes files and says which; nothing of it runs while the mesh does. A process that serves several
//! services holds a certificate for each, because a certificate names one workload. Keys are written for
//! their owner alone and never shown. What this does not do is revoke: certificates are short-lived
//! instead, and `renew` is meant for a timer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use lightning_mesh::{
    clock::{Clock, Timestamp},
    config::Secret,
    tls::{Authority, Described, Issued, describe},
};

use crate::cli::{ALL, CaCommand, CaPlace, CaTarget, say};

mod files;

const DAY: Duration = Duration::from_secs(86_400);

/// Does what the command says.
pub(crate) fn run(command: CaCommand) -> anyhow::Result<()> {
    match command {
        CaCommand::Init { place, trust_domain, days, force } => {
            init(&place.dir, &trust_domain, DAY * days, force)
        }
        CaCommand::Issue { services, place, target, days, hosts, force } => {
            issue(&services, &Folders::new(place, target), DAY * days, &hosts, force)
        }
        CaCommand::Renew { services, place, target, days, within } => renew(
            &services,
            &Folders::new(place, target),
            DAY * days,
            within.map(|days| DAY * days),
        ),
        CaCommand::Show { place, target } => show(&Folders::new(place, target)),
    }
}

/// Where the authority and the certificates are.
struct Folders {
    authority: PathBuf,
    out: PathBuf,
}

impl Folders {
    fn new(place: CaPlace, target: CaTarget) -> Self {
        let out = target.out.unwrap_or_else(|| place.dir.clone());
        Self { authority: place.dir, out }
    }

    fn certificate(&self, service: &str) -> PathBuf {
        self.out.join(format!("{service}.pem"))
    }

    fn key(&self, service: &str) -> PathBuf {
        self.out.join(format!("{service}.key"))
    }

    fn load(&self) -> anyhow::Result<Authority> {
        let (certificate, key) = authority_files(&self.authority);
        if !certificate.is_file() {
            bail!(
                "there is no authority in {}; make one with `lightning ca init`",
                self.authority.display()
            );
        }
        files::check_private(&key)?;
        let key_text = Secret::new(files::read(&key)?);
        Authority::load(&files::read(&certificate)?, &key_text).with_context(|| {
            format!("the authority in {} cannot be used", self.authority.display())
        })
    }

    fn describe(&self, service: &str) -> anyhow::Result<Described> {
        let path = self.certificate(service);
        describe(&files::read(&path)?).with_context(|| format!("{} cannot be used", path.display()))
    }

    /// The services whose certificates are here.
    fn services(&self) -> anyhow::Result<Vec<String>> {
        let mut services = Vec::new();
        let failed = || format!("cannot read the folder {}", self.out.display());
        for entry in std::fs::read_dir(&self.out).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            let service = name.to_str().and_then(|name| name.strip_suffix(".pem"));
            services.extend(service.filter(|service| *service != "ca").map(str::to_owned));
        }
        services.sort();
        Ok(services)
    }
}

fn authority_files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("ca.pem"), folder.join("ca.key"))
}

fn now() -> Timestamp {
    Clock::system().now()
}

fn init(folder: &Path, trust_domain: &str, lifetime: Duration, force: bool) -> anyhow::Result<()> {
    let (certificate, key) = authority_files(folder);
    refuse_existing([&certificate, &key], force)?;
    let (_, own) = Authority::create(trust_domain, lifetime, now())
        .with_context(|| format!("cannot make an authority for {trust_domain:?}"))?;
    write_pair(&own, &certificate, &key, force)?;
    say(&format!(
        "made the authority of spiffe://{trust_domain}, good until {}\n  {}  give it to every process\n  \
         {}  give it to nobody",
        own.not_after,
        certificate.display(),
        key.display()
    ));
    Ok(())
}

fn issue(
    services: &[String],
    folders: &Folders,
    lifetime: Duration,
    more_hosts: &[String],
    force: bool,
) -> anyhow::Result<()> {
    let authority = folders.load()?;
    let all = || ALL.iter().map(|word| word.as_str().to_owned()).collect();
    let services: Vec<String> = if services.is_empty() { all() } else { services.to_vec() };
    // Everything that can be refused is refused before the first file is written.
    let mut issued = Vec::new();
    for service in &services {
        if service == "ca" {
            bail!("a service cannot be named ca: its files would be the authority's");
        }
        let mut hosts: Vec<String> =
            [service.as_str(), "localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        hosts.extend(
            more_hosts.iter().filter(|host| !hosts.contains(host)).cloned().collect::<Vec<_>>(),
        );
        issued.push(sign(&authority, service, &hosts, lifetime)?);
        refuse_existing([&folders.certificate(service), &folders.key(service)], force)?;
    }
    for (service, issued) in services.iter().zip(&issued) {
        put(&authority, folders, service, issued, force)?;
    }
    Ok(())
}

fn renew(
    services: &[String],
    folders: &Folders,
    lifetime: Duration,
    within: Option<Duration>,
) -> anyhow::Result<()> {
    let authority = folders.load()?;
    let services = if services.is_empty() { folders.services()? } else { services.to_vec() };
    if services.is_empty() {
        bail!("there is no certificate in {}", folders.out.display());
    }
    let mut renewed = Vec::new();
    for service in &services {
        let old = folders.describe(service)?;
        if old.trust_domain != authority.trust_domain() || old.service != *service {
            bail!(
                "{} belongs to {}, which is not the service {service} of spiffe://{}",
                folders.certificate(service).display(),
                old.spiffe_id,
                authority.trust_domain()
            );
        }
        if within.is_some_and(|within| old.not_after > now() + within) {
            say(&format!("{service} is good until {}; left alone", old.not_after));
            continue;
        }
        renewed.push((service, sign(&authority, service, &old.hosts, lifetime)?));
    }
    for (service, issued) in &renewed {
        put(&authority, folders, service, issued, true)?;
    }
    Ok(())
}

fn sign(
    authority: &Authority,
    service: &str,
    hosts: &[String],
    lifetime: Duration,
) -> anyhow::Result<Issued> {
    let issued = authority.issue(service, hosts, lifetime, now());
    issued.with_context(|| format!("cannot sign a certificate for {service:?}"))
}

fn put(
    authority: &Authority,
    folders: &Folders,
    service: &str,
    issued: &Issued,
    force: bool,
) -> anyhow::Result<()> {
    let (certificate, key) = (folders.certificate(service), folders.key(service));
    write_pair(issued, &certificate, &key, force)?;
    say(&format!(
        "signed spiffe://{}/{service}, good until {}\n  {}\n  {}",
        authority.trust_domain(),
        issued.not_after,
        certificate.display(),
        key.display()
    ));
    Ok(())
}

/// The key first: a certificate whose key is not there yet would be of no use to a process that starts.
fn write_pair(issued: &Issued, certificate: &Path, key: &Path, force: bool) -> anyhow::Result<()> {
    files::write(key, issued.key.expose(), files::PRIVATE, force)?;
    files::write(certificate, &issued.certificate, files::PUBLIC, force)
}

fn refuse_existing(paths: [&PathBuf; 2], force: bool) -> anyhow::Result<()> {
    match paths.into_iter().find(|path| path.exists()).filter(|_| !force) {
        Some(path) => bail!("{} exists already; --force replaces it", path.display()),
        None => Ok(()),
    }
}

fn show(folders: &Folders) -> anyhow::Result<()> {
    let (certificate, _) = authority_files(&folders.authority);
    let authority = describe(&files::read(&certificate)?)
        .with_context(|| format!("{} cannot be used", certificate.display()))?;
    say(&line("authority", &authority));
    for service in folders.services()? {
        let described = folders.describe(&service)?;
        let mut text = line(&service, &described);
        if described.trust_domain != authority.trust_domain {
            text.push_str("\n  of another trust domain");
        }
        if let Err(error) = files::check_private(&folders.key(&service)) {
            text.push_str(&format!("\n  {error:#}"));
        }
        say(&text);
    }
    Ok(())
}

fn line(name: &str, described: &Described) -> String {
    let left = described.not_after.since(now()).as_secs() / DAY.as_secs();
    let state = match described.not_after > now() {
        true => format!("good until {} ({left} days)", described.not_after),
        false => format!("EXPIRED at {}", described.not_after),
    };
    let hosts = match described.hosts.is_empty() {
        true => String::new(),
        false => format!("\n  hosts {}", described.hosts.join(", ")),
    };
    format!("{name}: {}, {state}\n  sha256 {}{hosts}", described.spiffe_id, described.fingerprint)
}
