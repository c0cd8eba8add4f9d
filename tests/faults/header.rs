//! Checks that the table lacks no function: every function that waits or takes a session is an entry point of the
//! matrix, or is listed below with the reason why not.

use crate::entries::ENTRIES;

/// Functions that make no request.
const ASK_NOBODY: &[(&str, &str)] = &[
    ("vsession_queue_next", "waits for events, whose causes are separate entry points"),
    ("vsession_open", "makes no request"),
    ("vsession_config_from_env", "reads the environment and the files that it names"),
    ("vsession_get_state", "two loads"),
    ("vsession_get_epoch", "two loads"),
    ("vsession_get_rest_state", "two loads"),
    ("vsession_get_rest_epoch", "two loads"),
    ("vsession_get_info", "copies what the last login or refresh brought"),
    ("vsession_get_cookie", "copies what the last login brought"),
    ("vsession_keepalive_stop", "sets a flag"),
    ("vsession_set_password", "keeps it for later logins"),
];

/// The functions in a header, each with its comment and its parameters.
fn functions(header: &str) -> Vec<(&str, &str, &str)> {
    header
        .split("/**")
        .skip(1)
        .filter_map(|part| {
            let (comment, code) = part.split_once("*/")?;
            let declaration = code.trim_start().split(';').next()?;
            let (before, parameters) = declaration.split_once('(')?;
            let name = before.rsplit([' ', '*', '\n']).next()?;
            let is_function =
                name.starts_with("vsession_") && !before.contains(['{', '#']) && !before.contains("typedef");
            is_function.then_some((name, comment, parameters))
        })
        .collect()
}

/// The problems of the table.
fn gaps(header: &str) -> Vec<String> {
    let functions = functions(header);
    let mut gaps = Vec::new();
    for (name, comment, parameters) in &functions {
        let comment = comment.replace("\n * ", " ");
        let waits = !comment.contains("Blocks: never");
        let takes_session = parameters.contains("struct vsession session");
        let listed = ENTRIES.iter().any(|entry| entry.function == *name);
        let excused = ASK_NOBODY.iter().any(|(function, _)| function == name);
        if (waits || takes_session) && !listed && !excused {
            gaps.push(format!("{name} is not in the table of entry points"));
        }
        if listed && excused {
            gaps.push(format!("{name} is in the table and in ASK_NOBODY"));
        }
    }
    let known = ENTRIES.iter().map(|entry| entry.function).chain(ASK_NOBODY.iter().map(|(name, _)| *name));
    for name in known {
        if !functions.iter().any(|(function, _, _)| *function == name) {
            gaps.push(format!("{name} is not in the header"));
        }
    }
    gaps
}

fn header() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/include/vsession.h")).unwrap()
}

#[test]
fn every_function_that_makes_a_request_is_in_the_table() {
    let header = header();
    assert!(functions(&header).len() > 80, "the header's functions are not found; did its layout change?");
    assert_eq!(gaps(&header), Vec::<String>::new());
}

#[test]
fn a_function_that_is_missing_from_the_table_is_found() {
    for planted in [
        "/**\n * Asks. Blocks: until the server has\n * answered.\n */\nvsession_status vsession_planted(uint32_t x);\n",
        "/**\n * Asks later. Blocks: never.\n */\nvsession_status vsession_planted(struct vsession session);\n",
    ] {
        let text = header().replace(
            "#ifdef __cplusplus\n}  // extern",
            &format!("{planted}#ifdef __cplusplus\n}}  // extern"),
        );
        assert_eq!(gaps(&text), ["vsession_planted is not in the table of entry points"]);
    }
    let without = header().replace("vsession_refresh(", "vsession_renamed(");
    assert_eq!(gaps(&without).len(), 2, "{:?}", gaps(&without));
}
