//! Inviting, accepting, removing and logging in, from beginning to end.

use super::*;

#[tokio::test]
async fn accounts_people_and_shares_are_what_plex_tv_says() {
    let stage = Stage::new().await;
    let (tv, owner) = (&stage.tv, &stage.owner);
    let account: Account = tv.account(owner).await.unwrap();
    assert_eq!(account.username, "harbourmaster");
    assert_eq!(account.email, "harbourmaster@example.org");
    assert_eq!(account.title, "harbourmaster");
    assert!(account.id.parse::<u64>().is_ok() && account.thumb.starts_with("http"));
    assert!(
        tv.account(&Secret::new("wrong"))
            .await
            .unwrap_err()
            .is_refused()
    );
    let xml = r#"<user id="5" username="x" email="y" thumb=""/>"#;
    let xml = Fault::Content(None, xml.as_bytes().to_vec());
    stage.plex.set_fault("/api/v2/user", xml);
    assert_eq!(tv.account(owner).await.unwrap().id, "5");
    stage
        .plex
        .set_fault("/api/v2/user", Fault::Body("{}".to_owned()));
    assert_eq!(tv.account(owner).await, Err(CloudError::NotPlexTv));
    stage.plex.set_fault("/api/v2/user", Fault::BrokenJson);
    assert_eq!(tv.account(owner).await, Err(CloudError::NotPlexTv));
    stage.plex.clear_faults();

    let people: Vec<Person> = tv.people(owner).await.unwrap();
    assert_eq!(people.len(), 17);
    let kids = people.iter().find(|person| person.title == "Kids").unwrap();
    assert!(kids.home && kids.restricted && kids.email.is_empty());
    let find = async |name: &str| {
        tv.find(owner, named(name))
            .await
            .unwrap()
            .map(|found| found.title)
    };
    let brine = Some("captain_brine".to_owned());
    assert_eq!(find("CaptainBrine@Example.org").await, brine);
    assert_eq!(find("CAPTAIN_brine").await, brine);
    assert_eq!(find("31007254").await, brine);
    assert_eq!(find("kids").await.as_deref(), Some("Kids"), "by the title");
    assert_eq!(find("nobody@example.org").await, None);

    let shares: Vec<Share> = tv.shares(owner, &stage.machine).await.unwrap();
    assert_eq!(shares.len(), 17);
    assert!(shares.iter().all(|share| share.accepted == Some(true)));
    let other = tv.shares(owner, "another").await.unwrap_err();
    assert_eq!(other.status(), Some(404));
    assert_eq!(stage.plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn a_friend_is_invited_accepts_and_is_removed() {
    let stage = Stage::new().await;
    let email = "pelle+plex@example.org";
    let pelle = stage.guest(email);
    stage.invite(email).await.unwrap();
    let taken = stage.plex.invitations();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].email.as_str(), taken[0].home), (email, false));
    assert_eq!(taken[0].sections, [1, 3]);
    assert!(taken[0].allow_sync && !taken[0].allow_camera_upload && taken[0].allow_channels);
    let pending = stage.tv.shares(&stage.owner, &stage.machine).await.unwrap();
    let pending = pending.iter().find(|share| share.email == email).unwrap();
    assert_eq!(pending.accepted, Some(false));
    assert_eq!(
        stage.tv.find(&stage.owner, named(email)).await.unwrap(),
        None
    );

    let again = stage.invite(&email.to_uppercase()).await.unwrap_err();
    assert!(again.to_string().contains("already sharing"), "{again}");
    assert_eq!((again.status(), again.is_uncertain()), (Some(422), false));

    assert_eq!(stage.accept(email).await, Ok(Acceptance::Accepted));
    assert!(stage.plex.invitations()[0].accepted);
    assert!(
        stage
            .tv
            .find(&stage.owner, named(email))
            .await
            .unwrap()
            .is_some()
    );
    stage.tv.enable_view_state_sync(&pelle).await.unwrap();
    assert!(stage.plex.is_synced(email));
    assert_eq!(stage.accept(email).await, Ok(Acceptance::NothingPending));

    assert_eq!(stage.remove(email).await, Ok(Removal::Removed));
    assert!(!stage.plex.is_shared_with(email));
    assert_eq!(stage.remove(email).await, Ok(Removal::NotFound));
    let paths = stage.plex.calls_by_path();
    assert!(paths.keys().all(|path| !path.starts_with("/api/invites")));
    assert_eq!(stage.plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn a_pending_invitation_is_taken_back() {
    let stage = Stage::new().await;
    // Somebody without an account, and somebody who has not answered.
    stage.guest("hesitant@example.org");
    for email in ["stranger@example.org", "hesitant@example.org"] {
        stage.invite(email).await.unwrap();
        let without_server = stage.tv.remove(&stage.owner, None, named(email)).await;
        assert_eq!(without_server, Ok(Removal::NotFound));
        assert_eq!(stage.remove(email).await, Ok(Removal::Removed), "{email}");
        assert!(!stage.plex.is_shared_with(email));
    }
}

#[tokio::test]
async fn who_has_another_address_by_now_is_known_by_their_number() {
    let stage = Stage::new().await;
    // Somebody else has the address that is known.
    let (old, captain) = ("mrtak@example.org", "captainbrine@example.org");
    let removed = stage.remove_known(old, Some("31007254")).await;
    assert_eq!(removed, Ok(Removal::Removed));
    assert!(!stage.plex.is_shared_with(captain) && stage.plex.is_shared_with(old));
    // As much before the invitation is accepted.
    let guest = stage.guest("hesitant@example.org");
    let id = stage.tv.account(&guest).await.unwrap().id;
    stage.invite("hesitant@example.org").await.unwrap();
    let removed = stage.remove_known("nobody@example.org", Some(&id)).await;
    assert_eq!(removed, Ok(Removal::Removed));
    assert!(!stage.plex.is_shared_with("hesitant@example.org"));
}

#[tokio::test]
async fn a_member_of_the_home_leaves_it_too() {
    let stage = Stage::new().await;
    let email = "tanteinga@example.org";
    assert!(stage.plex.is_at_home(email));
    let home = "/api/home/users/25093358";
    stage.plex.set_fault(home, Fault::Status(500));
    let half = stage.remove(email).await.unwrap_err();
    assert!(half.is_uncertain(), "{half}");
    assert!(!stage.plex.is_shared_with(email) && stage.plex.is_at_home(email));
    stage.plex.clear_faults();
    assert_eq!(stage.remove(email).await, Ok(Removal::Removed));
    assert!(!stage.plex.is_at_home(email));
    // A friend is in no Home.
    assert_eq!(
        stage.remove("maertak@example.org").await,
        Ok(Removal::NotFound)
    );
    assert_eq!(
        stage.remove("mrtak@example.org").await,
        Ok(Removal::Removed)
    );
    assert_eq!(stage.plex.calls("/api/home/users/40085712"), 0);
}

#[tokio::test]
async fn nobody_is_removed_for_the_name_they_show() {
    let stage = Stage::new().await;
    assert_eq!(stage.remove("Kids").await, Ok(Removal::NotFound));
    assert_eq!(stage.plex.calls("/api/v2/sharings/23471986"), 0);
    assert!(stage.plex.is_shared_with("Kids"));
}

#[tokio::test]
async fn a_failed_removal_is_an_error() {
    let stage = Stage::new().await;
    let email = "captainbrine@example.org";
    let sharing = "/api/v2/sharings/31007254";
    for (path, uncertain) in [("/api/users/", false), (sharing, true)] {
        stage.plex.set_fault(path, Fault::Status(502));
        let error = stage.remove(email).await.unwrap_err();
        assert_eq!(error.is_uncertain(), uncertain, "{path}");
        stage.plex.clear_faults();
        assert!(stage.plex.is_shared_with(email));
    }
    stage.plex.set_fault(sharing, Fault::Cut);
    // 204 has no body that could be cut off.
    assert_eq!(stage.remove(email).await, Ok(Removal::Removed));
}

#[tokio::test]
async fn libraries_that_plex_tv_does_not_know_are_left_out() {
    let stage = Stage::new().await;
    let mut invitation = stage.invitation("pelle@example.org");
    invitation.sections = vec!["5".to_owned(), "77".to_owned(), " 2 ".to_owned()];
    stage.tv.invite(&stage.owner, &invitation).await.unwrap();
    assert_eq!(stage.plex.invitations()[0].sections, [2, 5]);
    for sections in [vec![], vec!["77".to_owned()], vec![String::new()]] {
        invitation.sections = sections;
        let invited = stage.tv.invite(&stage.owner, &invitation).await;
        assert_eq!(invited, Err(CloudError::NoLibraries));
    }
    assert_eq!(stage.plex.calls(&stage.shared_servers()), 1);
}

#[tokio::test]
async fn an_invitation_to_the_home_is_two_steps() {
    let stage = Stage::new().await;
    let mut invitation = stage.invitation("pelle+1@example.org");
    invitation.home = true;
    let invite = async |email: &str| {
        let email = email.to_owned();
        let invitation = Invitation {
            email,
            ..invitation.clone()
        };
        stage.tv.invite(&stage.owner, &invitation).await
    };
    invite("pelle+1@example.org").await.unwrap();
    let taken = stage.plex.invitations();
    assert!(taken[0].home && taken[0].sections == [1, 3]);
    assert_eq!(
        stage.accept("pelle+1@example.org").await,
        Ok(Acceptance::Accepted)
    );
    assert!(stage.plex.is_at_home("pelle+1@example.org"));
    let again = invite("pelle+1@example.org").await.unwrap_err();
    assert!(again.to_string().contains("already") && !again.is_uncertain());

    // Somebody known by exactly this user name has the server already.
    let offers = stage.plex.calls(&stage.shared_servers());
    invite("nkechi@example.org").await.unwrap();
    assert_eq!(stage.plex.calls(&stage.shared_servers()), offers);

    stage
        .plex
        .set_fault(&stage.shared_servers(), Fault::Status(403));
    let half = invite("quill@example.org").await.unwrap_err();
    assert!(matches!(half, CloudError::OnlyHome(_)), "{half:?}");
    assert!(!half.is_uncertain());
    assert_eq!(half.status(), Some(403));
    assert_eq!(stage.plex.invitations().len(), 3);
    assert!(!stage.plex.is_shared_with("quill@example.org"));
    // Another try makes the half that is missing.
    stage.plex.clear_faults();
    invite("quill@example.org").await.unwrap();
    let taken = stage.plex.invitations();
    assert!(
        taken.len() == 3
            && taken
                .iter()
                .any(|one| one.home && one.email == "quill@example.org")
    );
    assert!(stage.plex.is_shared_with("quill@example.org"));
    assert!(
        invite("quill@example.org").await.is_err(),
        "nothing is missing"
    );
}

#[tokio::test]
async fn it_is_said_whether_an_invitation_may_have_been_made() {
    let stage = Stage::new().await;
    let server = format!("/api/servers/{}", stage.machine);
    for fault in [Fault::Status(500), Fault::Html, Fault::Cut] {
        stage.plex.set_fault(&server, fault.clone());
        let error = stage.invite("pelle@example.org").await.unwrap_err();
        assert!(!error.is_uncertain(), "only asked: {fault:?}");
        stage.plex.clear_faults();
    }
    assert_eq!(stage.plex.calls(&stage.shared_servers()), 0);

    stage.plex.set_fault(&stage.shared_servers(), Fault::Cut);
    let error = stage.invite("pelle@example.org").await.unwrap_err();
    assert!(error.is_uncertain(), "{error}");
    assert!(
        stage.plex.is_shared_with("pelle@example.org"),
        "it was made"
    );
    assert_eq!(stage.plex.calls(&stage.shared_servers()), 1);
}

#[tokio::test]
async fn an_invitation_that_takes_its_time_is_waited_for() {
    let mut stage = Stage::new().await;
    stage.tv.look_again = Duration::from_millis(400);
    let pending = "/api/v2/shared_servers/invites/received/pending";
    let (accepted, ()) = tokio::join!(stage.accept("pelle"), async {
        until(|| stage.plex.calls(pending) == 1).await;
        stage.invite("pelle@example.org").await.unwrap();
    });
    assert_eq!(accepted, Ok(Acceptance::Accepted));
    assert_eq!(stage.plex.calls(pending), 2);

    stage.tv.look_again = Duration::from_millis(1);
    assert_eq!(stage.accept("nobody").await, Ok(Acceptance::NothingPending));
    assert_eq!(stage.plex.calls(pending), 5, "three looks");
    stage.plex.set_fault(pending, Fault::Status(410));
    let gone = stage.accept("nobody").await.unwrap_err();
    assert_eq!(gone.status(), Some(410));
}

#[tokio::test]
async fn a_pin_is_confirmed_or_too_old() {
    let stage = Stage::new().await;
    let pin = stage.tv.create_pin().await.unwrap();
    assert_eq!(stage.tv.pin(pin.id).await, Ok(PinState::Waiting));
    assert!(stage.plex.authorize_pin(pin.id, "pelle"));
    let PinState::Authorized(token) = stage.tv.pin(pin.id).await.unwrap() else {
        panic!("it was confirmed");
    };
    let account = stage.tv.account(&token).await.unwrap();
    assert_eq!(account.username, "pelle");
    assert_eq!(account.email, "pelle@example.org");
    stage.plex.expire_pin(pin.id);
    assert_eq!(stage.tv.pin(pin.id).await, Ok(PinState::Expired));
    assert!(!stage.plex.authorize_pin(pin.id, "pelle"));
    let path = format!("/api/v2/pins/{}", pin.id);
    stage.plex.set_fault(&path, Fault::Status(403));
    assert_eq!(stage.tv.pin(pin.id).await.unwrap_err().status(), Some(403));
}
