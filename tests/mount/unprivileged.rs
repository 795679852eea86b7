//! An ordinary user mounts through fusermount3, browses, saves rules and unmounts. Where the tests run as root a user
//! is made for it and removed afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::mount::{DRUMFS, new_dir, put};
use crate::common::sounds::wav;
use crate::common::tools::{installed, said};
use crate::users::{KILL, Users};

#[test]
fn an_ordinary_user_mounts_browses_saves_and_unmounts() {
    if !installed(&["fusermount3", "unshare", "useradd"]) {
        return;
    }
    let dir = new_dir();
    let base = dir.path().canonicalize().unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
    for (seed, name) in ["kick", "snare", "secret"].iter().enumerate() {
        put(&base.join(format!("archive/pack/{name}.wav")), &wav(seed as u64));
    }
    // The binary may lie where only root can go.
    let program = base.join("drumfs");
    fs::copy(DRUMFS, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let user = Users::new(&base, 1);
    let (archive, at, store) = (base.join("archive"), base.join("view"), base.join("store"));
    let run = |text: &str| user.shell(0, &format!("set -e\n{text}"), &[&program, &archive, &at, &store]);
    let well = |text: &str| {
        let done = run(text);
        assert!(done.status.success(), "{text}\n{}", said(&done));
        said(&done)
    };

    well(r#"test $(id -u) != 0; "$1" mount "$2" "$3" --store "$4" --background"#);
    // The type is how a dead mount of drumfs is told from others.
    let line = well(r#"grep -F " $3 " /proc/self/mounts"#);
    assert!(line.contains(" fuse.drumfs "), "{line}");
    well(r#"until grep -q '"state": "idle"' "$3/_control/status.json"; do sleep 0.05; done"#);
    well(r#"ls -lR "$3" > /dev/null; test "$(stat -c %U "$3/_control/rules.yml")" = "$(id -un)""#);
    well(
        r#"printf 'layout: flat\nroutes: [{path: "**", to: All}]\n' > "$3/_control/rules.yml"
            cmp "$3/All/kick.wav" "$2/pack/kick.wav"; cmp "$3/All/snare.wav" "$2/pack/snare.wav""#,
    );

    // A refusal reaches this user's shell as well.
    assert!(!run(r#"echo 'layoutt: flat' > "$3/_control/rules.yml""#).status.success());
    well(r#"grep -q layoutt "$3/RULES-ERROR.txt"; cmp "$3/All/kick.wav" "$2/pack/kick.wav""#);
    let done = run(r#"touch "$3/All/new.wav""#);
    assert!(said(&done).contains("Read-only file system"), "{}", said(&done));

    // What this user may not read is refused alone.
    let done = run(r#"chmod 000 "$2/pack/secret.wav"; cat "$3/All/snare.wav" > /dev/null; cat "$3/All/secret.wav""#);
    assert!(said(&done).contains("Permission denied"), "{}", said(&done));
    well(r#"chmod 600 "$2/pack/secret.wav"; cmp "$3/All/secret.wav" "$2/pack/secret.wav""#);

    // Every way of saving, a copy out of the view, and a word of this user's.
    well(
        r#"echo 'routes: [{path: "**", to: All}]' > "$3/_control/rules.yml"
            sed -i 's/All/Else/' "$3/_control/rules.yml"; test -e "$3/Else/pack/kick.wav"; test -z "$(find "$3" -name All)"
            echo 'routes: [{path: "**", to: All}]' > "$3/_control/rules.yml"; test -e "$3/All/pack/kick.wav"
            echo 'layout: flat' >> "$3/_control/rules.yml"; cp "$3/All/kick.wav" "$HOME/copy.wav"
            cmp "$HOME/copy.wav" "$2/pack/kick.wav"; test -O "$HOME/copy.wav"
            echo '{"path": "pack/snare.wav", "label": "Tom"}' >> "$3/_control/overrides.jsonl"
            grep -q Tom "$3/_control/overrides.jsonl"; echo now > "$3/_control/rescan""#,
    );

    // After a crash the next mount clears the dead one.
    user.shell(0, KILL, &[&at]);
    well(r#"until ls "$3" 2>&1 | grep -q 'not connected'; do sleep 0.05; done"#);
    well(r#""$1" mount "$2" "$3" --store "$4" --background; cmp "$3/All/kick.wav" "$2/pack/kick.wav""#);
    well(r#"grep -q Tom "$3/_control/overrides.jsonl""#);
    well(r#"fusermount3 -u "$3"; ! grep -F " $3 " /proc/self/mounts"#);
    // It lets go of the store: another process may have it.
    well(r#"until "$1" index "$2" --store "$4"; do sleep 0.05; done"#);

    // With everything where it is by default, under a careless umask, ended by Ctrl-C.
    well(
        r#"umask 000; export HOME="$4-home"; mkdir -m 755 "$HOME"
            "$1" mount "$2" "$3" 2> "$HOME/said" & pid=$!
            until grep -q '"state": "idle"' "$3/_control/status.json" 2> /dev/null; do
              kill -0 $pid || { cat "$HOME/said"; exit 1; }
              sleep 0.05
            done
            ls "$3/misc" > /dev/null; kill -INT $pid; wait $pid; ! grep -F " $3 " /proc/self/mounts
            state="$HOME/.local/state/drumfs"; test -n "$(find "$state" -name journal.jsonl)"
            test -z "$(find "$HOME/.local/state" ! -user "$(id -un)")"
            test -z "$(find "$state"/* -perm /077)""#,
    );
    // In the background the log lies there, too.
    well(
        r#"umask 000; export HOME="$4-home"; "$1" mount "$2" "$3" --background; fusermount3 -u "$3"
            until "$1" index "$2"; do sleep 0.05; done
            test -n "$(find "$HOME" -name drumfs.log)"; test -z "$(find "$HOME/.local/state/drumfs"/* -perm /077)""#,
    );
}
