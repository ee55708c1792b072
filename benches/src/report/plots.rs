//! Plots as SVG: what decisions cost, and what grows with what.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Data, distinct};
use crate::figures::{Unit, show};

const SIZE: (u32, u32) = (920, 480);
/// One way is drawn in these colours whatever else is in a plot: Tamis stands out.
const TAMIS: [RGBColor; 4] =
    [RGBColor(192, 57, 43), RGBColor(230, 126, 34), RGBColor(241, 166, 58), RGBColor(150, 40, 90)];
const OTHERS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(44, 62, 80),
    RGBColor(41, 128, 185),
    RGBColor(39, 124, 84),
    RGBColor(127, 140, 141),
    RGBColor(109, 76, 150),
    RGBColor(26, 148, 148),
];
const INK: RGBColor = RGBColor(50, 50, 50);
/// Behind everything, so that the text can be read on a dark page too.
const PAPER: RGBColor = WHITE;

type Outcome = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Plots over numbers: the file, the group, what the numbers are, and rows if not all.
const LINES: [(&str, &str, &str, &[&str]); 6] = [
    (
        "batches",
        "decide, ten policies",
        "chunks in a call",
        &[
            "native, struct",
            "native, JSON map",
            "tamis, coded",
            "tamis, JSON map",
            "tamis, JSON text",
            "cedar-policy",
            "regorus, virtual machine",
            "OPA, WASM",
            "OPA, library",
            "SQLite, JSON column",
        ],
    ),
    ("chunks", "scaling with chunks, each", "chunks in a call", &[]),
    (
        "policies",
        "scaling with policies, ten live",
        "policies",
        &["each chunk, JSON map", "each chunk, coded", "preparing a request", "rewrite, new request"],
    ),
    ("groups", "scaling with the subject's groups", "groups of the subject", &[]),
    ("attributes", "scaling with attributes read", "attributes that the policy reads", &[]),
    ("compile", "compile, Cedar policies", "policies", &[]),
];

/// Draws all plots for which there are figures into `folder`, and names them.
///
/// # Errors
/// If one cannot be drawn or written.
pub fn all(data: &Data, folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let mut drawn = Vec::new();
    let bars = bars(data);
    if !bars.is_empty() {
        draw_bars(&folder.join("decide.svg"), &bars)?;
        drawn.push("decide".to_owned());
    }
    for (name, group, over, rows) in LINES {
        let all = distinct(data.group(group).into_iter().map(|figure| figure.row.as_str()));
        let rows = if rows.is_empty() { all } else { rows.to_vec() };
        let lines: Vec<(&str, Vec<(f64, f64)>)> = rows
            .into_iter()
            .map(|row| (row, data.line(group, row)))
            .filter(|(_, line)| line.len() > 1)
            .collect();
        if !lines.is_empty() {
            draw_lines(&folder.join(format!("{name}.svg")), group, over, &lines)?;
            drawn.push(name.to_owned());
        }
    }
    Ok(drawn)
}

/// Each way at a hundred chunks, the fastest first.
fn bars(data: &Data) -> Vec<(String, f64)> {
    let group = data.group("decide, ten policies").into_iter();
    let mut bars: Vec<(String, f64)> = group
        .filter(|figure| figure.column == "100")
        .map(|figure| (figure.row.clone(), figure.value))
        .collect();
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    bars
}

fn draw_bars(path: &Path, bars: &[(String, f64)]) -> Outcome {
    let height = 60 + 22 * u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (SIZE.0, height)).into_drawing_area();
    area.fill(&PAPER)?;
    text(
        &area,
        "one decision, batches of 100 chunks, ten policies (logarithmic)",
        (SIZE.0 / 2, 12),
        16,
        TextAlign::Middle,
    )?;
    let (left, right) = (250.0, f64::from(SIZE.0) - 90.0);
    let (low, high) =
        bars.iter().fold((f64::MAX, 0.0_f64), |(low, high), bar| (low.min(bar.1), high.max(bar.1)));
    let (low, high) = ((low / 2.0).log10(), high.log10());
    for (number, (name, value)) in bars.iter().enumerate() {
        let top = 40 + 22 * i32::try_from(number)?;
        let to = left + (value.log10() - low) / (high - low).max(f64::EPSILON) * (right - left);
        let colour = if name.starts_with("tamis") { TAMIS[0] } else { OTHERS[4] };
        area.draw(&Rectangle::new([(left as i32, top), (to as i32, top + 15)], colour.filled()))?;
        text(&area, name, (left as u32 - 8, top as u32 + 2), 13, TextAlign::End)?;
        text(&area, &show(*value, Unit::Time), (to as u32 + 6, top as u32 + 2), 13, TextAlign::Start)?;
    }
    Ok(area.present()?)
}

/// Where a text stands relative to its place.
#[derive(Clone, Copy)]
enum TextAlign {
    Start,
    Middle,
    End,
}

fn text(area: &Area<'_>, said: &str, at: (u32, u32), size: u32, align: TextAlign) -> Outcome {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let horizontal = match align {
        TextAlign::Start => HPos::Left,
        TextAlign::Middle => HPos::Center,
        TextAlign::End => HPos::Right,
    };
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Top));
    area.draw(&Text::new(said.to_owned(), (i32::try_from(at.0)?, i32::try_from(at.1)?), style))?;
    Ok(())
}

fn draw_lines(path: &Path, title: &str, over: &str, lines: &[(&str, Vec<(f64, f64)>)]) -> Outcome {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&PAPER)?;
    text(&area, title, (SIZE.0 / 2, 10), 16, TextAlign::Middle)?;
    let (plot, legend) = area.split_horizontally(SIZE.0 - 250);
    let points = || lines.iter().flat_map(|(_, line)| line);
    let span = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (left, right) = span(|point| point.0);
    let (low, high) = span(|point| point.1);
    let mut chart = ChartBuilder::on(&plot)
        .margin_top(36)
        .margin_right(10)
        .x_label_area_size(40)
        .y_label_area_size(78)
        .build_cartesian_2d(
            (left..right).log_scale(),
            (decade(low, f64::floor)..decade(high, f64::ceil)).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.15))
        .x_desc(over)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| show(*value, Unit::Time))
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .draw()?;
    let mut order: Vec<&(&str, Vec<(f64, f64)>)> = lines.iter().collect();
    order.sort_by(|a, b| last(&b.1).total_cmp(&last(&a.1)));
    let (mut ours, mut theirs) = (TAMIS.iter().cycle(), OTHERS.iter().cycle());
    for (number, (name, line)) in order.into_iter().enumerate() {
        let our = name.starts_with("tamis") || lines.iter().all(|(name, _)| !name.starts_with("tamis"));
        let colour = if our { ours.next() } else { theirs.next() }.unwrap_or(&INK);
        let style = colour.stroke_width(if our { 3 } else { 2 });
        chart.draw_series(LineSeries::new(line.iter().copied(), style))?;
        let top = 44 + 20 * i32::try_from(number)?;
        legend.draw(&PathElement::new([(4, top + 7), (26, top + 7)], style))?;
        text(
            &legend,
            if name.is_empty() { title } else { name },
            (32, u32::try_from(top)?),
            12,
            TextAlign::Start,
        )?;
    }
    Ok(area.present()?)
}

/// The power of ten next to a number: axes from one to another have a label at each.
fn decade(value: f64, round: fn(f64) -> f64) -> f64 {
    10_f64.powf(round(value.log10()))
}

fn last(line: &[(f64, f64)]) -> f64 {
    line.last().map_or(0.0, |point| point.1)
}
