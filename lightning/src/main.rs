//! The program: `lightning up` runs the whole mesh in one process, `lightning serve` a part of it.
//!
//! `main` only reads the command line and the configuration, builds, waits for a signal and drains.
//! What a service does is in its own crate; how they are put together is in [`up`].

use std::process::ExitCode;

use clap::Parser;

mod admin;
mod ca;
mod cli;
mod config;
mod up;

use cli::{AdminCommand, Cli, Command};
use config::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(options) => up::run(&Config::load(&options)?, &cli::ALL),
        Command::Serve { services, options } => up::run(&Config::load(&options)?, &services),
        Command::CheckConfig(options) => {
            let config = Config::load(&options)?;
            cli::say(&format!(
                "the configuration is good; data in {}",
                config.store.data_dir.display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            cli::say(&serde_json::to_string_pretty(&lightning_gateway::openapi()?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Admin { command: AdminCommand::CreateUser(user), options } => {
            admin::create_user(&Config::load(&options)?, user)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Ca { command } => {
            ca::run(command)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
