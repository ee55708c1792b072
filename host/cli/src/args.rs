//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// One access policy, compiled to WebAssembly, decides what may leave a vector database.
///
/// A policy component answers three questions: may this chunk be stored (index), which chunks can this request
/// possibly read (rewrite), may this chunk be handed out (filter). Data goes to standard output, everything else to
/// standard error; TAMIS_LOG=info shows more.
///
/// Exit codes: 0 done or allowed, 1 error, 2 wrong usage, 3 denied (`eval` of one line), 4 a test failed or a limit of `bench` was exceeded,
/// 5 invalid policy.
#[derive(Debug, Parser)]
#[command(name = "tamis", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: real documents, several people, one question, and a policy swapped while queries run
    Demo(DemoArgs),
    /// Show what a policy component is: contract version, digest, footprint, rules
    Inspect(InspectArgs),
    /// Decide which chunks a request may read
    Filter(FilterArgs),
    /// Decide whole questions, one per line, each with its own resource
    Eval(EvalArgs),
    /// Show the filter that narrows a search for a request
    Rewrite(RewriteArgs),
    /// List the chunks that a filter matches, by the reference evaluator
    ///
    /// One id on each line. An id with a line break or another control character, or that begins with a quotation mark, is written as a JSON
    /// string.
    Match(MatchArgs),
    /// Store chunks in a database, through the admit gate
    Index(IndexArgs),
    /// Search a database, through all gates
    Search(SearchArgs),
    /// Measure what a policy costs per chunk
    Bench(BenchArgs),
    /// Compile Cedar policies to a policy component
    Compile(CompileArgs),
    /// Look for what is wrong with Cedar policies, and for what is probably not meant
    Check(CheckArgs),
    /// Run tests of a policy: requests and chunks with what is expected, and what the tests did not reach
    Test(TestArgs),
    /// Build a policy component from a Rust crate or a core module
    Build(BuildArgs),
}

/// Which policy decides, and what it may use up.
#[derive(Args, Debug)]
pub(crate) struct PolicyArgs {
    /// The policy: a component (.wasm), or Cedar policies (.cedar, or .json in Cedar's JSON form), which are compiled on the fly
    #[arg(long, value_name = "P")]
    pub(crate) policy: PathBuf,
    /// The schema that Cedar policies are compiled with, in either of Cedar's syntaxes
    #[arg(long, value_name = "S.cedarschema")]
    pub(crate) schema: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

/// Which policy is asked, and for whom.
#[derive(Args, Debug)]
pub(crate) struct AskedArgs {
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Who asks: {"subject":{"type","id","properties","parents"},"actor":[…],"action":{"name"},"context","entities"}
    #[arg(long, value_name = "R.json")]
    pub(crate) request: PathBuf,
}

/// Where chunks come from.
#[derive(Args, Debug)]
pub(crate) struct ChunksArgs {
    /// Chunks, one JSON object a line: {"id","attributes","parents","text","vector"}; standard input if not given
    #[arg(long, value_name = "C.jsonl")]
    pub(crate) chunks: Option<PathBuf>,
}

/// How policies are run.
#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// Stop the policy when one batch or rewrite takes longer than this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) deadline: u64,
    /// Compile the policy even if this user's cache has it
    #[arg(long)]
    pub(crate) no_cache: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For machines
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The component, or Cedar policies
    #[arg(value_name = "P")]
    pub(crate) policy: PathBuf,
    /// The schema that Cedar policies are compiled with
    #[arg(long, value_name = "S.cedarschema")]
    pub(crate) schema: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    #[command(flatten)]
    pub(crate) chunks: ChunksArgs,
    /// One line for every chunk with the decision, the rules that decided and the rules that failed
    #[arg(long)]
    pub(crate) explain: bool,
    /// How to print the counts on standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Entities for every request, as Cedar writes them: a JSON array of {"uid","attrs","parents","tags"}
    #[arg(long, value_name = "E.json")]
    pub(crate) entities: Option<PathBuf>,
    /// Questions, one JSON object a line: AuthZEN (subject, action, resource, context) or Cedar (principal, action,
    /// resource, context); standard input if not given
    #[arg(long, value_name = "Q.jsonl")]
    pub(crate) requests: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RewriteArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// The language of the filter: `ast` for the filter itself in its public JSON form, or a database's own
    #[arg(long, value_name = "DIALECT", value_parser = dialects(), default_value = "ast", hide_default_value = true)]
    pub(crate) emit: String,
    /// Where the collection keeps attributes, type, id and ancestors, and whether every chunk in it passed the admit gate: JSON
    #[arg(long, value_name = "FIELDS.json")]
    pub(crate) fields: Option<PathBuf>,
    /// Say in words what the database is asked for, what is left to the filter gate, and why
    #[arg(long)]
    pub(crate) explain: bool,
    /// How many chunks are wanted; a policy can see it
    #[arg(short, long, default_value_t = 10)]
    pub(crate) k: u32,
    /// The name of the collection; a policy can see it
    #[arg(long, default_value = "")]
    pub(crate) collection: String,
}

