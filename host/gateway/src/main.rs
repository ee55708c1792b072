//! The gateway as a program.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tamis_gateway::{Config, Gateway, serve};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// What is logged if nothing else is asked for.
const LOGGED: &str = "info";

const CONFIG: &str = r#"A configuration:

  listen = "127.0.0.1:6334"
  metrics = "127.0.0.1:9464"            # optional

  [upstream]
  url = "http://127.0.0.1:6333"         # Qdrant's REST interface
  api_key_env = "QDRANT_API_KEY"        # optional; or api_key_file

  [policy]
  path = "policy.wasm"                  # or policy.cedar, with schema = "…"

  [tokens]
  algorithm = "RS256"                   # or ES256, EdDSA; HS256 with secret_file or secret_env
  jwks_file = "jwks.json"
  issuer = "https://id.example"
  audience = "https://vectors.example"
  properties = { tenant = "tenant" }    # property of the subject = claim

  [collections.docs]                    # one table for each; no other collection exists
  text = "text"                         # the member of payloads that is the text
  fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, ancestors = { absent = true } }

Clients send their token as `Authorization: Bearer …` or as Qdrant's `api-key`:

  QdrantClient(url="http://127.0.0.1:6334", api_key=token)

TAMIS_LOG=debug shows more. Exit codes: 0 done, 1 error, 2 wrong usage."#;

/// A gateway in front of Qdrant: any client of Qdrant's, and only what its user may read.
///
/// The policy narrows every search, decides on every point that is handed out and on every point that is stored, and is replaced whenever its
/// file changes.
#[derive(Debug, Parser)]
#[command(name = "tamis-gateway", version, max_term_width = 110, after_help = CONFIG)]
struct Cli {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read the configuration, the keys and the policy, say what they are, and exit
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = Config::read(&cli.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Arc::new(Gateway::new(&config)?);
        let generation = gateway.policy().current();
        let (digest, name) = (generation.policy().digest(), &generation.policy().manifest().name);
        if cli.check {
            let collections: Vec<&str> = config.collections.keys().map(String::as_str).collect();
            println!("policy {name}, {digest}");
            println!("tokens {:?}", config.tokens.algorithm);
            println!("collections {}", collections.join(", "));
            println!("listens at {}, in front of {}", config.listen, config.upstream.url);
            return Ok(());
        }
        let bind = async |address| TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"));
        let listener = bind(config.listen).await?;
        let figures = match config.metrics {
            None => None,
            Some(address) => Some(bind(address).await?),
        };
        tracing::info!(listen = %config.listen, upstream = config.upstream.url, policy = name, %digest, "serving");
        serve(Arc::clone(&gateway), listener, figures, stopped()).await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Waits for somebody to end this.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Logs to standard error, as much as `TAMIS_LOG` says.
fn log() {
    let wanted = std::env::var("TAMIS_LOG").unwrap_or_else(|_| LOGGED.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        eprintln!("TAMIS_LOG is not used: {error}");
        EnvFilter::new(LOGGED)
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
}
