//! Every file of `tests/transcripts`, one case each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        /// What is in the folder and not in the list would never be played.
        #[test]
        fn none_is_left_out() {
            let listed: BTreeSet<String> = [$(stringify!($name).to_owned()),*].into();
            let entries = std::fs::read_dir(folder()).unwrap();
            let found: BTreeSet<String> = entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ext| ext == "reg"))
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(listed, found);
        }
    };
}

transcripts! {
    config_try,
    disk_full,
    drain,
    errors,
    events,
    handover,
    lines,
    maintenance,
    maintenance_of_one_instance,
    operators,
    optional_tails,
    pipelining,
    precedence,
    questions,
    restart,
    session_info,
    shutdown,
    silence,
    staged_expiry,
    try_of_the_replaced,
    txn_ids,
    v1_blue_green,
    v1_commands,
    v1_grace,
    v1_maintenance,
    v1_no_pushes,
    v1_register,
    v1_reregister,
    v2_bulk,
    v2_conflict,
    v2_diff,
    v2_grace,
    v2_partial,
    v2_register,
    v2_replaced,
    v2_reregister,
    v2_rollback,
    v2_route_list,
    v2_same_key_twice,
    v2_shared_key,
    v2_staging,
    v2_takeover,
    v2_takeover_of_the_dead,
    v2_update,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../transcripts")
}

fn play(name: &str) {
    let path = folder().join(name).with_extension("reg");
    let text = std::fs::read_to_string(&path).expect("it was found in the list of files");
    if let Err(failure) = proxyd_sim::play::play(&text) {
        panic!("tests/transcripts/{name}.reg, {failure}");
    }
}
