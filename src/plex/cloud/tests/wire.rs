//! What goes over the wire, and what becomes of answers that are none.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;

use super::script::{Reply, Script};
use super::*;

const CONTAINER: &str = "<MediaContainer size='0'/>";
const SERVER: &str =
    "<MediaContainer><Server><Section id='118' key='2'/></Server></MediaContainer>";

/// Asks for something that a token is needed for.
async fn ask(script: &Script) -> Result<(), CloudError> {
    let token = Secret::new("t0ken");
    script.tv.people(&token).await.map(|_| ())
}

/// Changes something that a token is needed for.
async fn change(script: &Script) -> Result<(), CloudError> {
    let token = Secret::new("t0ken");
    script.tv.enable_view_state_sync(&token).await
}

#[tokio::test]
async fn what_only_asks_is_tried_again() {
    use Reply::{Leave, Say};
    let busy = Script::of(&[
        Say("503 Unavailable", "", ""),
        Leave,
        Say("200 OK", "", CONTAINER),
    ]);
    let busy = busy.await;
    assert_eq!(ask(&busy).await, Ok(()));
    assert_eq!(busy.targets(), ["GET /api/users/"; 3]);

    let down = Script::of(&[Say("500 Down", "", "down")]).await;
    let error = ask(&down).await.unwrap_err();
    assert_eq!(down.asked().len(), 3);
    assert_eq!(error.status(), Some(500));
    assert!(!error.is_uncertain(), "nothing was to be changed");

    let refusing = Script::of(&[Say("401 No", "", "")]).await;
    assert!(ask(&refusing).await.unwrap_err().is_refused());
    assert_eq!(refusing.asked().len(), 1);

    for (body, broken) in [
        ("<html>Log in</html>", CloudError::NotPlexTv),
        ("<MediaContainer>", CloudError::NotPlexTv),
        ("", CloudError::NotPlexTv),
    ] {
        let replies = Box::leak(Box::new([Say("200 OK", "", body)]));
        let script = Script::of(replies).await;
        assert_eq!(ask(&script).await, Err(broken), "{body}");
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_changes_something_is_tried_again_only_if_it_surely_did_not() {
    use Reply::{Leave, Say};
    let busy = Script::of(&[
        Say("429 Calm", "retry-after: 0\r\n", ""),
        Say("204 Ok", "", ""),
    ]);
    let busy = busy.await;
    assert_eq!(change(&busy).await, Ok(()));
    assert_eq!(busy.asked().len(), 2);

    for (reply, status, uncertain) in [
        (Say("503 Later", "retry-after: 0\r\n", ""), Some(503), true),
        (Say("200 OK", "", "<!DOCTYPE html><p>Log in"), None, true),
        (Leave, None, true),
        (Say("422 No", "", "already"), Some(422), false),
        (Say("302 Go", "location: /\r\n", ""), Some(302), false),
        (Say("429 No", "retry-after: 600\r\n", ""), Some(429), false),
        (
            Say("429 No", "retry-after: 18446744073709551615\r\n", ""),
            Some(429),
            false,
        ),
    ] {
        let script = Script::of(Box::leak(Box::new([reply]))).await;
        let error = change(&script).await.unwrap_err();
        assert_eq!(error.status(), status, "{error:?}");
        assert_eq!(error.is_uncertain(), uncertain, "{error:?}");
        assert_eq!(script.asked().len(), 1, "{error:?}");
        if status == Some(429) {
            assert!(error.retry_after() >= Some(Duration::from_secs(600)));
        }
    }
}

#[tokio::test]
async fn without_a_connection_nothing_has_happened() {
    let nobody = client("http://127.0.0.1:9");
    let began = Instant::now();
    let token = Secret::new("t0ken");
    let error = nobody.enable_view_state_sync(&token).await.unwrap_err();
    assert_eq!(error, CloudError::Connect);
    assert!(!error.is_uncertain());
    assert!(began.elapsed() >= Duration::from_millis(700), "three tries");
}

#[tokio::test]
async fn a_short_time_of_peace_is_kept() {
    let script = Script::of(&[
        Reply::Say("429 Calm", "retry-after: 1\r\n", ""),
        Reply::Say("200 OK", "", CONTAINER),
    ]);
    let script = script.await;
    let began = Instant::now();
    assert_eq!(ask(&script).await, Ok(()));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn ten_seconds_are_enough_for_anybody() {
    let script = Script::of(&[Reply::Hang]).await;
    let (asked, changed, ()) = tokio::join!(ask(&script), change(&script), async {
        until(|| script.asked().len() == 2).await;
        pass(9).await;
        sleep(Duration::from_millis(20)).await;
        pass(2).await;
    });
    assert_eq!(asked, Err(CloudError::Timeout));
    let unknown = CloudError::Uncertain(Box::new(CloudError::Timeout));
    assert_eq!(changed, Err(unknown));
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn four_calls_are_made_at_a_time_and_waiting_for_a_place_counts() {
    let stage = Stage::new().await;
    let path = "/api/v2/user/view_state_sync";
    let sync = || stage.tv.enable_view_state_sync(&stage.owner);
    stage.plex.set_fault(path, Fault::Hold);
    let (done, ()) = tokio::join!(join_all((0..6).map(|_| sync())), async {
        until(|| stage.plex.calls(path) == 4).await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(stage.plex.most_at_once(), 4);
        stage.plex.clear_faults();
        stage.plex.release_holds();
    });
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(stage.plex.most_at_once(), 4);

    stage.plex.forget_calls();
    stage.plex.set_fault(path, Fault::Hang);
    let (failed, ()) = tokio::join!(join_all((0..5).map(|_| sync())), async {
        until(|| stage.plex.calls(path) == 4).await;
        pass(11).await;
    });
    assert_eq!(stage.plex.calls(path), 4);
    let uncertain = failed
        .iter()
        .filter(|one| one.as_ref().unwrap_err().is_uncertain());
    assert_eq!(uncertain.count(), 4);
    assert_eq!(failed[4], Err(CloudError::Timeout), "it never left");
}

#[tokio::test]
async fn more_than_anybody_would_read_is_not_read() {
    let stage = Stage::new().await;
    stage
        .plex
        .set_fault("/api/users/", Fault::Huge(4 * 1024 * 1024 + 1));
    let people = stage.tv.people(&stage.owner).await;
    assert_eq!(people, Err(CloudError::TooLarge));
    // A refusal stays one, however much is said with it.
    let path = "/api/v2/user";
    stage.plex.set_fault(path, Fault::Status(403));
    let refused = stage.tv.account(&stage.owner).await.unwrap_err();
    assert_eq!(refused.status(), Some(403));
    stage
        .plex
        .set_fault(path, Fault::Redirect(stage.plex.url()));
    let moved = stage.tv.account(&stage.owner).await.unwrap_err();
    assert_eq!(moved.status(), Some(302));
    assert_eq!(stage.plex.calls("/"), 0, "not followed");
}

#[tokio::test]
async fn every_call_says_who_calls_and_hides_the_token_in_a_header() {
    let script = Script::of(&[Reply::Say("200 OK", "", CONTAINER)]).await;
    ask(&script).await.unwrap();
    change(&script).await.unwrap();
    for request in script.asked() {
        let (line, headers) = request.split_once("\r\n").unwrap();
        assert!(!line.contains("t0ken"), "{line}");
        for header in [
            "x-plex-token: t0ken",
            "x-plex-client-identifier: an-installation",
            "x-plex-product: Komandorr",
            concat!("x-plex-version: ", env!("CARGO_PKG_VERSION")),
            "x-plex-platform: ",
            "x-plex-device: ",
            "x-plex-device-name: Komandorr",
        ] {
            assert_eq!(headers.matches(header).count(), 1, "{header} in {headers}");
        }
    }
    assert_eq!(
        script.targets()[1],
        "PUT /api/v2/user/view_state_sync?consent=True"
    );
}

#[tokio::test]
async fn an_invitation_has_the_form_that_plex_tv_takes() {
    let script = Script::of(&[Reply::Say("200 OK", "", SERVER)]).await;
    let invitation = Invitation {
        machine: "m/1".to_owned(),
        sections: vec!["2".to_owned(), "9".to_owned()],
        email: "a+b&c@x.org".to_owned(),
        allow_sync: true,
        allow_camera_upload: false,
        allow_channels: true,
        home: true,
    };
    let token = Secret::new("t0ken");
    script.tv.invite(&token, &invitation).await.unwrap();
    assert_eq!(
        script.targets(),
        [
            "GET /api/servers/m%2F1",
            "GET /api/users/",
            "POST /api/home/users?invitedEmail=a%2Bb%26c%40x.org",
            "POST /api/servers/m%2F1/shared_servers",
        ]
    );
    let asked = script.asked();
    for post in &asked[2..] {
        assert!(
            post.contains("\r\ncontent-type: application/json\r\n"),
            "{post}"
        );
    }
    let (_, body) = asked[3].split_once("\r\n\r\n").unwrap();
    assert_eq!(
        body,
        r#"{"server_id":"m/1","shared_server":{"library_section_ids":[118],"#.to_owned()
            + r#""invited_email":"a+b&c@x.org"},"sharing_settings":{"allowSync":"1","#
            + r#""allowCameraUpload":"0","allowChannels":"1","filterMovies":"","#
            + r#""filterTelevision":"","filterMusic":""}}"#
    );
    assert!(asked[2].ends_with("\r\n\r\n"), "no body");
}

#[tokio::test]
async fn a_pin_is_asked_for_as_3_3_0_did() {
    let made = r#"{"id":7,"code":"abc","authToken":null}"#;
    let replies = Box::leak(Box::new([Reply::Say("201 Created", "", made)]));
    let script = Script::of(replies).await;
    let code = "abc".to_owned();
    assert_eq!(script.tv.create_pin().await, Ok(Pin { id: 7, code }));
    assert_eq!(script.tv.pin(7).await, Ok(PinState::Waiting));
    assert_eq!(
        script.targets(),
        ["POST /api/v2/pins?strong=true", "GET /api/v2/pins/7"]
    );
    for request in script.asked() {
        assert!(request.contains("\r\nx-plex-client-identifier: komandorr-invite\r\n"));
        assert!(request.contains("\r\naccept: application/json\r\n"));
        assert!(!request.contains("token"), "{request}");
        assert!(!request.contains("an-installation"));
    }
    let asked = script.asked();
    assert!(asked[0].contains("\r\nx-plex-product: Komandorr\r\nx-plex-version: 1.0\r\n"));
    assert!(asked[0].ends_with("\r\n\r\n"), "no body");

    for (status, body) in [
        ("200 OK", made),
        ("201 Created", r#"{"id":7}"#),
        ("201 Created", r#"{"id":"x","code":"abc"}"#),
        ("201 Created", "[]"),
        ("201 Created", ""),
    ] {
        let replies = Box::leak(Box::new([Reply::Say(status, "", body)]));
        let pin = Script::of(replies).await.tv.create_pin().await;
        assert_eq!(pin, Err(CloudError::NotPlexTv), "{status} {body}");
    }
    let nothing = Script::of(&[Reply::Say("200 OK", "", "{}")]).await;
    assert_eq!(nothing.tv.pin(7).await, Err(CloudError::NotPlexTv));
    let xml = r#"<pin id="7" code="abc" authToken="s3cret"/>"#;
    let replies = Box::leak(Box::new([Reply::Say("200 OK", "", xml)]));
    let state = Script::of(replies).await.tv.pin(7).await;
    assert_eq!(state, Ok(PinState::Authorized(Secret::new("s3cret"))));
    assert!(!format!("{state:?}").contains("s3cret"));
}

#[tokio::test]
async fn errors_say_what_plex_tv_said_but_no_secret() {
    let replies = &[Reply::Say(
        "422 No",
        "",
        "You're already sharing\nwith t0ken",
    )];
    let script = Script::of(replies).await;
    let error = change(&script).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "(422) unprocessable_entity; {}/api/v2/user/view_state_sync You're already sharing with ***",
            script.url
        )
    );
    assert!(!format!("{error:?}").contains("t0ken"));
}

#[tokio::test]
async fn the_time_is_that_of_any_answer() {
    let stage = Stage::new().await;
    let off = async || (stage.tv.clock().await.unwrap() - Utc::now()).abs();
    assert!(off().await < TimeDelta::seconds(5));
    let header = ("date", "Tue, 01 Jan 2030 00:00:00 GMT".to_owned());
    for status in [200, 404, 503] {
        let header = header.clone();
        let fault = Fault::StatusWith { status, header };
        stage.plex.set_fault("*", fault);
        assert_eq!(
            stage.tv.clock().await.unwrap().to_rfc3339(),
            "2030-01-01T00:00:00+00:00"
        );
    }
    for headers in ["", "date: soon\r\n"] {
        let replies = Box::leak(Box::new([Reply::Say("200 OK", headers, "")]));
        let timeless = Script::of(replies).await;
        assert_eq!(timeless.tv.clock().await, Err(CloudError::NotPlexTv));
        assert!(!timeless.asked()[0].contains("x-plex-token"));
    }
    stage.plex.refuse().await;
    assert!(stage.tv.clock().await.is_err());
}
