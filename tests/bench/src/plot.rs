//! The plot: what an object costs against how many there are.

use std::fmt::Write;

/// Width and height of a panel.
const PANEL: (f64, f64) = (340.0, 200.0);
/// Room for the labels: left, top, right, bottom.
const ROOM: (f64, f64, f64, f64) = (56.0, 34.0, 20.0, 34.0);
const COLOURS: [&str; 2] = ["#1f6feb", "#d1780e"];

/// A panel: one or two lines over the number of objects.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is shown, with its unit.
    pub title: String,
    /// The lines: a name, empty where there is but one, and the points.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// The panels as an SVG, two in a row. The number of objects is on a logarithmic scale.
pub fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2);
    let cell = (PANEL.0 + ROOM.0 + ROOM.2, PANEL.1 + ROOM.1 + ROOM.3);
    #[allow(clippy::cast_precision_loss, reason = "a handful of panels")]
    let (width, height) = (cell.0 * 2.0, cell.1 * rows as f64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "a handful of panels")]
        let (x, y) = ((number % 2) as f64 * cell.0 + ROOM.0, (number / 2) as f64 * cell.1 + ROOM.1);
        let _ = writeln!(text, "<g transform=\"translate({x:.0} {y:.0})\">");
        draw(&mut text, panel);
        text.push_str("</g>\n");
    }
    text + "</svg>\n"
}

fn draw(text: &mut String, panel: &Panel) {
    let points = || panel.lines.iter().flat_map(|(_, points)| points.iter().copied());
    let (least, most) =
        points().fold((f64::INFINITY, 1.0_f64), |(least, most), (x, _)| (least.min(x), most.max(x)));
    let top = scale_end(points().map(|(_, y)| y).fold(0.0, f64::max));
    let across =
        |x: f64| if most > least { (x / least).ln() / (most / least).ln() * PANEL.0 } else { PANEL.0 / 2.0 };
    let up = |y: f64| PANEL.1 * (1.0 - y / top);
    let _ = writeln!(
        text,
        "<text x=\"0\" y=\"-14\" font-size=\"13\" font-weight=\"bold\">{}</text>",
        panel.title
    );
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let y = up(value);
        let _ = writeln!(
            text,
            "<line x1=\"0\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#d8dee4\"/>",
            PANEL.0
        );
        let _ =
            writeln!(text, "<text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", y + 4.0, short(value));
    }
    let mut sizes: Vec<f64> = points().map(|(x, _)| x).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{size:.0}</text>",
            across(size),
            PANEL.1 + 18.0
        );
    }
    for (number, (name, points)) in panel.lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for point in &path {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
        }
        if !name.is_empty() {
            #[allow(clippy::cast_precision_loss, reason = "a handful of lines")]
            let y = 12.0 + 15.0 * number as f64;
            let _ = writeln!(
                text,
                "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
                PANEL.0 - 4.0
            );
        }
    }
}

/// A round number that is not below `value`, so that a quarter of it is short to write.
fn scale_end(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10.0_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|end| *end >= value)
        .unwrap_or(value)
}

fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number() {
        assert_eq!([0.0, 0.7, 3.2, 41.0, 100.0].map(scale_end).map(short), ["1", "0.8", "4", "60", "100"]);
        assert_eq!([0.5, 12.0, 0.0025].map(short), ["0.5", "12", "0.0025"]);
    }

    #[test]
    fn every_point_is_inside_its_panel() {
        let points = vec![(100.0, 1.0), (1_000.0, 2.0), (10_000.0, 4.0)];
        let text = svg(&[Panel {
            title: "t".to_owned(),
            lines: vec![("a".to_owned(), points.clone()), ("b".to_owned(), points)],
        }]);
        assert_eq!(text.matches("<circle").count(), 6);
        assert!(text.contains("points=\"0.0,150.0 170.0,100.0 340.0,0.0\""), "{text}");
        assert_eq!(svg(&[]).matches("<g ").count(), 0);
    }
}
