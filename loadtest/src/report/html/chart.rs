//! A line chart as SVG, drawn here so that the page needs no script.

use std::borrow::Cow;
use std::fmt::Write;

use super::axis::Axis;
use super::markup::escaped;

/// Size of the drawing. It is scaled to the width of its card; at 390 px its letters are still 10 px high.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 224.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// Most places of one chart that show values under the pointer.
const SLOTS_MAX: usize = 100;

/// Lines over a common pair of axes.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// Parts of the x axis that were not measured.
    pub(super) shaded: Vec<(f64, f64)>,
}

/// Most points of a line as drawn: two for each unit of the drawing's width.
const POINTS_MAX: usize = 840;

/// One line. Where a point has no value the line is broken.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) label: String,
    /// Colour and dashes, as the style sheet names them.
    pub(super) class: &'static str,
    /// By rising x.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

impl Line {
    pub(super) fn new(
        label: &str,
        class: &'static str,
        points: impl IntoIterator<Item = (f64, Option<f64>)>,
    ) -> Self {
        let finite = |value: &f64| value.is_finite();
        let points = points.into_iter().filter(|(x, _)| finite(x));
        Self {
            label: label.to_owned(),
            class,
            points: points.map(|(x, y)| (x, y.filter(finite))).collect(),
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|(_, value)| *value)
    }
}

impl Chart {
    /// The chart with its title and legend; nothing when no line has a value.
    pub(super) fn markup(&self) -> String {
        let drawn: Vec<&Line> = self
            .lines
            .iter()
            .filter(|line| line.values().next().is_some())
            .collect();
        if drawn.is_empty() {
            return String::new();
        }
        let title = escaped(&self.title);
        let mut legend = String::new();
        for line in &drawn {
            let _ = write!(
                legend,
                "<li><svg class=\"key\" viewBox=\"0 0 22 8\" aria-hidden=\"true\">\
                 <path class=\"line {}\" d=\"M1 4H21\"/></svg>{}</li>",
                line.class,
                escaped(&line.label)
            );
        }
        format!(
            "<figure class=\"chart\"><figcaption>{title}</figcaption><ul class=\"legend\">{legend}</ul>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n{}{}{}{}</svg></figure>\n",
            self.shades(),
            self.grid(),
            drawn.iter().map(|line| self.line(line)).collect::<String>(),
            self.slots(&drawn)
        )
    }

    fn shades(&self) -> String {
        let shades = self.shaded.iter().map(|(from, to)| {
            let (from, to) = (self.across(*from), self.across(*to));
            rectangle("shade", from, to - from, "")
        });
        shades.collect()
    }

    fn grid(&self) -> String {
        let mut grid = String::new();
        for (position, text) in self.y.ticks() {
            let y = down(position);
            let _ = writeln!(
                grid,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 3.5,
                escaped(text)
            );
        }
        let bottom = HEIGHT - BOTTOM;
        for (position, text) in self.x.ticks() {
            let x = LEFT + position * (WIDTH - LEFT - RIGHT);
            let _ = writeln!(
                grid,
                "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v4\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                escaped(text)
            );
        }
        let _ = writeln!(
            grid,
            "<path class=\"axis\" d=\"M{LEFT} {bottom:.1}H{:.1}\"/>",
            WIDTH - RIGHT
        );
        grid
    }

    /// The line; a point without neighbours becomes a dot.
    fn line(&self, line: &Line) -> String {
        let (mut path, mut dots) = (String::new(), String::new());
        let points = thinned(&line.points);
        let value = |index: usize| points.get(index).and_then(|(_, value)| *value);
        for (index, (x, y)) in points.iter().enumerate() {
            let Some(y) = *y else { continue };
            let (x, y) = (self.across(*x), down(self.y.position(y)));
            let follows = index > 0 && value(index - 1).is_some();
            let _ = write!(path, "{}{x:.1} {y:.1}", if follows { 'L' } else { 'M' });
            if !follows && value(index + 1).is_none() {
                let class = line.class;
                let _ = writeln!(
                    dots,
                    "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
                );
            }
        }
        format!("<path class=\"line {}\" d=\"{path}\"/>\n{dots}", line.class)
    }

