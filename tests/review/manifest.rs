//! `drumfs override merge`: a curated manifest brought up to what was said.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::saying::{done, run};
use crate::support::Place;

#[test]
fn a_manifest_is_made_updated_and_then_left_as_it_is() {
    let place = Place::with_sounds(4);
    place.index(&[]);
    done(&place, &["pack 0/00000.wav", "Kick"]);
    done(&place, &["pack 1/00001.wav", "Cowbell"]);
    done(&place, &["pack 2/00002.wav", "misc"]);
    let manifest = place.path().join("curated.csv");
    let arguments = ["merge", "--manifest", manifest.to_str().unwrap()];
    let output = run(&place, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`misc` is no label of the model: 1 "), "{output:?}");
    let text = "path,label,kit\narchive/pack 0/00000.wav,Kick,pack 0\narchive/pack 1/00001.wav,Cowbell,pack 1\n";
    assert_eq!(fs::read_to_string(&manifest).unwrap(), text);
    // Edited by hand, and said otherwise since.
    fs::write(&manifest, text.replace("Kick,pack 0", "Kick,\"my, kit\"") + "elsewhere/x.wav,Snare,x\n").unwrap();
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o640)).unwrap();
    done(&place, &["pack 1/00001.wav", "Clap"]);
    let said = done(&place, &[&arguments[..], &["--keep"]].concat());
    assert!(said.contains("line 3: archive/pack 1/00001.wav: `Cowbell` here, `Clap` said: kept"), "{said}");
    assert!(said.contains("0 added, 0 updated, 1 said so already"), "{said}");
    let before = fs::read_to_string(&manifest).unwrap();
    let said = done(&place, &[&arguments[..], &["--dry-run"]].concat());
    assert!(said.contains("updated") && said.contains("nothing was written"), "{said}");
    assert_eq!(fs::read_to_string(&manifest).unwrap(), before);
    done(&place, &arguments);
    assert_eq!(fs::read_to_string(&manifest).unwrap(), before.replace("Cowbell", "Clap"));
    assert_eq!(fs::metadata(&manifest).unwrap().permissions().mode() & 0o777, 0o640);
    let said = done(&place, &arguments);
    assert!(said.contains("0 added, 0 updated, 2 said so already"), "{said}");
}

#[test]
fn what_is_no_manifest_or_lies_in_the_archive_is_left_alone() {
    let place = Place::with_sounds(2);
    place.index(&[]);
    done(&place, &["pack 0/00000.wav", "Kick"]);
    let other = place.path().join("notes.csv");
    fs::write(&other, "file;class\na;b\n").unwrap();
    let output = run(&place, &["merge", "--manifest", other.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no column `path`"), "{output:?}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "file;class\na;b\n");
    let inside = place.archive().join("curated.csv");
    let output = run(&place, &["merge", "--manifest", inside.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("never written") && !inside.exists(), "{output:?}");
}
