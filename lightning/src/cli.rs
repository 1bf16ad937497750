//! The command line.

use std::{io::Write, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A platform for AI agents that is also a gRPC service mesh.
#[derive(Debug, Parser)]
#[command(name = "lightning", version, about)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all eight services in this process
    Up(Options),
    /// Run some services in this process; the others are found by the address in the configuration
    Serve {
        /// The services
        #[arg(required = true)]
        services: Vec<Word>,
        #[command(flatten)]
        options: Options,
    },
    /// Read the configuration and say what is wrong with it
    CheckConfig(Options),
    /// Print the OpenAPI 3.1 document
    Openapi,
    /// Administer a mesh that is not running
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
        #[command(flatten)]
        options: Options,
    },
    /// Make the certificates by which services prove themselves to each other over TLS
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
}

/// What every command that needs a configuration takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// The configuration file [default: lightning.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What an administrator can do without a running mesh.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Create a user; the first one ends open mode. The password is read from standard input
    CreateUser(NewUser),
}

/// The user to create.
#[derive(Args, Debug)]
pub(crate) struct NewUser {
    /// The user name
    pub(crate) username: String,
    /// The e-mail address
    #[arg(long, default_value = "")]
    pub(crate) email: String,
    /// A role: admin, developer, analyst, viewer or one of the organisation; may be repeated
    #[arg(long = "role", default_value = "admin")]
    pub(crate) roles: Vec<String>,
    /// The id of the organisation, which must exist; the operator's unless told
    #[arg(long, value_name = "ID")]
    pub(crate) organization: Option<String>,
}

/// What can be done with a certificate authority.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make a new authority: DIR/ca.pem, which every process is given, and DIR/ca.key, which none is
    Init {
        #[command(flatten)]
        place: CaPlace,
        /// The name of this mesh in certificates: spiffe://NAME/<service>
        #[arg(long, value_name = "NAME", default_value = "lightning.local")]
        trust_domain: String,
        /// How long the authority is good for
        #[arg(long, default_value_t = 3650, value_parser = days())]
        days: u32,
        /// Replace an authority that is there; what it signed is then refused
        #[arg(long)]
        force: bool,
    },
    /// Sign a certificate for each service: OUT/<service>.pem and OUT/<service>.key
    Issue {
        /// The services [default: all eight]
        services: Vec<String>,
        #[command(flatten)]
        place: CaPlace,
        #[command(flatten)]
        target: CaTarget,
        /// How long the certificates are good for
        #[arg(long, default_value_t = 90, value_parser = days())]
        days: u32,
        /// A further host name or address at which clients reach the services; may be repeated
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// Replace certificates and keys that are there
        #[arg(long)]
        force: bool,
    },
    /// Sign certificates that are there again, with new keys and the same names
    Renew {
        /// The services [default: all whose certificates are in OUT]
        services: Vec<String>,
        #[command(flatten)]
        place: CaPlace,
        #[command(flatten)]
        target: CaTarget,
        /// How long the new certificates are good for
        #[arg(long, default_value_t = 90, value_parser = days())]
        days: u32,
        /// Only those that end within so many days
        #[arg(long, value_name = "DAYS", value_parser = days())]
        within: Option<u32>,
    },
    /// Show the authority and the certificates, never a key
    Show {
        #[command(flatten)]
        place: CaPlace,
        #[command(flatten)]
        target: CaTarget,
    },
}

/// Where the authority is kept.
#[derive(Args, Debug)]
pub(crate) struct CaPlace {
    /// The folder of the authority
    #[arg(long, value_name = "DIR", default_value = "data/tls")]
    pub(crate) dir: PathBuf,
}

/// Where certificates are put.
#[derive(Args, Debug)]
pub(crate) struct CaTarget {
    /// The folder of the certificates [default: the folder of the authority]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// A hundred years are more than anybody means.
fn days() -> clap::builder::RangedU64ValueParser<u32> {
    clap::builder::RangedU64ValueParser::new().range(1..=36_500)
}

/// The word of a service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, ValueEnum)]
pub(crate) enum Word {
    Gateway,
    Agents,
    Enhanced,
    Workflows,
    Integrations,
    Models,
    Auth,
    Monitoring,
}

/// All services, in the order of their ports.
pub(crate) const ALL: [Word; 8] = [
    Word::Gateway,
    Word::Agents,
    Word::Enhanced,
    Word::Workflows,
    Word::Integrations,
    Word::Models,
    Word::Auth,
    Word::Monitoring,
];

impl Word {
    /// The word itself: folder, package, configuration section and name in traces.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Agents => "agents",
            Self::Enhanced => "enhanced",
            Self::Workflows => "workflows",
            Self::Integrations => "integrations",
            Self::Models => "models",
            Self::Auth => "auth",
            Self::Monitoring => "monitoring",
        }
    }

    /// The port that the service is documented to listen on.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Gateway => 8000,
            Self::Agents => 8001,
            Self::Enhanced => 8002,
            Self::Workflows => 8003,
            Self::Integrations => 8004,
            Self::Models => 8005,
            Self::Auth => 8006,
            Self::Monitoring => 8051,
        }
    }
}

/// Prints a line to standard output. A closed pipe is the reader's choice, not an error.
pub(crate) fn say(line: &str) {
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints an error with its causes to standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    let _closed = writeln!(std::io::stderr().lock(), "lightning: {error:#}");
}
