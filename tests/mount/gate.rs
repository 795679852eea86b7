//! A gate in front of the folders, in a mount.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::mount::{DRUMFS, Mount, new_dir, put};
use crate::common::sounds::{wav, wav_of};

/// Two seconds of a tone that does not decay.
fn drone() -> Vec<u8> {
    let mut file = wav_of(2, 2.0);
    for (n, sample) in file[44..].chunks_exact_mut(2).enumerate() {
        sample.copy_from_slice(&(((n as f64 * 0.05).sin() * 20_000.0) as i16).to_le_bytes());
    }
    file
}

#[test]
fn what_a_gate_refuses_is_in_misc_with_its_reason_and_commands_hear_it_from_the_mount() {
    let dir = new_dir();
    put(&dir.path().join("archive/hit.wav"), &wav(0));
    put(&dir.path().join("archive/drone.wav"), &drone());
    let gate = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/gate.onnx");
    let config = dir.path().join("config.yml");
    fs::write(&config, format!("gate: {{model_path: {}, threshold: 0.5}}\n", gate.display())).unwrap();
    let mut mount = Mount::start(dir);
    let records = mount.index();
    let of = |name: &str| records.iter().find(|record| record["relative_path"] == name).unwrap().clone();
    assert_eq!(
        (&of("drone.wav")["assigned_reason"], &of("drone.wav")["assigned_label"]),
        (&"gate".into(), &"misc".into())
    );
    assert_ne!(of("hit.wav")["assigned_reason"], "gate");
    assert!(mount.path("misc/drone.wav").exists());
    // Another command reads the mount, which has the store.
    let mut explain = Command::new(DRUMFS);
    explain.args(["rules", "explain"]).arg(&mount.archive).arg("drone.wav").arg("--json");
    explain.arg("--store").arg(&mount.store).arg("--config").arg(&config).env("XDG_DATA_HOME", mount.data());
    let output = explain.output().unwrap();
    let explained: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["reason"], "gate", "{explained}");
    // Without the gate the next mount hears nothing again, and nothing is refused.
    assert!(mount.end().success());
    fs::remove_file(&config).unwrap();
    mount.mount_again();
    assert_eq!(mount.status()["indexing"]["total"], 0);
    assert!(mount.index().iter().all(|record| record["assigned_reason"] != "gate"));
}
