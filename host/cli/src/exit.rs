//! Exit codes, which scripts rely on.

use std::process::ExitCode;

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// Some input could not be read; it was denied and reported, and the rest was done.
    PartlyUnreadable,
    /// The one decision that was asked for is a denial.
    Denied,
    /// A test failed, or what had to be tested was not, or a measurement exceeded its limit.
    TestFailed,
    /// The policies that were looked at are not fit to decide.
    Invalid,
}

const ERROR: u8 = 1;
const DENIED: u8 = 3;
const TEST_FAILED: u8 = 4;
const INVALID_POLICY: u8 = 5;

/// 0 done or allowed, 1 error, 3 denied, 4 a test failed, 5 invalid policy. Wrong usage is 2, from the argument parser.
pub(crate) fn code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::PartlyUnreadable) => ExitCode::from(ERROR),
        Ok(Outcome::Denied) => ExitCode::from(DENIED),
        Ok(Outcome::TestFailed) => ExitCode::from(TEST_FAILED),
        Ok(Outcome::Invalid) => ExitCode::from(INVALID_POLICY),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<tamis_compiler::Error>() {
                Some(tamis_compiler::Error::Source(problems)) => {
                    problems.0.iter().for_each(crate::source::show)
                }
                _ => crate::output::note!("error: {}", in_words(&error)),
            }
            ExitCode::from(if is_invalid_policy(&error) { INVALID_POLICY } else { ERROR })
        }
    }
}

/// The error and its causes, each said once.
fn in_words(error: &anyhow::Error) -> String {
    // SQLite says the same once more, with a number.
    let plain = |cause: &str| match cause.strip_prefix("Error code ").and_then(|rest| rest.split_once(": ")) {
        Some((_, rest)) => rest.to_owned(),
        None => cause.to_owned(),
    };
    let said =
        |text: String, cause: String| if text.contains(&plain(&cause)) { text } else { text + ": " + &cause };
    let text = error.chain().map(ToString::to_string).reduce(said).unwrap_or_default();
    text.lines().map(crate::output::printable).collect::<Vec<_>>().join("\n")
}

fn is_invalid_policy(error: &anyhow::Error) -> bool {
    use tamis_runtime::Error;
    if let Some(tamis_compiler::Error::Source(_)) = error.downcast_ref() {
        return true;
    }
    matches!(
        error.downcast_ref::<Error>(),
        Some(Error::Artifact(_) | Error::Contract(_) | Error::SelfTest(_))
    )
}

/// Whoever read the output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
