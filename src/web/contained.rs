//! The one way from a path that somebody asks for to a file of a directory that is shown to
//! everybody: the frontend, the icons.

use std::path::{Component, Path, PathBuf};

/// The regular file below `root` that the path of a request means (it begins with a slash and is
/// still encoded); `None` if there is none or if it lies outside, be it by dots or by a link.
/// Waits for the disk.
pub(super) fn find(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = relative(path)?;
    let root = root.canonicalize().ok()?;
    let file = root.join(relative).canonicalize().ok()?;
    (file.starts_with(&root) && file.is_file()).then_some(file)
}

/// The path below the root that the path of a request names, decoded exactly once.
fn relative(path: &str) -> Option<PathBuf> {
    let encoded = path.strip_prefix('/')?;
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8();
    let decoded = decoded.ok()?;
    // A file of such a name is none of ours, and other programs take it for a separator.
    if decoded.contains(['\0', '\\']) {
        return None;
    }
    let relative = PathBuf::from(decoded.as_ref());
    let plain = |part| matches!(part, Component::Normal(_));
    relative.components().all(plain).then_some(relative)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// What leads out, or to no file, beside what is made up of longer parts.
    const BAD: &[&str] = &[
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/.%2e/secret",
        "/assets/../../secret",
        "/assets/../page.html",
        "/assets/%2e%2e/%2E%2E/secret",
        "/..%5csecret",
        "/a%5cb",
        "/..\\secret",
        "/assets/..%5c..%5csecret",
        "/%252e%252e/secret",
        "/%252e%252e%252fsecret",
        // Overlong and broken UTF-8.
        "/%c0%ae%c0%ae/secret",
        "/%e0%80%ae%e0%80%ae%e0%80%afsecret",
        "/..%c0%afsecret",
        "/%ff",
        "/..;/secret",
        "/assets/..;/..;/secret",
        "/%2e%2e;x=1/secret",
        "/..%00/secret",
        "/page.html%00",
        "/page.html%00.js",
        "/page.html/",
        "/page.html/.",
        "/page.html/x",
        "/./../secret",
        "/link",
        "/up/secret",
        "/sibling/secret",
        "/loop",
        "/assets",
        "/assets/",
        "/",
        "//",
        "",
        "page.html",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/file:///etc/passwd",
        "/~root/.profile",
        "/proc/self/environ",
    ];

    #[test]
    fn no_path_leaves_the_directory() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("dist");
        fs::create_dir_all(root.join("assets")).unwrap();
        fs::create_dir(outside.path().join("dist2")).unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::write(outside.path().join("dist2/secret"), "x").unwrap();
        fs::write(root.join("page.html"), "x").unwrap();
        fs::write(root.join("assets/a b.js"), "x").unwrap();
        fs::write(root.join("ü.txt"), "x").unwrap();
        fs::write(root.join("a\\b"), "x").unwrap();
        symlink(outside.path().join("secret"), root.join("link")).unwrap();
        symlink(outside.path(), root.join("up")).unwrap();
        symlink(outside.path().join("dist2"), root.join("sibling")).unwrap();
        symlink(root.join("page.html"), root.join("inner")).unwrap();
        symlink("loop", root.join("loop")).unwrap();

        for good in [
            "/page.html",
            "/p%61ge.html",
            "/assets/a%20b.js",
            "/assets//a%20b.js",
            "/%c3%bc.txt",
            "/inner",
        ] {
            assert!(find(&root, good).is_some(), "{good}");
        }
        let absolute = format!("/{}", outside.path().join("secret").display());
        let made_up = [
            absolute.replace('/', "%2f"),
            absolute,
            format!("/{}", "a".repeat(5000)),
            format!("/{}", "a/".repeat(5000)),
            format!("/{}secret", "../".repeat(100)),
        ];
        let made_up = made_up.iter().map(String::as_str);
        for bad in BAD.iter().copied().chain(made_up) {
            assert_eq!(find(&root, bad), None, "{bad}");
        }
        let nowhere = outside.path().join("nowhere");
        assert_eq!(find(&nowhere, "/page.html"), None);
    }
}
