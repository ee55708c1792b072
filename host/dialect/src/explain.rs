//! For people: what a database is asked for, and what is left to the filter gate.

use serde_json::Value as Json;
use tamis_core::decision::path_text;
use tamis_core::{Filter, Rewrite};

use crate::Translation;

/// Says in words what a rewrite pushes down, and what it leaves to the filter gate and why; with the name of a dialect and what the filter
/// is in it, also that.
pub fn explain(rewrite: &Rewrite, native: Option<(&str, &Translation<Json>)>) -> String {
    let exact = rewrite.exact && native.is_none_or(|(_, translation)| translation.is_exact());
    let mut text = match &*rewrite.filter {
        Filter::Always => "The search is not narrowed.\n".to_owned(),
        Filter::Never => "Nothing can be allowed, so there is nothing to search.\n".to_owned(),
        filter => format!("The search looks only at chunks where\n  {filter}\n"),
    };
    if let Some((dialect, translation)) = native {
        text += &format!("In {dialect}:\n  {}\n", translation.native);
    }
    if exact {
        text += "The filter is exact: it matches what is allowed and nothing else. The filter gate checks all the same.\n";
    } else {
        text += "The filter matches more than is allowed; the filter gate decides on what it lets through:\n";
        if !rewrite.exact {
            let partial: Vec<String> = rewrite.partial.iter().map(|rule| format!("`{rule}`")).collect();
            match partial.len() {
                0 => text += "  by the policy: what it allows is not all a filter can say\n",
                _ => text += &format!("  by the policy: no filter can say all of {}\n", partial.join(", ")),
            }
        }
        if let Some((dialect, translation)) = native {
            for left_out in &translation.widened {
                text += &format!("  by {dialect}: {left_out}\n");
            }
        }
    }
    let needs: Vec<String> = rewrite.needs.iter().map(|attribute| path_text(&attribute.path)).collect();
    if needs.is_empty() {
        text += "The filter gate needs no attribute of the chunks.";
    } else {
        text += &format!("The filter gate needs back: {}", needs.join(", "));
    }
    text
}
