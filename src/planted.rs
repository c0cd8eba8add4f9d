//! Planted faults: places where the code misbehaves on purpose, to show that a model, the fuzzer or the ThreadSanitizer
//! finds the fault. `planted!` with a name is the constant `false`, except in the builds for those tools: there the
//! environment variable VSESSION_PLANT selects one fault. `tests/plants.toml` lists the faults and what finds them.

#[cfg(not(any(vsession_model, fuzzing, vsession_plants)))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

#[cfg(any(vsession_model, fuzzing, vsession_plants))]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_chosen($name)
    };
}

#[cfg(any(vsession_model, fuzzing, vsession_plants))]
pub(crate) fn is_chosen(name: &str) -> bool {
    static CHOSEN: once_cell::race::OnceBox<String> = once_cell::race::OnceBox::new();
    CHOSEN.get_or_init(|| Box::new(std::env::var("VSESSION_PLANT").unwrap_or_default())) == name
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn places(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                places(&entry, found);
            } else {
                let text = fs::read_to_string(&entry).unwrap();
                let names = text.split("planted!(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
                found.extend(names.map(str::to_owned));
            }
        }
    }

    #[test]
    fn the_planted_faults_are_those_of_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        places(&root.join("src"), &mut found);
        found.retain(|name| !name.is_empty()); // the search itself
        found.sort_unstable();
        found.dedup();
        let table = fs::read_to_string(root.join("tests/plants.toml")).unwrap();
        let mut listed: Vec<_> =
            table.lines().filter_map(|line| Some(line.split_once(" = {")?.0.to_owned())).collect();
        listed.sort_unstable();
        assert_eq!(found, listed, "left: `planted!` in src, right: tests/plants.toml");
    }
}
