//! Where samples go: properties over generated rules and samples, a reference model, and the cases people ask about.

use std::collections::BTreeMap;

use drumfs::index::Status;
use drumfs::rules::{FolderId, Reason, Router, Rules, Subject, Verdict, Vocabulary, diff};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::generate::{Sample, rules_text, sample};

fn router(text: &str) -> Router {
    let drums = Vocabulary::drums();
    Router::new(&Rules::parse(text, &drums).unwrap_or_else(|error| panic!("{error}\n{text}")), &drums)
}

/// A classified sample with these fine probabilities; what is left over is spread evenly.
fn heard(path: &str, peaks: &[(&str, f32)]) -> Sample {
    let drums = Vocabulary::drums();
    let rest = 1.0 - peaks.iter().map(|(_, p)| p).sum::<f32>();
    let mut probs = vec![rest / (drums.fine().len() - peaks.len()) as f32; drums.fine().len()];
    for (label, p) in peaks {
        probs[usize::from(drums.index_of(label).unwrap())] = *p;
    }
    Sample {
        path: path.as_bytes().to_vec(),
        size: 1000,
        status: Status::Ok,
        attributes: None,
        probs,
        override_label: None,
        gate_refused: false,
    }
}

/// Folder and reason.
fn goes(router: &Router, sample: &Sample) -> (String, Reason) {
    let verdict = router.route(&sample.subject());
    let folder = if verdict.is_hidden() { String::new() } else { router.folder_name(verdict.folder).to_owned() };
    (folder, verdict.reason)
}

fn to(folder: &str, reason: Reason) -> (String, Reason) {
    (folder.to_owned(), reason)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sample_gets_one_folder_or_is_hidden(text in rules_text(), samples in vec(sample(), 1..20)) {
        let (first, second) = (router(&text), router(&text));
        for sample in &samples {
            let verdict = first.route(&sample.subject());
            prop_assert!(verdict.is_hidden() || usize::from(verdict.folder) < first.folders().len());
            prop_assert!((0.0..=1.0).contains(&verdict.confidence), "{verdict:?}");
            prop_assert!((0.0..=1.0).contains(&verdict.margin), "{verdict:?}");
            prop_assert!(verdict.label.is_none_or(|label| usize::from(label) < first.labels().len()));
            // Deterministic, whichever router and thread is asked.
            let again = std::thread::scope(|scope| scope.spawn(|| second.route(&sample.subject())).join().unwrap());
            prop_assert_eq!(format!("{verdict:?}"), format!("{again:?}"));
            let explanation = first.explain(&sample.subject());
            prop_assert_eq!(explanation.reason, verdict.reason);
            prop_assert_eq!(explanation.stages.iter().filter(|stage| stage.decided).count(), 1);
            prop_assert_eq!(explanation.routes.iter().position(|route| route.matched), verdict.route.map(usize::from));
            prop_assert!(!explanation.to_string().is_empty());
        }
    }

    #[test]
    fn raising_a_threshold_adds_nothing_to_its_folder(
        samples in vec(sample(), 1..40),
        label in select(vec!["Kick", "Snare", "Crash"]),
        low in 0.0f32..1.0,
        more in 0.0f32..1.0,
        names in select(vec!["ignore", "tiebreak", "trust"]),
    ) {
        let rules = |threshold: f32| router(&format!("thresholds: {{{label}: {threshold}}}\nnames: {names}\n"));
        let (before, after) = (rules(low), rules((low + more).min(1.0)));
        for sample in &samples {
            if goes(&after, sample).0 == label {
                prop_assert_eq!(goes(&before, sample).0, label);
            }
        }
    }

    #[test]
    fn a_route_that_hides_beats_everything(mut sample in sample(), word in select(vec!["Kick", "misc"])) {
        sample.override_label = Some(word.to_owned());
        let hiding = router("routes: [{size: \">= 0\", hide: true}, {size: \">= 0\", to: Loops}]\n");
        prop_assert_eq!(goes(&hiding, &sample).1, Reason::Hidden);
    }

    #[test]
    fn the_verdict_is_that_of_the_reference(config in config(), samples in vec(sample(), 1..20)) {
        let router = router(&config.yaml());
        for sample in &samples {
            // The reference knows what these names say and no others.
            let known = sample.path.ends_with(b".wav") || sample.path.ends_with(b".aif");
            let path = if known { sample.path.clone() } else { b"x/019".to_vec() };
            let sample = &Sample { path, ..sample.clone() };
            prop_assert_eq!(goes(&router, sample), config.expected(sample), "{}", config.yaml());
        }
    }
}

