//! Writes the figures of the last run into `benches/RESULTS.md` and `benches/COSTS.md`, and draws `benches/plots`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tamis_benches::figures::built;
use tamis_benches::machine;
use tamis_benches::report::{Data, costs, goals, plots, replace, tables};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = Data::read();
    assert!(!data.is_empty(), "there are no figures: run `./run bench` first");
    let searches = fs::read_to_string(built().join("retrieval.md")).unwrap_or_default();
    let machine = format!("{} {}", machine::describe(), machine::versions(folder));
    println!("{machine}");
    let plots = plots::all(&data, &folder.join("plots")).expect("plots can be drawn");
    let pictures = plots.iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "![{name}](plots/{name}.svg)\n");
        text
    });
    let results = folder.join("RESULTS.md");
    replace(&results, "goals", &goals::table(&data));
    replace(&results, "tables", &format!("{machine}\n\n{pictures}\n{}{searches}", tables::all(&data)));
    replace(&folder.join("COSTS.md"), "costs", &format!("{machine}\n\n{}", costs::text(&data)));
    println!("{} figures, {} plots: {}", data.len(), plots.len(), results.display());
}
