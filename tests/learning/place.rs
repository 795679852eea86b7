//! Packs of made sounds beside the small model, which takes the falling tones for kicks and nearly all of the noises for
//! snares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drumfs::classify::{Classifier, ModelFiles};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::mount::{DRUMFS, new_dir, put};
use crate::common::sounds::wav;

/// Sounds of each pack.
pub const SOUNDS: u64 = 24;

/// The folder of the small model.
pub fn model_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/learning/model")
}

/// The small model.
pub fn model() -> Classifier {
    let files = ModelFiles { model: Some(model_folder().join("small.onnx")), ..ModelFiles::default() };
    Classifier::open(&files).unwrap()
}

/// Four packs of sounds, every other one a noise, and a config.yml that names the small model.
pub fn packs() -> TempDir {
    let dir = new_dir();
    for pack in 0..4 {
        for sound in 0..SOUNDS {
            put(&dir.path().join("archive").join(path(pack, sound)), &wav(pack * SOUNDS + sound));
        }
    }
    let text = format!("model_path: {}\n", model_folder().join("small.onnx").display());
    fs::write(dir.path().join("config.yml"), text).unwrap();
    dir
}

/// The path of a sound.
pub fn path(pack: u64, sound: u64) -> String {
    format!("pack {pack}/{sound:02}.wav")
}

/// What the person of these tests calls the sounds of the first three packs: noises are hi-hats to them.
pub fn words() -> Vec<(String, &'static str)> {
    let word = |pack, sound: u64| (path(pack, sound), if sound.is_multiple_of(2) { "Kick" } else { "Hihat" });
    (0..3).flat_map(|pack| (0..SOUNDS).map(move |sound| word(pack, sound))).collect()
}

/// A command about the archive in `dir`.
pub fn command(dir: &Path, command: &[&str], more: &[&str]) -> Output {
    let dir = dir.canonicalize().unwrap();
    Command::new(DRUMFS)
        .args(command)
        .arg(dir.join("archive"))
        .arg("--store")
        .arg(dir.join("store"))
        .arg("--config")
        .arg(dir.join("config.yml"))
        .args(more)
        .env_remove("RUST_LOG")
        .env_remove("XDG_DATA_HOME")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap()
}

/// `drumfs learn` with further arguments.
pub fn learn(dir: &Path, more: &[&str]) -> Output {
    command(dir, &["learn"], more)
}

/// `drumfs learn --json`, which must have printed JSON.
#[track_caller]
pub fn learn_json(dir: &Path, more: &[&str]) -> Value {
    let output = learn(dir, &[more, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
