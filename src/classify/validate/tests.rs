use super::*;
use crate::classify::GateFiles;
use crate::classify::model::{EMBEDDED_DESCRIPTION, EMBEDDED_MODEL};

/// A folder with the model of this build under another name, and what `companions` has beside it.
fn own(companions: &[(&str, &str)]) -> (tempfile::TempDir, ModelFiles) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.onnx"), EMBEDDED_MODEL).unwrap();
    let description = EMBEDDED_DESCRIPTION.replace("\"drums", "\"validated-drums");
    fs::write(folder.path().join("own.json"), description).unwrap();
    for (name, text) in companions {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let files = ModelFiles { model: Some(folder.path().join("own.onnx")), ..ModelFiles::default() };
    (folder, files)
}

fn wrong(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| check.level == Level::Wrong).map(|check| check.found.as_str()).collect()
}

#[test]
fn what_is_compiled_in_is_right_in_every_respect() {
    let checks = validate(&ModelFiles::default());
    assert_eq!(wrong(&checks), Vec::<&str>::new());
    for what in ["model", "labels", "order", "canonical mapping", "outputs", "calibration"] {
        assert!(checks.iter().any(|check| check.what == what && check.level == Level::Ok), "{what}: {checks:?}");
    }
}

/// The models of tests/models, which stand for a user's own.
fn fixture(name: &str) -> ModelFiles {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/models/{name}.onnx"));
    ModelFiles { model: Some(path), ..ModelFiles::default() }
}

#[test]
fn an_ensemble_is_right_where_each_of_it_is_and_they_go_together() {
    let mut files = EnsembleFiles::from(ModelFiles::default());
    for name in ["six", "old", "waveform"] {
        files.members.extend(EnsembleFiles::from(fixture(name)).members);
    }
    files.gate = Some(GateFiles { files: fixture("gate"), threshold: 0.5, accept: None });
    let checks = validate_all(&files);
    assert_eq!(wrong(&checks), Vec::<&str>::new(), "{checks:?}");
    let of = |name: &'static str| {
        checks.iter().filter(move |check| check.model.as_ref().is_some_and(|model| model.contains(name)))
    };
    assert!(of("gate: ").all(|check| check.what != "canonical mapping") && of("gate: ").count() >= 4);
    for name in ["six.onnx", "old.onnx", "waveform.onnx", "gate.onnx"] {
        assert!(of(name).any(|check| check.what == "outputs" && check.level == Level::Ok), "{name}: {checks:?}");
    }
    assert!(checks.iter().any(|check| check.what == "together" && check.level == Level::Ok), "{checks:?}");
    files.members[1].weight = -1.0;
    let refused = validate_all(&files);
    assert!(wrong(&refused)[0].contains("weight of -1"), "{refused:?}");
    assert!(!fixture("six").model.unwrap().with_file_name("canonical_mapping.json").exists(), "nothing was written");
}

