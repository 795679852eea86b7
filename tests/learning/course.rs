//! Fitting and measuring, on the knowledge of the small model.

use drumfs::classify::{Classifier, Knowledge};
use drumfs::learn::{Course, CourseError, HeldOut, Lesson, MIN_LESSONS};

use crate::place::model;

fn probabilities(logits: &[f32]) -> Vec<f32> {
    let mut scores = logits.to_vec();
    drumfs::learn::fit::softmax(&mut scores);
    scores
}

/// Sounds that the model knows as `label`, from packs in turn, each once.
fn lessons(knowledge: &Knowledge, label: usize, packs: usize, meant: &[usize]) -> Vec<Lesson> {
    let known = knowledge.samples().iter().filter(|(of, _)| usize::from(*of) == label);
    let lesson = |(place, (_, embedding)): (usize, &(u16, drumfs::classify::Embedding))| Lesson {
        logits: knowledge.logits(embedding),
        embedding: embedding.clone(),
        meant: meant.to_vec(),
        pack: format!("pack {}", place % packs).into_bytes(),
    };
    known.enumerate().map(lesson).collect()
}

fn label(classifier: &Classifier, name: &str) -> usize {
    classifier.labels().index_of(name).unwrap()
}

/// Toms that a person calls bongos, and snares and kicks that they call what they are.
fn bongos(classifier: &Classifier, knowledge: &Knowledge, packs: usize) -> Vec<Lesson> {
    let of =
        |known: &str, meant: &str| lessons(knowledge, label(classifier, known), packs, &[label(classifier, meant)]);
    [of("Tom", "Bongo"), of("Snare", "Snare"), of("Kick", "Kick")].concat()
}

#[test]
fn what_was_taught_in_other_packs_is_known_in_one_that_was_held_out() {
    let classifier = model();
    let knowledge = classifier.knowledge().unwrap();
    let course = Course::new(&knowledge, classifier.labels(), &probabilities);
    let lessons = bongos(&classifier, &knowledge, 3);
    let (head, effect) = course.learn(&lessons).unwrap();
    assert_eq!(effect.held_out, HeldOut::Pack { packs: 3, groups: 3 });
    assert_eq!(effect.before.sounds, lessons.len());
    assert!(effect.after.nll < effect.before.nll, "{effect:?}");
    assert!(effect.after.top1_fine >= effect.before.top1_fine, "{effect:?}");
    assert!(effect.after_same_packs.is_some_and(|same| same.nll < effect.before.nll), "{effect:?}");
    // It says more of bongos than it did, as the person does.
    let tom = &lessons[0];
    let mut logits = tom.logits.clone();
    head.apply(&mut logits, &tom.embedding);
    let bongo = label(&classifier, "Bongo");
    assert!(probabilities(&logits)[bongo] > probabilities(&tom.logits)[bongo]);
    assert_eq!(course.learn(&lessons).unwrap(), (head, effect), "the same lessons teach the same");
}

#[test]
fn one_pack_alone_is_divided_and_says_so() {
    let classifier = model();
    let knowledge = classifier.knowledge().unwrap();
    let course = Course::new(&knowledge, classifier.labels(), &probabilities);
    let effect = course.learn(&bongos(&classifier, &knowledge, 1)).unwrap().1;
    assert_eq!(effect.held_out, HeldOut::PartOfOnePack { groups: 5 });
    assert!(effect.held_out.to_string().contains("says nothing of other packs"));
    assert_eq!(effect.after_same_packs, None);
}

#[test]
fn saying_what_the_model_says_changes_next_to_nothing() {
    let classifier = model();
    let knowledge = classifier.knowledge().unwrap();
    let course = Course::new(&knowledge, classifier.labels(), &probabilities);
    let misc: Vec<usize> = (0..34).collect();
    // Any label will do: nothing is taught.
    let lessons = lessons(&knowledge, label(&classifier, "Hihat"), 2, &misc);
    let lessons: Vec<Lesson> = lessons.iter().cloned().chain(lessons.iter().cloned()).collect();
    let (head, effect) = course.learn(&lessons).unwrap();
    for (_, embedding) in knowledge.samples().iter().take(40) {
        let before = knowledge.logits(embedding);
        let mut after = before.clone();
        head.apply(&mut after, embedding);
        assert!(before.iter().zip(&after).all(|(before, after)| (before - after).abs() < 1e-2));
    }
    assert!(effect.objection().is_some_and(|why| why.contains("no better")), "{effect:?}");
}

#[test]
fn too_little_is_not_learnt_from() {
    let classifier = model();
    let knowledge = classifier.knowledge().unwrap();
    let course = Course::new(&knowledge, classifier.labels(), &probabilities);
    let mut lessons = bongos(&classifier, &knowledge, 3);
    lessons.truncate(MIN_LESSONS - 1);
    assert_eq!(course.learn(&lessons), Err(CourseError::TooFew { usable: MIN_LESSONS - 1 }));
    // Lessons of another model are none.
    let strange = Lesson { logits: vec![0.0; 3], ..lessons[0].clone() };
    lessons.extend([strange.clone(), Lesson { meant: vec![99], ..strange }]);
    assert_eq!(course.learn(&lessons), Err(CourseError::TooFew { usable: MIN_LESSONS - 1 }));
}
