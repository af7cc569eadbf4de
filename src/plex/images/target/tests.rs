use super::*;

const THUMB: &str = "/library/metadata/7/thumb/1700000000";

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// With a server at `plex`, the real plex.tv and one host of the operator's.
fn resolve_at(plex: &str, text: &str) -> Option<Target> {
    let rules = Rules {
        plex: Some(&url(plex)),
        plex_tv: &url("https://plex.tv"),
        hosts: &["pictures.example.org".to_owned()],
    };
    rules.resolve(text)
}

fn resolve(text: &str) -> Option<Target> {
    resolve_at("http://127.0.0.1:32400", text)
}

fn plex(path: &str) -> Target {
    Target::Plex(path.to_owned())
}

fn public(text: &str) -> Target {
    Target::Public(url(text))
}

#[test]
fn forbidden_paths_of_the_right_server_are_refused() {
    for path in [
        "",
        "/",
        "/identity",
        "/accounts",
        "/activities",
        "/status/sessions",
        "/status/sessions/terminate?sessionId=1&reason=x",
        "/status/sessions/history/all",
        "/library/sections",
        "/library/sections/1/refresh",
        "/library/sections/all/refresh",
        "/library/sections/1/refresh?force=1",
        "/library/sections/1/emptyTrash",
        "/library/sections/1/all",
        "/library/metadata/7",
        "/library/metadata/7/children",
        "/library/metadata/7/refresh",
        "/library/metadata/7/thumbs",
        "/library/metadata/7/thumb/latest",
        "/library/metadata/7/thumb/1/2",
        "/library/metadata/7/thumb/",
        "/library/metadata/7/composite/1",
        "/library/metadata/7,8/thumb/1",
        "/library/metadata//thumb",
        "/library/metadata/7/thumb?url=http://192.0.2.1/x.png",
        "/library/metadata/7/posters?url=http://192.0.2.1/x.png",
        "/library/sections/1/thumb/1",
        "/library/parts/1/2/file.mkv",
        "/library//metadata/7/thumb/1",
        "/LIBRARY/metadata/7/thumb/1",
        "/library/metadata/7/thumb/..",
        "/library/metadata/7/thumb/../../../../status/sessions",
        "/library/metadata/7/thumb/%2e%2e/%2e%2e/%2e%2e/prefs",
        "/library/metadata/7/thumb%2f1",
        "/library/metadata/7/thumb%252f1",
        "/library/metadata/7/%74humb/1",
        "/library/metadata/7/thumb/1%00",
        "/library/metadata/7/thumb/1;/status/sessions",
        "/library/metadata/7/thumb/1\\..\\status",
        "/library/metadata/7/thumb/1\0",
        "/library/metadata/7/thumb/1#x",
        "/library/metadata/7/thumb/1 ",
        "/library/metadata/7/thumb/1\r\nX-Evil: 1",
        "/library/metadata/-7/thumb/1",
        "/library/metadata/٧/thumb/1",
        "/library/metadata/123456789012345678901/thumb",
        "/:/prefs?FriendlyName=x",
        "/:/timeline?ratingKey=7&state=stopped",
        "/:/scrobble?key=7&identifier=com.plexapp.plugins.library",
        "/:/resources/movie.png",
        "/video/:/transcode/universal/stop?session=1",
        "/video/:/transcode/universal/start.m3u8?path=/library/metadata/7",
        "/photo/:/transcode",
        "/photo/:/transcode?width=1&height=1",
        "/photo/:/transcode?url=http://192.0.2.1/x.png&width=1&height=1",
        "/photo/:/transcode?url=//192.0.2.1/x.png&width=1&height=1",
        "/photo/:/transcode?url=http://127.0.0.1:32400/library/metadata/7/thumb/1&width=1&height=1",
        "/photo/:/transcode?url=/status/sessions&width=1&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&url=/:/prefs&width=1&height=1",
        "/photo/:/transcode?url=/photo/:/transcode&width=1&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/%252e%252e&width=1&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1%00&width=1&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=0&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=4097&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=+1&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=1&width=2&height=1",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=1&height=1&upscale=2",
        "/photo/:/transcode?url=/library/metadata/7/thumb/1&width=1&height=1&format=svg",
        "/photo/:/transcode/?url=/library/metadata/7/thumb/1&width=1&height=1",
        "/users/7/avatar/x",
        "/users/../avatar",
        "/users//avatar",
    ] {
        assert_eq!(resolve(path), None, "{path}");
        let absolute = format!("http://127.0.0.1:32400{path}");
        assert_eq!(resolve(&absolute), None, "{absolute}");
    }
}