#[test]
fn a_model_of_ones_own_with_the_usual_labels_needs_no_companions() {
    let (folder, files) = own(&[]);
    let checks = validate(&files);
    assert_eq!(wrong(&checks), Vec::<&str>::new(), "{checks:?}");
    assert!(checks.iter().any(|check| check.level == Level::Note && check.found.contains("drumfs calibrate")));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was written");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let mut names: Vec<String> = serde_json::from_str(EMBEDDED_LABELS).unwrap();
    names[1] = "Agogo".to_owned();
    names[2] = " ".to_owned();
    names.pop();
    let (_folder, files) =
        own(&[("label_mapping.json", &serde_json::to_string(&names).unwrap()), ("calibration.json", "{}")]);
    let checks = validate(&files);
    let found = wrong(&checks).join("\n");
    for part in ["`Agogo` is label 0 and label 1", "label 2 is empty", "33 labels for 34 outputs"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    let (_folder, files) =
        own(&[("canonical_mapping.json", r#"{"China": "Krash", "Rimm": "Snare", "Kick": "Kick", "Kick": "Tom"}"#)]);
    let checks = validate(&files);
    let found = wrong(&checks).join("\n");
    for part in [
        "`China` goes to `Krash`; expected one of Crash",
        "did you mean `Crash`?",
        "`Rimm` is not one of the model's labels; did you mean `Rim`?",
        "`Kick` is there twice",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert!(checks.iter().any(|check| check.level == Level::Note && check.found.contains("in misc: Agogo, Bell")));
}

#[test]
fn another_order_is_told_from_other_names() {
    let names: Vec<String> = serde_json::from_str(EMBEDDED_LABELS).unwrap();
    let mut turned = names.clone();
    turned.swap(3, 9);
    let found = |names: &[String]| {
        let (_folder, files) = own(&[("label_mapping.json", &serde_json::to_string(names).unwrap())]);
        wrong(&validate(&files)).join("\n")
    };
    assert!(found(&turned).contains("the names are right, in alphabetical order"), "{}", found(&turned));
    turned[0] = "HiHat".to_owned();
    assert!(found(&turned).contains("other names, or another order"), "{}", found(&turned));
}

#[test]
fn a_stub_is_written_where_a_file_is_missing_and_never_over_one() {
    let (folder, files) = own(&[]);
    let description = EMBEDDED_DESCRIPTION.replace("\"labels_checksum\": \"", "\"labels_checksum\": \"0");
    fs::write(folder.path().join("own.json"), description).unwrap();
    let list = folder.path().join("label_mapping.json");
    let checks = validate(&files);
    assert!(wrong(&checks).iter().any(|found| found.contains("a stub is there now")), "{checks:?}");
    let stub: Vec<String> = serde_json::from_str(&fs::read_to_string(&list).unwrap()).unwrap();
    assert_eq!((stub.len(), stub[33].as_str()), (34, "<label of output 33>"));
    // It is no list of labels before somebody has filled it in, and it stays as it is.
    let before = fs::read(&list).unwrap();
    let checks = validate(&files);
    assert!(wrong(&checks).iter().any(|found| found.contains("label 0 is still `<label of output 0>`")));
    assert_eq!(fs::read(&list).unwrap(), before);
    assert!(!folder.path().join("canonical_mapping.json").exists(), "nothing to map yet");
    // With other names the usual mapping does not fit, and where each goes is guessed.
    let names: Vec<String> = (0..32).map(|n| format!("sound {n}")).chain(["Rim".into(), "kick".into()]).collect();
    fs::write(&list, serde_json::to_string(&names).unwrap()).unwrap();
    let description = fs::read_to_string(folder.path().join("own.json")).unwrap();
    let mut description: serde_json::Value = serde_json::from_str(&description).unwrap();
    description["labels_checksum"] = checksum(&names).into();
    fs::write(folder.path().join("own.json"), description.to_string()).unwrap();
    let checks = validate(&files);
    assert_eq!(wrong(&checks), Vec::<&str>::new(), "{checks:?}");
    assert!(checks.iter().any(|check| check.level == Level::Wrote));
    assert!(checks.iter().any(|check| check.level == Level::Note && check.found.contains("`kick` is `Kick`")));
    let mapping = fs::read_to_string(folder.path().join("canonical_mapping.json")).unwrap();
    let mapping = pairs_of(&mapping).unwrap().0;
    assert_eq!(mapping.len(), 34);
    assert!(mapping.contains(&("Rim".into(), "Snare".into())) && mapping.contains(&("kick".into(), "Kick".into())));
    assert!(Classifier::open(&files).is_ok(), "the stub is a mapping that works");
}

#[test]
fn a_model_that_is_none_and_a_description_that_is_missing_are_said() {
    let (folder, files) = own(&[]);
    fs::write(folder.path().join("own.onnx"), b"no model").unwrap();
    assert!(validate(&files).iter().any(|check| check.what == "outputs" && check.level == Level::Wrong));
    fs::remove_file(folder.path().join("own.json")).unwrap();
    let checks = validate(&files);
    assert!(wrong(&checks).iter().any(|found| found.contains("own.json")), "{checks:?}");
    fs::remove_file(folder.path().join("own.onnx")).unwrap();
    assert!(wrong(&validate(&files)).iter().any(|found| found.contains("model_path")));
    let keras = ModelFiles { model: Some(folder.path().join("m.keras")), ..ModelFiles::default() };
    assert!(wrong(&validate(&keras)).iter().any(|found| found.contains("tf2onnx")));
}

#[test]
fn both_forms_of_a_canonical_mapping_are_read() {
    assert_eq!(pairs_of(r#"{"model_class_to_canonical": {"a": "Kick"}}"#).unwrap().0.len(), 1);
    assert_eq!(pairs_of(r#"{"a": "Kick", "b": "Tom"}"#).unwrap().0.len(), 2);
    assert!(pairs_of("[1]").is_err());
}
