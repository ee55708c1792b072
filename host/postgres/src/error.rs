//! Errors as SQL has them: a code, a message, a detail, a hint.

use pgrx::PgLogLevel;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;

/// What ends a statement.
#[derive(Debug)]
pub(crate) struct Failure {
    code: PgSqlErrorCode,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: PgSqlErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None }
    }

    pub(crate) fn detail(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A policy that was to be loaded is refused. Whoever loads it reads everything.
    pub(crate) fn refused(error: &tamis_runtime::Error) -> Self {
        let hint = match error {
            tamis_runtime::Error::Source(_) => "`tamis check` says what is wrong, with the place.",
            tamis_runtime::Error::Artifact(_) => {
                "`tamis compile` and `tamis build` make components; `tamis inspect` shows what one is."
            }
            tamis_runtime::Error::Contract(_) => {
                "Compile it anew with the version of Tamis that this extension is of."
            }
            tamis_runtime::Error::Limit(_) | tamis_runtime::Error::Trap(_) => {
                "It must answer about an empty chunk, for a stranger, within its limits."
            }
            _ => "The server's log may say more.",
        };
        Self::new(code(error), "the policy was not loaded").detail(error).hint(hint)
    }

    /// A policy could not decide. Whoever asks learns no more than that: the reason can quote the policy and the request, and goes
    /// to the server's log and to who operates it.
    pub(crate) fn undecided(policy: &str, digest: &str, error: &tamis_runtime::Error) -> Self {
        Self::keep(policy, digest, error);
        Self::new(code(error), format!("policy \"{policy}\" could not decide"))
            .detail(format!("It failed by: {}. No row was let through.", error.kind()))
            .hint("The server's log has the reason.")
    }

    /// A policy that is stored as it was loaded, and that this version of the library takes for none.
    pub(crate) fn of_another_version(
        policy: &str,
        digest: &str,
        version: &str,
        error: &tamis_runtime::Error,
    ) -> Self {
        Self::keep(policy, digest, error);
        let message = format!(
            "policy \"{policy}\" was loaded by another version of Tamis than this, which is {version}"
        );
        Self::new(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .detail("It is stored as it was loaded, and cannot be run. No row was let through.")
            .hint("Install the library that it was loaded with, or load the policy again, compiled for this one.")
    }

    /// For who operates the server.
    fn keep(policy: &str, digest: &str, error: &tamis_runtime::Error) {
        crate::backend::keep_error(digest, &error.to_string());
        let log = Self::new(code(error), format!("policy \"{policy}\" could not decide: {error}"));
        log.report_at(PgLogLevel::LOG_SERVER_ONLY);
    }

    /// A plan that was kept is of another policy or request. It is made anew the next time.
    pub(crate) fn stale() -> Self {
        Self::new(
            PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
            "this statement was planned for another policy or request",
        )
        .detail("The policy was replaced between its planning and its execution. No row was let through.")
        .hint("Run the transaction again.")
    }

    fn report_at(self, level: PgLogLevel) {
        let mut report = ErrorReport::new(self.code, self.message, "tamis");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report.report(level);
    }

    /// Ends the statement.
    pub(crate) fn raise(self) -> ! {
        self.report_at(PgLogLevel::ERROR);
        unreachable!("an error does not return")
    }
}

/// Ends the statement if there is no result.
pub(crate) fn or_raise<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|failure| failure.raise())
}

fn code(error: &tamis_runtime::Error) -> PgSqlErrorCode {
    use tamis_runtime::Error;
    match error {
        Error::Source(_) => PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
        Error::Artifact(_) => PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
        Error::Contract(_) => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION,
        Error::Limit(_) => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Error::Trap(_) => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        Error::SelfTest(_) => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        _ => PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
    }
}
