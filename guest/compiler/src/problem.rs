//! What is wrong with a source text, where, and what to do: diagnostics that point into it.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity};

/// A source text with its name, shared by all that points into it.
pub type SourceText = Arc<NamedSource<Arc<str>>>;

/// One error or warning, with its places in a source text.
#[derive(Clone)]
pub struct Problem {
    message: String,
    help: Option<String>,
    labels: Vec<LabeledSpan>,
    severity: Severity,
    source: SourceText,
}

impl Problem {
    /// An error in `source`.
    pub(crate) fn error(source: &SourceText, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            labels: Vec::new(),
            severity: Severity::Error,
            source: Arc::clone(source),
        }
    }

    /// A warning in `source`.
    pub(crate) fn warning(source: &SourceText, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(source, message) }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a place: `size` bytes from byte `at`.
    #[must_use]
    pub(crate) fn at(mut self, at: usize, size: usize) -> Self {
        self.labels.push(LabeledSpan::new(None, at, size));
        self
    }

    /// What Cedar reports about `source`: the diagnostic itself, or those that it consists of.
    pub(crate) fn of_cedar(
        source: &SourceText,
        severity: Severity,
        diagnostic: &dyn Diagnostic,
    ) -> Vec<Self> {
        let mut message = diagnostic.to_string();
        let mut cause = std::error::Error::source(diagnostic);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        let itself = Self {
            message,
            help: diagnostic.help().map(|help| help.to_string()),
            labels: diagnostic.labels().into_iter().flatten().collect(),
            severity,
            source: Arc::clone(source),
        };
        let related = diagnostic.related().into_iter().flatten();
        std::iter::once(itself)
            .chain(related.flat_map(|inner| Self::of_cedar(source, severity, inner)))
            .collect()
    }

    /// What to do about it, if there is something to say.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Whether it is a warning only.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// Line and column of its first place, from 1; `None` if it concerns the source as a whole.
    pub fn place(&self) -> Option<(usize, usize)> {
        let at = self.labels.first()?.offset();
        let before = self.source.inner().get(..at)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Some((line, column))
    }

    /// The name of the source text that it is about.
    pub fn source_name(&self) -> &str {
        self.source.name()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.source_name(), self.message),
            None => write!(f, "{}: {}", self.source_name(), self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() { None } else { Some(Box::new(self.labels.iter().cloned())) }
    }
}

/// Why policies could not be compiled: every error that was found, and the warnings.
#[derive(Debug, thiserror::Error)]
#[error("{}", Self::summary(.0))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    fn summary(problems: &[Problem]) -> String {
        let lines: Vec<String> =
            problems.iter().filter(|p| !p.is_warning()).map(|p| format!("{p:?}")).collect();
        lines.join("\n")
    }
}
