//! The progress bar of an indexing pass. Drawn only where stderr is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::index::Summary;

/// A bar for listening to a list of files.
pub fn listening(files: u64) -> PassBar {
    let bar = PassBar::new();
    bar.planned(files);
    bar
}

/// A bar for a pass: first a spinner for the walk, then files, rate and time left.
pub struct PassBar(ProgressBar);

impl PassBar {
    /// A bar that says that the archive is being walked.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_message("looking for samples");
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// A bar for work of which nobody knows how much there is.
    pub fn unmeasured() -> Self {
        let bar = Self::new();
        bar.0.set_message("");
        if let Ok(style) = ProgressStyle::with_template("{spinner} listening {human_pos} files  {per_sec}") {
            bar.0.set_style(style);
        }
        bar
    }

    /// So many files are to be heard.
    pub fn planned(&self, todo: u64) {
        self.counting("listening", todo);
    }

    /// So many files are to be worked on; `doing` says how.
    pub fn counting(&self, doing: &str, todo: u64) {
        self.counting_of(doing, "files", todo);
    }

    /// The same of something else.
    pub fn counting_of(&self, doing: &str, what: &'static str, todo: u64) {
        let template = format!("{{spinner}} {doing} [{{bar:30}}] {{human_pos}}/{{human_len}}  {{rate}}  {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            let rate = move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                // A rate that can't be drawn is left out.
                let _ = write!(text, "{:.0} {what}/s", state.per_sec());
            };
            self.0.set_style(style.with_key("rate", rate).progress_chars("=> "));
        }
        self.0.set_length(todo);
        self.0.set_position(0);
        self.0.reset_eta();
    }

    /// So many more were heard.
    pub fn heard(&self, count: u64) {
        self.0.inc(count);
    }

    /// The pass has ended.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A bar for reading files.
pub fn reading() -> ReadBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} reading [{bar:30}] {human_pos}/{human_len}  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    ReadBar(bar)
}

/// See [`reading`].
pub struct ReadBar(ProgressBar);

impl ReadBar {
    /// So many were read, of so many.
    pub fn at(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// All were.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A count of what goes by, of which nobody knows how much there is.
pub struct Counting(ProgressBar, std::cell::Cell<u64>);

impl Counting {
    /// Of so-and-so many of these.
    pub fn new(what: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {what}")) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar, std::cell::Cell::new(0))
    }

    /// So many more.
    pub fn more(&self, count: u64) {
        const STEP: u64 = 512;
        self.1.set(self.1.get() + count);
        if self.1.get() >= STEP {
            self.0.inc(self.1.take());
        }
    }

    /// That was all.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// What a pass found, in sentences.
pub fn sentences(summary: &Summary) -> Vec<String> {
    let mut said = Vec::new();
    let rate = summary.heard as f64 / summary.elapsed.saturating_sub(summary.elapsed_walk).as_secs_f64().max(0.001);
    said.push(match summary.heard {
        0 => format!("{} samples, all of them known ({:.2} s)", summary.found, summary.elapsed.as_secs_f64()),
        heard => format!(
            "{} samples: {heard} heard in {:.1} s ({rate:.0} files/s), {} known already",
            summary.found,
            summary.elapsed.as_secs_f64(),
            summary.unchanged
        ),
    });
    if summary.duplicates > 0 {
        said.push(format!("{} have the same content as another, which was heard once", summary.duplicates));
    }
    if summary.failed_total() > 0 {
        let mut kinds: Vec<_> = summary.failed.iter().collect();
        kinds.sort();
        let kinds: Vec<_> = kinds.into_iter().map(|(status, count)| format!("{count} {}", status.name())).collect();
        said.push(format!("could not be classified: {} (they are in misc/ and _errors.txt)", kinds.join(", ")));
    }
    if summary.gone > 0 && !summary.mostly_absent {
        said.push(format!("{} samples known before are not there any more", summary.gone));
    }
    if summary.skipped.links + summary.skipped.special > 0 {
        said.push(format!(
            "passed over: {} symbolic links, {} FIFOs and devices",
            summary.skipped.links, summary.skipped.special
        ));
    }
    said.extend(summary.problems.iter().map(|problem| format!("could not be looked at: {problem}")));
    if summary.interrupted {
        said.push("stopped before the end; the next run goes on from here".to_owned());
    }
    said
}
