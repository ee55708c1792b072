//! What was tested, for people and for machines.

use anyhow::Result;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value as Json, json};

use super::coverage::Coverage;
use super::{FileRan, Ran};
use crate::output::{self, dim, green, line, red};

pub(super) fn text(files: &[FileRan]) -> Result<()> {
    for file in files {
        line(&output::bold(&file.path.display().to_string()))?;
        for test in &file.tests {
            let decisions = dim(&format!("{} decisions", test.decisions));
            if test.failures.is_empty() {
                line(&format!("  {}    {}  {decisions}", green("ok"), test.name))?;
            } else {
                line(&format!("  {}  {}", red("FAIL"), test.name))?;
                for failure in &test.failures {
                    line(&format!("        {failure}"))?;
                }
            }
        }
        if let Some(coverage) = &file.coverage {
            let ((applied, policies), (reached, outcomes)) = (coverage.policies(), coverage.outcomes());
            line(&format!(
                "  {applied} of {policies} policies applied, {reached} of {outcomes} outcomes of conditions reached"
            ))?;
            for gap in coverage.gaps() {
                line(&format!("        {gap}"))?;
            }
        }
    }
    let failed = files.iter().flat_map(|file| &file.tests).filter(|test| !test.failures.is_empty()).count();
    let all = files.iter().map(|file| file.tests.len()).sum::<usize>();
    line(&format!("{} passed, {failed} failed", all - failed))
}

pub(super) fn json(files: &[FileRan]) -> Result<()> {
    let test = |test: &Ran| json!({"name": test.name, "passed": test.failures.is_empty(), "decisions": test.decisions, "failures": test.failures});
    let file = |file: &FileRan| {
        json!({
            "file": file.path.display().to_string(),
            "tests": file.tests.iter().map(test).collect::<Vec<_>>(),
            "coverage": file.coverage.as_ref().map(coverage_json),
        })
    };
    output::json_line(&json!({"files": files.iter().map(file).collect::<Vec<_>>()}))
}

fn coverage_json(coverage: &Coverage) -> Json {
    let ((applied, policies), (reached, outcomes)) = (coverage.policies(), coverage.outcomes());
    let branches: Vec<Json> = coverage
        .branches
        .iter()
        .map(|(branch, reached)| json!({"policy": branch.policy, "condition": branch.text, "true": reached.yes, "false": reached.no}))
        .collect();
    json!({"policies": policies, "applied": applied, "outcomes": outcomes, "reached": reached, "branches": branches})
}

pub(super) fn junit(files: &[FileRan]) -> Result<()> {
    let mut report = Report::new("tamis test");
    for file in files {
        let mut suite = TestSuite::new(file.path.display().to_string());
        for test in &file.tests {
            let mut status = TestCaseStatus::success();
            if !test.failures.is_empty() {
                status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(test.failures.join("\n"));
            }
            suite.add_test_case(TestCase::new(test.name.clone(), status));
        }
        report.add_test_suite(suite);
    }
    line(report.to_string()?.trim_end())
}