// --- a reference model, written from the documentation and not from the code --------------------------------------------

/// Rules as plain data.
#[derive(Debug, Clone)]
struct Config {
    targets: Option<Vec<String>>,
    threshold: f32,
    thresholds: BTreeMap<String, f32>,
    canonical: BTreeMap<String, String>,
    names: &'static str,
    routes: Vec<(Vec<Condition>, Option<&'static str>)>,
}

#[derive(Debug, Clone)]
enum Condition {
    NameHas(&'static str),
    InFolder(&'static str),
    LongerThan(f64),
    FavouredIs(String),
    Reason(&'static str),
    SurerThan(f32),
}

fn config() -> impl Strategy<Value = Config> {
    let fine = || Vocabulary::drums().fine().to_vec();
    let condition = prop_oneof![
        select(vec!["808", "demo", "BD", "_1"]).prop_map(Condition::NameHas),
        select(vec!["loops", "Kit", "x"]).prop_map(Condition::InFolder),
        select(vec![1.0, 4.0, 7.5]).prop_map(Condition::LongerThan),
        select(vec!["Kick", "Snare", "Crash", "misc"]).prop_map(|label| Condition::FavouredIs(label.into())),
        select(vec!["error", "override", "gate", "name", "low_confidence", "top1"]).prop_map(Condition::Reason),
        select(vec![0.3, 0.6]).prop_map(Condition::SurerThan),
    ];
    let action = prop_oneof![3 => select(vec!["Loops", "Kick/808", "Kick"]).prop_map(Some), 1 => Just(None)];
    (
        prop::option::weighted(0.8, subsequence(fine(), 1..10)),
        0..=10u8,
        prop::collection::btree_map(select(fine()), (0..=10u8).prop_map(|tenths| f32::from(tenths) / 10.0), 0..4),
        prop::collection::btree_map(
            select(fine()),
            select(vec!["Kick", "Snare", "misc", "Perc"]).prop_map(String::from),
            0..4,
        ),
        select(vec!["ignore", "tiebreak", "trust"]),
        vec((vec(condition, 1..3), action), 0..4),
    )
        .prop_map(|(targets, tenths, thresholds, canonical, names, routes)| Config {
            targets,
            threshold: f32::from(tenths) / 10.0,
            thresholds,
            canonical,
            names,
            routes,
        })
}

impl Config {
    fn yaml(&self) -> String {
        let mut text = match &self.targets {
            Some(targets) => format!("target_labels: [{}]\n", targets.join(", ")),
            None => "target_labels: all\n".to_owned(),
        };
        text += &format!(
            "misc: {{threshold: {}}}\nnames: {}\nthresholds: {:?}\n",
            self.threshold, self.names, self.thresholds
        );
        text += &format!("canonical: {:?}\nroutes:\n", self.canonical);
        for (conditions, action) in &self.routes {
            let mut keys = BTreeMap::new();
            for condition in conditions {
                let (key, value) = match condition {
                    Condition::NameHas(word) => ("name", format!("\"*{word}*\"")),
                    Condition::InFolder(folder) => ("path", format!("\"{folder}/**\"")),
                    Condition::LongerThan(seconds) => ("duration", format!("\"> {seconds}\"")),
                    Condition::FavouredIs(label) => ("label", label.clone()),
                    Condition::Reason(reason) => ("reason", (*reason).to_owned()),
                    Condition::SurerThan(p) => ("confidence", format!("\"> {p}\"")),
                };
                keys.insert(key, value);
            }
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let action = action.map_or("hide: true".to_owned(), |to| format!("to: {to}"));
            text += &format!("  - {{{}, {action}}}\n", pairs.join(", "));
        }
        text
    }

    fn is_target(&self, label: &str) -> bool {
        label != "misc" && self.targets.as_ref().is_none_or(|targets| targets.iter().any(|target| target == label))
    }

    /// The label a fine label is collected under.
    fn collected(&self, fine: &str) -> String {
        let default = match fine {
            "Crash" | "China" | "Splash" | "Cymbal" | "Sizzle" => "Crash",
            "Snare" | "Rim" => "Snare",
            "Tom" | "Timbale" | "Timpani" => "Tom",
            "Kick" | "Hihat" | "Ride" => fine,
            _ => "misc",
        };
        match (&self.targets, self.canonical.get(fine)) {
            (None, _) => fine.to_owned(),
            (_, Some(moved)) if moved != default => moved.clone(),
            _ if self.is_target(fine) => fine.to_owned(),
            _ => default.to_owned(),
        }
    }

    fn folder(&self, label: &str) -> String {
        if self.is_target(label) { label.to_owned() } else { "misc".to_owned() }
    }

    /// The favoured label and its probability.
    fn favoured(&self, sample: &Sample) -> Option<(String, f32)> {
        let drums = Vocabulary::drums();
        if sample.status != Status::Ok || sample.probs.len() != drums.fine().len() {
            return None;
        }
        let clean = |p: f32| if p > 0.0 { p } else { 0.0 };
        // In label order, so that the first of equals wins.
        let sum = |label: &str| -> f32 {
            let mine = drums.fine().iter().zip(&sample.probs).filter(|(fine, _)| self.collected(fine) == label);
            mine.fold(0.0, |sum, (_, p)| sum + clean(*p))
        };
        let collecting =
            drums.labels().iter().filter(|label| drums.fine().iter().any(|fine| self.collected(fine) == **label));
        let mut best: Option<(String, f32)> = None;
        for label in collecting {
            if best.as_ref().is_none_or(|(_, most)| sum(label) > *most) {
                best = Some((label.clone(), sum(label)));
            }
        }
        best
    }

    fn below(&self, label: &str, p: f32) -> bool {
        p < self.thresholds.get(label).copied().unwrap_or(self.threshold)
    }

    fn name_decides(&self, sample: &Sample) -> Option<String> {
        let said = match std::str::from_utf8(&sample.path).ok()? {
            "Kit/BD_019.wav" | "Loops/kick 808.wav" => "Kick",
            "Snares/Clap.wav" => "Clap",
            "Rim.aif" => "Rim",
            "Loops/demo/HH_1.wav" => "Hihat",
            "Tom/FT.wav" => "Tom",
            _ => return None,
        };
        let label = self.collected(said);
        match self.names {
            "trust" => Some(self.folder(&label)),
            "tiebreak" => {
                let (favoured, p) = self.favoured(sample)?;
                let drums = Vocabulary::drums();
                let mut ranked: Vec<(&String, f32)> = drums.fine().iter().zip(sample.probs.iter().copied()).collect();
                ranked.retain(|(_, p)| *p > 0.0);
                ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
                let among = ranked.iter().take(3).any(|(fine, _)| *fine == said);
                (self.below(&favoured, p) && among && self.is_target(&label)).then_some(label)
            }
            _ => None,
        }
    }

    fn overridden(&self, sample: &Sample) -> Option<String> {
        let routed = |folder: &str| self.routes.iter().any(|(_, to)| *to == Some(folder));
        let label = |fine: &str| {
            if self.is_target(fine) { fine.to_owned() } else { self.folder(&self.collected(fine)) }
        };
        match sample.override_label.as_deref()? {
            "Loops" if routed("Loops") => Some("Loops".to_owned()),
            "Kick/808" if routed("Kick/808") => Some("Kick/808".to_owned()),
            "Kick" | "Kick/808" if routed("Kick") => Some("Kick".to_owned()),
            "Kick" | "Kick/808" => Some(label("Kick")),
            "snare" => Some(label("Snare")),
            "misc" => Some("misc".to_owned()),
            word @ ("Clap" | "Rim") => Some(label(word)),
            _ => None,
        }
    }

    /// Where it goes if there are no routes.
    fn unrouted(&self, sample: &Sample) -> (String, Reason) {
        if sample.status != Status::Ok {
            return to("misc", Reason::Error);
        }
        if let Some(folder) = self.overridden(sample) {
            return (folder, Reason::Override);
        }
        if sample.gate_refused {
            return to("misc", Reason::Gate);
        }
        if let Some(folder) = self.name_decides(sample) {
            return (folder, Reason::Name);
        }
        match self.favoured(sample) {
            None => to("misc", Reason::LowConfidence),
            Some((label, _)) if !self.is_target(&label) => to("misc", Reason::OutOfTarget),
            Some((label, p)) if self.below(&label, p) => to("misc", Reason::LowConfidence),
            Some((label, _)) => (label, Reason::Top1),
        }
    }

    fn holds(&self, condition: &Condition, sample: &Sample) -> bool {
        let path = String::from_utf8_lossy(&sample.path).to_ascii_lowercase();
        match condition {
            Condition::NameHas(word) => path.rsplit('/').next().unwrap().contains(&word.to_ascii_lowercase()),
            Condition::InFolder(folder) => path.starts_with(&format!("{}/", folder.to_ascii_lowercase())),
            Condition::LongerThan(seconds) => sample.attributes.as_ref().is_some_and(|a| a.duration_sec > *seconds),
            Condition::FavouredIs(wanted) => self.favoured(sample).is_some_and(|(label, _)| {
                let drums = Vocabulary::drums();
                if drums.fine().iter().any(|fine| self.collected(fine) == *wanted) {
                    return label == *wanted;
                }
                let mut best = (String::new(), f32::NEG_INFINITY);
                for (fine, p) in drums.fine().iter().zip(&sample.probs) {
                    let p = if *p > 0.0 { *p } else { 0.0 };
                    if p > best.1 {
                        best = (fine.clone(), p);
                    }
                }
                best.0 == *wanted
            }),
            Condition::Reason(reason) => self.unrouted(sample).1.name() == *reason,
            Condition::SurerThan(p) => self.favoured(sample).is_some_and(|(_, sum)| sum.min(1.0) > *p),
        }
    }

    fn expected(&self, sample: &Sample) -> (String, Reason) {
        // Of two conditions with one key, the later is the one that was written.
        let matches = |conditions: &Vec<Condition>| {
            let mut seen: Vec<&Condition> = Vec::new();
            for condition in conditions {
                seen.retain(|other| std::mem::discriminant(*other) != std::mem::discriminant(condition));
                seen.push(condition);
            }
            seen.iter().all(|condition| self.holds(condition, sample))
        };
        let first = self.routes.iter().find(|(conditions, _)| matches(conditions)).map(|(_, action)| *action);
        let unrouted = self.unrouted(sample);
        match first {
            Some(None) => (String::new(), Reason::Hidden),
            Some(Some(folder)) if !matches!(unrouted.1, Reason::Error | Reason::Override) => to(folder, Reason::Route),
            _ => unrouted,
        }
    }
}

// --- cases --------------------------------------------------------------------------------------------------------------

#[test]
fn confidence_is_summed_before_the_threshold_and_never_the_argmax_mapped_afterwards() {
    let defaults = router("");
    // No crash class reaches 0.5 by itself, and the likeliest single class is the snare.
    let sample = heard("019.wav", &[("Snare", 0.3), ("Crash", 0.25), ("China", 0.2), ("Splash", 0.15)]);
    let verdict = defaults.route(&sample.subject());
    assert_eq!(goes(&defaults, &sample), to("Crash", Reason::Top1));
    assert!((verdict.confidence - 0.6).abs() < 0.02, "{verdict:?}");
    assert!((verdict.margin - 0.3).abs() < 0.02, "{verdict:?}");
    let all = router("target_labels: all\nmisc: {threshold: 0.2}\n");
    assert_eq!(goes(&all, &sample), to("Snare", Reason::Top1));
    assert_eq!(all.folders().len(), 35);
}

#[test]
fn entropy_is_in_nats() {
    let even = heard("x", &[]);
    assert!((router("").route(&even.subject()).entropy - 34f32.ln()).abs() < 1e-4);
    assert!(router("").route(&heard("x", &[("Kick", 1.0)]).subject()).entropy.abs() < 1e-6);
}

#[test]
fn a_listed_fine_label_has_a_folder_of_its_own() {
    let clap = heard("x.wav", &[("Clap", 0.8)]);
    assert_eq!(goes(&router(""), &clap), to("misc", Reason::OutOfTarget));
    assert_eq!(goes(&router("target_labels: [Kick, Clap]"), &clap), to("Clap", Reason::Top1));
    let rim = heard("x.wav", &[("Rim", 0.8)]);
    assert_eq!(goes(&router(""), &rim), to("Snare", Reason::Top1));
    assert_eq!(goes(&router("target_labels: [Snare, Rim]\ncanonical: {Rim: Snare}"), &rim), to("Rim", Reason::Top1));
    assert_eq!(goes(&router("canonical: {Rim: misc}"), &rim), to("misc", Reason::OutOfTarget));
    assert_eq!(goes(&router("canonical: {Clap: Snare}"), &clap), to("Snare", Reason::Top1));
    let hat = heard("x.wav", &[("Hihat", 0.8)]);
    assert_eq!(goes(&router("canonical: {Hihat: Ride}"), &hat), to("Ride", Reason::Top1));
}

#[test]
fn an_override_goes_where_its_label_goes() {
    let mut sample = heard("x.wav", &[("Kick", 0.9)]);
    let mut said = |word: &str, rules: &str| {
        sample.override_label = Some(word.to_owned());
        goes(&router(rules), &sample)
    };
    assert_eq!(said("Snare", ""), to("Snare", Reason::Override));
    assert_eq!(said("Rim", ""), to("Snare", Reason::Override));
    assert_eq!(said("Clap", ""), to("misc", Reason::Override));
    assert_eq!(said("Clap", "target_labels: [Clap]"), to("Clap", Reason::Override));
    assert_eq!(said("misc", ""), to("misc", Reason::Override));
    let route = "routes: [{name: \"*.wav\", to: Kick/808}]";
    assert_eq!(said("Kick/808", route), to("Kick/808", Reason::Override));
    // The route is gone: its folder's parent is what is left of it.
    assert_eq!(said("Kick/808", ""), to("Kick", Reason::Override));
    assert_eq!(said("Loops", ""), to("Kick", Reason::Top1));
    assert_eq!(said("Snare", route), to("Snare", Reason::Override));
}

#[test]
fn names_count_as_the_rules_say() {
    let unsure = heard("Kit/BD_019.wav", &[("Snare", 0.4), ("Kick", 0.3)]);
    assert_eq!(goes(&router("names: ignore"), &unsure), to("misc", Reason::LowConfidence));
    assert_eq!(goes(&router(""), &unsure), to("Kick", Reason::Name));
    let sure = heard("Kit/BD_019.wav", &[("Snare", 0.7), ("Kick", 0.2)]);
    assert_eq!(goes(&router(""), &sure), to("Snare", Reason::Top1));
    assert_eq!(goes(&router("names: trust"), &sure), to("Kick", Reason::Name));
    let elsewhere = heard("Kit/BD_019.wav", &[("Snare", 0.4), ("Tom", 0.2), ("Clap", 0.15), ("Kick", 0.01)]);
    assert_eq!(goes(&router(""), &elsewhere), to("misc", Reason::LowConfidence));
    let two = heard("Kick Snare.wav", &[("Snare", 0.4), ("Kick", 0.3)]);
    assert_eq!(goes(&router("names: trust"), &two), to("misc", Reason::LowConfidence));
    // Rim and Snare are collected together, so that they are one thing.
    let together = heard("Snare Rim.wav", &[("Kick", 0.4), ("Rim", 0.3)]);
    assert_eq!(goes(&router(""), &together), to("Snare", Reason::Name));
}

#[test]
fn the_first_route_that_matches_wins_even_over_one_that_hides() {
    let sample = heard("Loops/demo.wav", &[("Kick", 0.9)]);
    let keep = "{path: \"Loops/**\", to: Loops}";
    let hide = "{name: \"*demo*\", hide: true}";
    assert_eq!(goes(&router(&format!("routes: [{keep}, {hide}]")), &sample), to("Loops", Reason::Route));
    assert_eq!(goes(&router(&format!("routes: [{hide}, {keep}]")), &sample), to("", Reason::Hidden));
}

#[test]
fn patterns_ignore_case_and_need_no_utf8() {
    let route = router("routes: [{path: \"LOOPS/**/*bd*\", to: A}, {name: \"*.WAV\", to: B}, {path: \"*/x\", to: C}]");
    let goes_to = |path: &[u8]| {
        let mut sample = heard("", &[]);
        sample.path = path.to_vec();
        goes(&route, &sample).0
    };
    assert_eq!(goes_to(b"loops/BD.aif"), "A");
    assert_eq!(goes_to(b"Loops/a/\xff\xfe/x_bd\x80.aif"), "A");
    assert_eq!(goes_to(b"\xff.wav"), "B");
    assert_eq!(goes_to(b"a/x"), "C");
    assert_eq!(goes_to(b"a/b/x"), "misc", "`*` stays within a folder");
}

#[test]
fn every_numeric_condition_reads_its_own_number() {
    let mut sample = heard("x.wav", &[("Kick", 0.6), ("Snare", 0.2)]);
    sample.attributes = Some(drumfs::audio::Attributes {
        duration_sec: 2.0,
        rms_dbfs: -20.0,
        centroid_hz: 500.0,
        rolloff_hz: 900.0,
        sample_rate: 48_000,
        channels: 2,
        codec: "".into(),
    });
    for condition in [
        "duration: \"1.9..2.1\"",
        "rms: \"-21..-19\"",
        "centroid: \"499..501\"",
        "rolloff: \"> 899\"",
        "sample_rate: 48000",
        "channels: \"= 2\"",
        "size: 1000",
        "confidence: \"0.59..0.61\"",
        "margin: \"0.35..0.45\"",
        "entropy: \"1.0..2.5\"",
        "label: Kick",
        "fine_label: [Snare, Kick]",
        "reason: top1",
    ] {
        assert_eq!(goes(&router(&format!("routes: [{{{condition}, to: X}}]")), &sample).0, "X", "{condition}");
    }
    for condition in ["duration: \"> 2\"", "channels: 1", "size: \"< 1000\"", "label: Snare", "reason: [gate, error]"] {
        assert_eq!(goes(&router(&format!("routes: [{{{condition}, to: X}}]")), &sample).0, "Kick", "{condition}");
    }
    sample.attributes = None;
    assert_eq!(goes(&router("routes: [{duration: \">= 0\", to: X}]"), &sample).0, "Kick", "unknown is not 0");
}

#[test]
fn ten_thousand_routes_are_matched_each_by_its_own_pattern() {
    let routes: String = (0..10_000).map(|i| format!("  - {{name: \"s{i:05}_*\", to: F{i}}}\n")).collect();
    let router = router(&format!("routes:\n{routes}"));
    for i in [0, 255, 256, 257, 5_000, 9_999] {
        assert_eq!(goes(&router, &heard(&format!("a/S{i:05}_x.wav"), &[])).0, format!("F{i}"));
    }
}

#[test]
fn another_models_labels_are_passed_over() {
    let none: [(&str, &str); 0] = [];
    let drums = Vocabulary::drums();
    let small = Vocabulary::new(["Kick", "Zap"], [("Kick", "Kick")]).unwrap();
    let rules = Rules::parse(
        "target_labels: [Kick, Snare]\nthresholds: {Snare: 0.9}\nroutes: [{label: Snare, hide: true}]",
        &drums,
    );
    let router = Router::new(&rules.unwrap(), &small);
    assert_eq!(router.folders(), ["Kick", "misc"]);
    let sample = Sample { probs: vec![0.8, 0.2], ..heard("x", &[]) };
    assert_eq!(goes(&router, &sample), to("Kick", Reason::Top1));
    let one = Vocabulary::new(["Thing"], none).unwrap();
    assert_eq!(Router::new(&Rules::defaults(&one), &one).folders(), ["misc"]);
}

#[test]
fn a_diff_counts_moves_by_folder_with_examples() {
    let samples: Vec<Sample> = (0..10)
        .map(|i| heard(&format!("Kit/{i}.wav"), &[("Kick", if i < 7 { 0.6 } else { 0.9 })]))
        .chain([heard("demo.wav", &[("Snare", 0.9)])])
        .collect();
    let before = router("");
    let after = router("thresholds: {Kick: 0.7}\nroutes: [{name: \"demo*\", hide: true}]");
    let verdicts =
        |router: &Router| samples.iter().map(|sample| router.route(&sample.subject())).collect::<Vec<Verdict>>();
    let (old, new) = (verdicts(&before), verdicts(&after));
    let moved = diff((&before, &old), (&after, &new));
    assert_eq!((moved.samples, moved.unchanged, moved.moved()), (11, 3, 8));
    assert_eq!((moved.moves[0].from.as_deref(), moved.moves[0].to.as_deref()), (Some("Kick"), Some("misc")));
    assert_eq!((moved.moves[0].count, moved.moves[0].examples.as_slice()), (7, [0, 1, 2].as_slice()));
    assert_eq!(moved.moves[1].to, None);
    let text = moved.with_paths(|index| String::from_utf8_lossy(&samples[index].path).into_owned()).to_string();
    assert!(
        text.contains("7  Kick -> misc") && text.contains("Kit/0.wav") && text.contains("8 of 11 samples move"),
        "{text}"
    );
    assert_eq!(diff((&before, &old), (&before, &old)).moved(), 0);
}

#[test]
fn an_explanation_says_what_a_person_asks() {
    let router = router(
        "thresholds: {Kick: 0.7}\nroutes:\n  - {path: \"Loops/**\", to: Loops}\n  - {label: Kick, confidence: \">= 0.65\", to: Kick/sure}\n",
    );
    let sample = heard("Kit/019.wav", &[("Kick", 0.6)]);
    let explanation = router.explain(&sample.subject());
    let text = explanation.to_string();
    for part in [
        "misc",
        "low_confidence",
        "Kick 0.6",
        "threshold of 0.7",
        "line 4",
        "confidence >= 0.65",
        "the path is another",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!((json["reason"].as_str(), json["folder"].as_str()), (Some("low_confidence"), Some("misc")));
    assert_eq!(json["routes"].as_array().unwrap().len(), 2);
}

#[test]
fn subjects_are_borrowed_and_folders_are_small_numbers() {
    let sample = heard("x", &[("Kick", 1.0)]);
    let subject: Subject<'_> = sample.subject();
    let folder: FolderId = router("").route(&subject).folder;
    assert_eq!(folder, 2);
}
