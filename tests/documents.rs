//! What the documents say of the tests is true.

use std::path::{Path, PathBuf};

/// A Rust file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// All Rust files below `directory`.
pub(crate) fn sources(directory: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(Source { path, text });
        }
    }
    found
}

fn text_of(directory: &Path) -> String {
    sources(directory)
        .into_iter()
        .map(|file| file.text)
        .collect()
}

#[test]
fn every_test_that_proves_a_promise_of_the_caches_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/caching.md")).unwrap();
    let (_, table) = document
        .split_once("## Every promise and its test")
        .unwrap();
    let beside_the_code = text_of(&root.join("src"));
    let names = table.split('`').filter_map(|word| word.split_once("::"));
    let mut found = 0;
    for (file, name) in names.filter(|(file, name)| !file.contains(' ') && *name != "name") {
        let text = if file == "src" {
            beside_the_code.clone()
        } else {
            let module = root.join("tests").join(file);
            let own = std::fs::read_to_string(module.with_extension("rs")).unwrap();
            let parts = module.is_dir().then(|| text_of(&module));
            own + &parts.unwrap_or_default()
        };
        assert!(text.contains(&format!("fn {name}(")), "{file}::{name}");
        found += 1;
    }
    assert!(found > 40, "only {found}");
}
