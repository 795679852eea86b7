//! What goes into a model's last layer is heard, kept, and belongs to its knowledge file.

use std::fs;
use std::sync::Arc;

use drumfs::classify::{Classifier, Ensemble, Head, ModelFiles};
use drumfs::index::listen::{Listener, Source};
use drumfs::index::{Analyses, Analysis, Status, judge};

use crate::common::sounds::wav;
use crate::place::{model, model_folder};

fn heard(classifier: Classifier, seed: u64) -> Analysis {
    let mut listener = Listener::new(Arc::new(Ensemble::from(classifier))).unwrap();
    let bytes = wav(seed);
    listener.listen(Source::Bytes(&bytes), bytes.len() as u64, Some("wav")).get(0).unwrap().clone()
}

#[test]
fn the_shipped_layer_makes_the_same_logits_of_the_kept_embedding() {
    let classifier = model();
    let knowledge = classifier.knowledge().unwrap();
    assert_eq!((knowledge.outputs(), knowledge.size()), (34, 48));
    for seed in 0..6 {
        let analysis = heard(classifier.clone(), seed);
        let logits = knowledge.logits(analysis.embedding.as_ref().unwrap());
        for (kept, heard) in logits.iter().zip(&analysis.logits) {
            assert!((kept - heard).abs() < 0.1, "{kept} for {heard}");
        }
    }
    // The knowledge is of sounds that the model has mostly right.
    let right = knowledge.samples().iter().filter(|(label, embedding)| {
        let logits = knowledge.logits(embedding);
        logits.iter().all(|logit| *logit <= logits[usize::from(*label)])
    });
    assert!(right.count() * 10 > knowledge.samples().len() * 8);
}

#[test]
fn a_head_changes_the_judgement_and_one_that_changes_nothing_changes_nothing_at_all() {
    let ensemble = Ensemble::from(model());
    let analyses = Analyses::from(heard(model(), 1));
    let before = judge(&analyses, &ensemble);
    let unchanged = ensemble.with_head(Some(Head::none(34, 48)));
    assert_eq!(judge(&analyses, &unchanged), before, "to the last bit");
    let mut change = vec![0.0; 49 * 34];
    change[48 * 34 + 5] = 20.0;
    let changed = judge(&analyses, &ensemble.with_head(Some(Head::from_change(&change, 34, 48))));
    assert!(changed.probs[5] > 0.99, "{changed:?}");
    assert_eq!(judge(&analyses, &unchanged.with_head(None)), before);
}

/// The small model in a folder of its own, described in another way.
fn described(change: impl Fn(&mut serde_json::Value)) -> (tempfile::TempDir, Classifier) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["small.onnx", "knowledge.bin"] {
        fs::copy(model_folder().join(name), folder.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(model_folder().join("small.json")).unwrap();
    let mut description = serde_json::from_str(&text).unwrap();
    change(&mut description);
    fs::write(folder.path().join("small.json"), description.to_string()).unwrap();
    let files = ModelFiles { model: Some(folder.path().join("small.onnx")), ..ModelFiles::default() };
    let classifier = Classifier::open(&files).unwrap();
    (folder, classifier)
}

#[test]
fn a_model_that_does_not_tell_its_embedding_listens_and_can_not_learn() {
    let (_folder, classifier) = described(|description| drop(description.as_object_mut().unwrap().remove("embedding")));
    assert!(classifier.knowledge().unwrap_err().to_string().contains("can't learn from corrections"));
    let analysis = heard(classifier, 1);
    assert_eq!((analysis.status, analysis.embedding), (Status::Ok, None));
    assert_eq!(analysis.logits, heard(model(), 1).logits);
}

#[test]
fn a_model_without_its_knowledge_or_with_another_s_listens_and_can_not_learn() {
    let (folder, classifier) = described(|_| ());
    let file = folder.path().join("knowledge.bin");
    assert!(classifier.knowledge().is_ok());
    let (_other, renamed) = described(|description| description["name"] = "other".into());
    let message = renamed.knowledge().unwrap_err().to_string();
    assert!(message.contains("belongs to the model `small-") && message.contains("is `other-"), "{message}");
    fs::write(&file, b"drumknow").unwrap();
    assert!(classifier.knowledge().unwrap_err().to_string().contains("damaged"));
    fs::remove_file(&file).unwrap();
    let message = classifier.knowledge().unwrap_err().to_string();
    assert!(message.contains(&file.display().to_string()), "{message}");
    assert_eq!(heard(classifier, 1).status, Status::Ok);
}

#[test]
fn an_embedding_that_is_not_as_described_is_told() {
    for (key, value, words) in
        [("output", serde_json::json!("elsewhere"), "no output `elsewhere`"), ("size", 12.into(), "12 values")]
    {
        let (_folder, classifier) = described(|description| description["embedding"][key] = value.clone());
        let analysis = heard(classifier, 1);
        assert_eq!(analysis.status, Status::LoadError);
        assert!(analysis.error.as_ref().is_some_and(|error| error.contains(words)), "{analysis:?}");
    }
}