fn dialects() -> clap::builder::PossibleValuesParser {
    std::iter::once(&"ast").chain(tamis_dialect::NAMES).into()
}

#[derive(Args, Debug)]
pub(crate) struct MatchArgs {
    /// A filter, or the whole output of `tamis rewrite --emit ast`
    #[arg(long, value_name = "F.json")]
    pub(crate) filter: PathBuf,
    #[command(flatten)]
    pub(crate) chunks: ChunksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct IndexArgs {
    /// The database; made if there is none
    #[arg(long, value_name = "D.sqlite")]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Who stores; the action is `index`, whatever the file says
    #[arg(long, value_name = "R.json")]
    pub(crate) request: PathBuf,
    #[command(flatten)]
    pub(crate) chunks: ChunksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SearchArgs {
    /// The database
    #[arg(long, value_name = "D.sqlite")]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    #[command(flatten)]
    pub(crate) by: ByArgs,
    /// How many chunks are wanted
    #[arg(short, long, default_value_t = 10)]
    pub(crate) k: u32,
    /// The user's own filter, which can only narrow what the policy allows
    #[arg(long, value_name = "F.json")]
    pub(crate) filter: Option<PathBuf>,
    /// How many candidates may be looked at
    #[arg(long, default_value_t = 100_000)]
    pub(crate) budget: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ByArgs {
    /// Rank by nearness to a vector: a file with a JSON array of numbers
    #[arg(long, value_name = "V.json")]
    pub(crate) vector: Option<PathBuf>,
    /// Rank by words in common with a text
    #[arg(long)]
    pub(crate) text: Option<String>,
}

/// Follows the options in `tamis bench --help`.
const BENCH: &str = "\
Times are of this machine and this moment; instructions are those that the policy runs, and the same everywhere. For CI, save
a run with the policy that serves, and compare each change with it:

  tamis bench --policy old.cedar --request r.json --chunks c.jsonl --save served.json
  tamis bench --policy new.cedar --request r.json --chunks c.jsonl --compare served.json --fail-over 10% --judge instructions";

#[derive(Args, Debug)]
#[command(after_long_help = BENCH)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    #[command(flatten)]
    pub(crate) chunks: ChunksArgs,
    /// Chunks per call; 1, 10, 100 and 1000 if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: Option<u32>,
    /// How long each measurement goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 0.7, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Keep this run, to compare later ones with
    #[arg(long, value_name = "RUN.json")]
    pub(crate) save: Option<PathBuf>,
    /// Show what changed since a run that was kept; it may be the file that --save replaces
    #[arg(long, value_name = "RUN.json")]
    pub(crate) compare: Option<PathBuf>,
    /// Exit with 4 if something takes more than this much longer than in the run to compare with, beyond the noise
    #[arg(long, value_name = "PERCENT", requires = "compare", value_parser = percent)]
    pub(crate) fail_over: Option<f64>,
    /// What --fail-over looks at
    #[arg(long, value_enum, default_value_t = Judge::Both, requires = "fail_over")]
    pub(crate) judge: Judge,
    /// Exit with 4 if a chunk of the largest batch takes longer than this, in the median
    #[arg(long, value_name = "NANOSECONDS", value_parser = not_negative)]
    pub(crate) max_ns: Option<f64>,
    /// Exit with 4 if the policy runs more instructions than this for a chunk of the largest batch
    #[arg(long, value_name = "N", value_parser = not_negative)]
    pub(crate) max_instructions: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What makes a run of `bench` too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Judge {
    /// Medians of time
    Time,
    /// What the policy runs, which does not depend on the machine
    Instructions,
    /// Either
    Both,
}

/// `10` or `10%`.
fn percent(text: &str) -> Result<f64, String> {
    not_negative(text.strip_suffix('%').unwrap_or(text).trim_end())
}

fn seconds(text: &str) -> Result<f64, String> {
    not_negative(text)
        .and_then(|number| if number <= 600.0 { Ok(number) } else { Err("600 seconds at most".to_owned()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..f64::MAX).contains(&number) => Ok(number),
        _ => Err("a number that is not negative is wanted".to_owned()),
    }
}

#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// Policies in Cedar's own syntax (.cedar) or its JSON form (.json)
    #[arg(value_name = "POLICY.cedar")]
    pub(crate) source: PathBuf,
    /// What entities, actions and chunks look like, in either of Cedar's syntaxes: the policies are validated against it, and
    /// metadata is read by the types that it declares
    #[arg(long, value_name = "S.cedarschema")]
    pub(crate) schema: Option<PathBuf>,
    /// Where the component goes
    #[arg(short, long, value_name = "P.wasm")]
    pub(crate) output: PathBuf,
    /// Compile even what does not validate: a rule fails where it meets a value of another type
    #[arg(long)]
    pub(crate) no_validate: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Policies in Cedar's own syntax (.cedar) or its JSON form (.json)
    #[arg(value_name = "POLICY.cedar")]
    pub(crate) source: PathBuf,
    /// The schema to validate against
    #[arg(long, value_name = "S.cedarschema")]
    pub(crate) schema: Option<PathBuf>,
    /// Let warnings fail the check too
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Follows the options in `tamis test --help`.
const TEST: &str = "\
A file of tests is YAML:

  policy: policy.cedar            # beside the file; or --policy
  schema: policy.cedarschema      # or --schema
  requests:
    alice: {subject: {type: User, id: alice, properties: {clearance: 2}}, action: {name: retrieve}}
  chunks:
    plan: {attributes: {level: 1}}
    merger: {attributes: {level: 3}}
  tests:
    - name: people read what their clearance allows
      request: alice
      expect: {plan: allow, merger: {decision: deny, reasons: []}}

An expectation is `allow`, `deny`, or a mapping with `decision` and any of `reasons`, `errors` and `redact`.";

#[derive(Args, Debug)]
#[command(after_long_help = TEST)]
pub(crate) struct TestArgs {
    /// Files of tests
    #[arg(required = true, value_name = "TESTS.yaml")]
    pub(crate) files: Vec<PathBuf>,
    /// The policy to test, instead of the one that the file names
    #[arg(long, value_name = "P")]
    pub(crate) policy: Option<PathBuf>,
    /// The schema, instead of the one that the file names
    #[arg(long, value_name = "S.cedarschema")]
    pub(crate) schema: Option<PathBuf>,
    /// Fail as well if some policy never applied, or some condition was not both true and false
    #[arg(long)]
    pub(crate) require_coverage: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = TestFormat::Text)]
    pub(crate) format: TestFormat,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    /// For people
    Text,
    /// For machines
    Json,
    /// For CI systems
    Junit,
}

#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// The folder of a Rust crate that uses tamis-sdk, or a core module (.wasm) that implements the contract
    #[arg(value_name = "CRATE | MODULE.wasm")]
    pub(crate) source: PathBuf,
    /// Where the component goes
    #[arg(short, long, value_name = "P.wasm")]
    pub(crate) output: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Keep the database, the policy, its schema and the requests in this folder, to try the other commands on
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Which question to ask: 1 to 24, or your own words
    #[arg(long, value_name = "N | TEXT", default_value = "24")]
    pub(crate) question: String,
}