#[test]
fn other_places_are_refused() {
    for text in [
        "library/metadata/7/thumb/1",
        "//library/metadata/7/thumb/1",
        "//127.0.0.1:32400/library/metadata/7/thumb/1",
        "/users/a1/avatar?c=17",
        "127.0.0.1:32400/library/metadata/7/thumb/1",
        "ftp://127.0.0.1:32400/library/metadata/7/thumb/1",
        "file:///etc/passwd",
        "file://127.0.0.1/library/metadata/7/thumb/1",
        "gopher://127.0.0.1:32400/library/metadata/7/thumb/1",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "blob:http://127.0.0.1:32400/library/metadata/7/thumb/1",
        "ws://127.0.0.1:32400/library/metadata/7/thumb/1",
        "http:/127.0.0.1:32400/library/metadata/7/thumb/1",
        "http:///library/metadata/7/thumb/1",
        "http:\\\\127.0.0.1:32400\\library\\metadata\\7\\thumb\\1",
        "http://127.0.0.1:32400\\@192.0.2.1/library/metadata/7/thumb/1",
        "http://user@127.0.0.1:32400/library/metadata/7/thumb/1",
        "http://user:word@127.0.0.1:32400/library/metadata/7/thumb/1",
        "http://127.0.0.1:32400@192.0.2.1/library/metadata/7/thumb/1",
        "http://@127.0.0.1:32400/library/metadata/7/thumb/1",
        "http://2130706433:32400/library/metadata/7/thumb/1",
        "http://0x7f000001:32400/library/metadata/7/thumb/1",
        "http://0177.0.0.1:32400/library/metadata/7/thumb/1",
        "http://0x7f.1:32400/library/metadata/7/thumb/1",
        "http://127.1:32400/library/metadata/7/thumb/1",
        "http://127.0.0.1.:32400/library/metadata/7/thumb/1",
        "http://%31%32%37.0.0.1:32400/library/metadata/7/thumb/1",
        "http://①②⑦.0.0.1:32400/library/metadata/7/thumb/1",
        "http://127.0.0.1:032400/library/metadata/7/thumb/1",
        "http://127.0.0.1:/library/metadata/7/thumb/1",
        "http://127.0.0.1:32400",
        "http://127.0.0.1:32400?/library/metadata/7/thumb/1",
        "http://127.0.0.1:32400#/library/metadata/7/thumb/1",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:8000/api/plex/config",
        "http://127.0.0.1/",
        "http://localhost:6379/",
        "http://[::1]:32400/status/sessions",
        "http://192.168.1.1/logo.png",
        "https://example.org/picture.png",
        "https://plex.tv.example.org/users/a/avatar",
        "https://example.org/plex.tv/users/a/avatar",
        "https://notplex.tv/users/a/avatar",
        "https://plex.tv@example.org/users/a/avatar",
        "https://plex.tv:8443/users/a/avatar",
        "http://plex.tv:443/users/a/avatar",
        "ftp://plex.tv/users/a/avatar",
        "https://plex.tv./users/a/avatar",
        "https://plex%2etv/users/a/avatar",
        "https://plex.tv/users/a%3FX-Plex-Token%3DT/avatar",
        "https://gravatar.com.example.org/avatar/a",
        "https://gravatar.com/avatar/a",
        "https://i4.wp.com/example.org/a.png",
        "https://x.i0.wp.com/example.org/a.png",
        "https://pictures.example.org:444/a.png",
        "https://sub.pictures.example.org/a.png",
    ] {
        assert_eq!(resolve(text), None, "{text}");
    }
    assert_eq!(resolve(&format!("/{}", "a".repeat(LONGEST))), None);
}