    /// Invisible columns that show all values at their place as a tooltip.
    fn slots(&self, lines: &[&Line]) -> String {
        let mut places: Vec<f64> = lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(x, _)| *x))
            .collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let every = places.len().div_ceil(SLOTS_MAX).max(1);
        let places: Vec<f64> = places.into_iter().step_by(every).collect();
        let mut slots = String::new();
        for (index, place) in places.iter().enumerate() {
            let here = self.across(*place);
            let half = |other: Option<&f64>, end: f64| match other {
                Some(other) => f64::midpoint(here, self.across(*other)),
                None => end,
            };
            let from = half(index.checked_sub(1).and_then(|i| places.get(i)), LEFT);
            let to = half(places.get(index + 1), WIDTH - RIGHT);
            let mut told = self.x.written(*place);
            for line in lines {
                let next = line.points.partition_point(|(x, _)| x < place);
                if let Some((_, Some(value))) = line.points.get(next) {
                    let _ = write!(told, "\n{}: {}", line.label, self.y.written(*value));
                }
            }
            slots += &rectangle("slot", from, to - from, &told);
        }
        slots
    }

    fn across(&self, value: f64) -> f64 {
        LEFT + self.x.position(value) * (WIDTH - LEFT - RIGHT)
    }
}

/// At most [`POINTS_MAX`] points. Of points that would lie on one another the lowest and the highest are kept, so that
/// no peak is lost.
fn thinned(points: &[(f64, Option<f64>)]) -> Cow<'_, [(f64, Option<f64>)]> {
    if points.len() <= POINTS_MAX {
        return Cow::Borrowed(points);
    }
    let mut kept = Vec::with_capacity(POINTS_MAX);
    for part in points.chunks(points.len().div_ceil(POINTS_MAX / 2)) {
        let mut valued: Vec<(f64, f64)> = part
            .iter()
            .filter_map(|(x, value)| Some((*x, (*value)?)))
            .collect();
        valued.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (Some(low), Some(high)) = (valued.first(), valued.last()) else {
            kept.extend(part.first());
            continue;
        };
        let (first, then) = if low.0 <= high.0 {
            (low, high)
        } else {
            (high, low)
        };
        kept.push((first.0, Some(first.1)));
        if valued.len() > 1 {
            kept.push((then.0, Some(then.1)));
        }
    }
    Cow::Owned(kept)
}

fn down(position: f64) -> f64 {
    HEIGHT - BOTTOM - position * (HEIGHT - TOP - BOTTOM)
}

/// A column as high as the chart, with a tooltip unless it is empty.
fn rectangle(class: &str, x: f64, width: f64, told: &str) -> String {
    let height = HEIGHT - TOP - BOTTOM;
    let told = match told {
        "" => String::new(),
        told => format!("<title>{}</title>", escaped(told)),
    };
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{height}\">{told}</rect>\n",
        width.max(0.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_thinned_and_keep_their_peaks() {
        let at = |index: u32| match index {
            7_001 => Some(99.0),
            7_002 => Some(-99.0),
            0..500 => None,
            _ => Some(f64::from(index % 3)),
        };
        let points: Vec<(f64, Option<f64>)> = (0..10_000)
            .map(|index| (f64::from(index), at(index)))
            .collect();
        let kept = thinned(&points);
        assert!(
            (POINTS_MAX / 2..=POINTS_MAX).contains(&kept.len()),
            "{}",
            kept.len()
        );
        assert!(kept.contains(&(7_001.0, Some(99.0))));
        assert!(kept.contains(&(7_002.0, Some(-99.0))));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
        assert_eq!(kept[0], (0.0, None));
        assert_eq!(thinned(&points[..800]).len(), 800);
    }
}
