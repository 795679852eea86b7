//! Another model hears everything again by itself, and what the one before heard stays.

use std::fs;
use std::path::Path;

use crate::support::Place;

#[test]
fn another_model_hears_everything_again_and_going_back_hears_nothing() {
    let place = Place::with_sounds(4);
    assert_eq!(place.index(&[]).count("heard"), 4);
    // The same network under another name is another model.
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for name in ["drums.onnx", "label_mapping.json", "canonical_mapping.json"] {
        fs::copy(models.join(name), place.path().join(name)).unwrap();
    }
    let description = fs::read_to_string(models.join("drums.json")).unwrap();
    let mut description: serde_json::Value = serde_json::from_str(&description).unwrap();
    description["name"] = "another".into();
    fs::write(place.path().join("drums.json"), description.to_string()).unwrap();
    let config = place.path().join("config.yml");
    fs::write(&config, "model_path: drums.onnx\n").unwrap();
    let other = ["--config", config.to_str().unwrap()];
    let run = place.index(&other);
    assert_eq!((run.count("heard"), run.count("unchanged")), (4, 0), "{run:?}");
    assert!(run.json["model"].as_str().unwrap().starts_with("another-"), "{run:?}");
    assert_eq!(place.index(&other).count("unchanged"), 4);
    let back = place.index(&[]);
    assert_eq!((back.count("heard"), back.count("unchanged")), (0, 4), "{back:?}");
}