#[test]
fn an_address_of_another_server_is_never_more_than_a_path() {
    for text in [
        "http://192.0.2.1:32400/library/metadata/7/thumb/1700000000",
        "http://127.0.0.1:32401/library/metadata/7/thumb/1700000000",
        "http://localhost:32400/library/metadata/7/thumb/1700000000?X-Plex-Token=old",
        "http://localhost:32400//library/metadata/7/thumb/1700000000?X-Plex-Token=old",
        "http://[::ffff:7f00:1]:32400/library/metadata/7/thumb/1700000000",
    ] {
        let Some(Target::Former { server, path }) = resolve(text) else {
            panic!("{text}");
        };
        assert_eq!(path, THUMB);
        assert!(text.contains(server.host_str().unwrap()));
    }
}

#[test]
fn pictures_of_the_server_pass_in_every_spelling_of_its_address() {
    for text in [
        THUMB.to_owned(),
        format!("{THUMB}?X-Plex-Token=old"),
        format!("{THUMB}?"),
        format!("http://127.0.0.1:32400{THUMB}"),
        format!("HTTP://127.0.0.1:32400{THUMB}?x-plex-token=old"),
        format!("https://127.0.0.1:32400{THUMB}"),
        format!("http://127.0.0.1:32400/{THUMB}?X-Plex-Token=old"),
    ] {
        assert_eq!(resolve(&text), Some(plex(THUMB)), "{text}");
    }
    for path in [
        "/library/metadata/7/thumb",
        "/library/metadata/7/art/1",
        "/library/metadata/7/banner/1",
        "/library/metadata/7/poster/1",
        "/library/metadata/7/clearLogo/1",
        "/library/metadata/7/squareArt/1",
        "/library/metadata/7/background/1",
        "/library/sections/1/composite/1",
        "/library/collections/1/composite",
    ] {
        assert_eq!(resolve(path), Some(plex(path)), "{path}");
    }
    let below = "https://example.org/plex";
    for text in [
        format!("https://example.org/plex{THUMB}"),
        format!("http://EXAMPLE.org:80/plex{THUMB}"),
        format!("https://example.org:443/plex{THUMB}"),
        format!("https://example.org/plex/{THUMB}"),
    ] {
        assert_eq!(resolve_at(below, &text), Some(plex(THUMB)), "{text}");
    }
    let beside = format!("https://example.org/plexus{THUMB}");
    assert_eq!(resolve_at(below, &beside), None);
}

#[test]
fn the_transcoder_is_told_what_passes_in_one_order() {
    let canonical = "/photo/:/transcode?url=%2Flibrary%2Fmetadata%2F7%2Fthumb%2F1&width=320\
                     &height=480&minSize=1&upscale=0";
    for query in [
        "url=/library/metadata/7/thumb/1&width=320&height=480&minSize=1&upscale=0",
        "upscale=0&minSize=1&height=0480&width=320&url=%2Flibrary%2Fmetadata%2F7%2Fthumb%2F1",
        "url=%2Flibrary%2Fmetadata%2F7%2Fthumb%2F1%3FX-Plex-Token%3Dold&width=320&height=480\
         &minSize=1&upscale=0&X-Plex-Token=old",
    ] {
        let text = format!("/photo/:/transcode?{query}");
        assert_eq!(resolve(&text), Some(plex(canonical)), "{text}");
    }
}

#[test]
fn avatars_are_asked_for_without_a_token_and_with_tls() {
    for (text, dialled) in [
        (
            "https://plex.tv/users/a1/avatar?c=17",
            "https://plex.tv/users/a1/avatar?c=17",
        ),
        (
            "http://plex.tv/users/a1/avatar",
            "https://plex.tv/users/a1/avatar",
        ),
        (
            "https://plex.tv/users/a1/avatar?c=17&X-Plex-Token=T",
            "https://plex.tv/users/a1/avatar?c=17",
        ),
        (
            "https://plex.tv/users/a1/avatar&X-Plex-Token=T",
            "https://plex.tv/users/a1/avatar",
        ),
        (
            "https://assets.plex.tv/a.png",
            "https://assets.plex.tv/a.png",
        ),
        (
            "https://secure.gravatar.com/avatar/a?d=x",
            "https://secure.gravatar.com/avatar/a?d=x",
        ),
        (
            "https://i2.wp.com/example.org/a.png",
            "https://i2.wp.com/example.org/a.png",
        ),
        (
            "http://pictures.example.org/a.png",
            "https://pictures.example.org/a.png",
        ),
    ] {
        assert_eq!(resolve(text), Some(public(dialled)), "{text}");
    }
}

#[test]
fn a_stand_in_for_plex_tv_takes_its_place_altogether() {
    let stand_in = url("http://127.0.0.1:9999");
    let rules = Rules {
        plex: None,
        plex_tv: &stand_in,
        hosts: &[],
    };
    let there = Some(public("http://127.0.0.1:9999/users/a1/avatar"));
    for text in [
        "https://plex.tv/users/a1/avatar",
        "http://127.0.0.1:9999/users/a1/avatar",
    ] {
        assert_eq!(rules.resolve(text), there, "{text}");
    }
    for text in [
        "https://127.0.0.1:9999/users/a1/avatar",
        "http://127.0.0.1:9998/users/a1/avatar",
        "https://assets.plex.tv/a.png",
        "https://www.gravatar.com/avatar/a",
    ] {
        assert_eq!(rules.resolve(text), None, "{text}");
    }
}

#[test]
fn the_plex_server_is_no_public_host_even_if_it_is_listed_as_one() {
    let plex_tv = url("https://plex.tv");
    let rules = Rules {
        plex: Some(&url("https://pictures.example.org")),
        plex_tv: &plex_tv,
        hosts: &["pictures.example.org".to_owned()],
    };
    let elsewhere = "https://pictures.example.org/status/sessions";
    assert_eq!(rules.resolve(elsewhere), None);
    assert_eq!(rules.next_hop(&plex_tv, elsewhere), None);
    let picture = format!("https://pictures.example.org{THUMB}");
    assert_eq!(rules.resolve(&picture), Some(plex(THUMB)));
}

#[test]
fn a_stand_in_for_plex_tv_may_be_where_the_plex_server_is() {
    let both = url("http://127.0.0.1:9999");
    let rules = Rules {
        plex: Some(&both),
        plex_tv: &both,
        hosts: &[],
    };
    let avatar = "http://127.0.0.1:9999/users/a1/avatar?c=17";
    assert_eq!(rules.resolve(avatar), Some(public(avatar)));
    let picture = format!("http://127.0.0.1:9999{THUMB}");
    assert_eq!(rules.resolve(&picture), Some(plex(THUMB)));
}

#[test]
fn redirects_stay_among_the_public_hosts() {
    let plex_tv = url("https://plex.tv");
    let rules = Rules {
        plex: Some(&url("http://127.0.0.1:32400")),
        plex_tv: &plex_tv,
        hosts: &[],
    };
    let from = url("https://plex.tv/users/a1/avatar");
    let hop = |location: &str| rules.next_hop(&from, location);
    assert_eq!(
        hop("https://www.gravatar.com/avatar/a?d=x#y"),
        Some(url("https://www.gravatar.com/avatar/a?d=x"))
    );
    assert_eq!(
        hop("http://i0.wp.com/a.png"),
        Some(url("https://i0.wp.com/a.png"))
    );
    assert_eq!(hop("/a.png"), Some(url("https://plex.tv/a.png")));
    for location in [
        "http://127.0.0.1:32400/library/metadata/7/thumb/1",
        "http://127.0.0.1:8000/",
        "//example.org/a.png",
        "https://user@plex.tv/a.png",
        "https://plex.tv:8443/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "http://[::1]/",
    ] {
        assert_eq!(hop(location), None, "{location}");
    }
}
