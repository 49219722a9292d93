//! The contract of the store: each sentence of the trait's documentation as a test, run on every
//! implementation.
//!
//! Invariant: a sentence knows the trait alone; what is special to one implementation stands in
//! a file of its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails here fails, and says where"
)]

mod appending;
mod claiming;
mod counting;
#[path = "../../src/store/postgres/testing.rs"]
mod database;
mod dispatched;
mod dispatching;
mod expiring;
mod ground;
mod history;
mod listing;
mod making;
mod postgres_broken;
mod postgres_damaged;
mod postgres_shared;
mod postgres_start;
mod ordering;
mod recording;
mod redriving;
mod replaying;
mod rescheduling;
mod samples;
mod sealing;
mod sqlite_file;
mod subscribing;
mod tokens;
mod wire;

use ground::Ground as _;

/// Runs every sentence on one implementation.
macro_rules! conformance {
    ($name:ident = $ground:ty) => {
        mod $name {
            use super::*;

            sentences!($ground, appending: {
                a_store_says_that_it_can_be_written_to,
                an_event_is_read_back_as_it_came,
                an_event_without_anything_optional_is_read_back,
                large_bodies_are_read_back,
                an_event_is_stored_once_however_often_it_comes,
                an_event_that_comes_twice_in_a_group_is_stored_once,
                of_the_events_of_one_repeated_request_the_first_is_stored,
                the_first_version_of_an_event_stays,
                a_group_of_five_thousand_is_stored,
                no_events_are_no_events,
                a_sequence_grows_as_events_are_stored,
                what_is_stored_later_has_the_greater_sequence,
                events_appended_by_many_at_once_are_new_to_one_of_them,
                what_was_appended_survives_a_crash,
            });
            sentences!($ground, dispatched: {
                an_event_has_its_deliveries_and_does_not_wait,
                one_that_nobody_asked_for_does_not_wait_either,
                what_was_there_before_keeps_its_deliveries,
                of_one_repeated_request_the_first_has_deliveries,
                the_router_is_shown_the_sequence_that_is_stored,
                of_many_who_store_an_event_one_dispatches_it,
                what_was_stored_so_survives_a_crash,
            });
            sentences!($ground, claiming: {
                events_are_handed_out_when_they_are_due,
                the_oldest_events_are_handed_out_first,
                an_event_that_is_leased_is_not_handed_out_before_its_lease_ends,
                an_event_that_was_dispatched_is_not_handed_out,
                what_a_dead_process_had_in_hand_is_due_again,
                two_who_claim_events_never_get_the_same_one,
                the_delivery_that_is_due_the_longest_is_handed_out_first,
                a_delivery_that_is_leased_is_not_handed_out_before_its_lease_ends,
                a_delivery_is_handed_out_with_all_that_an_attempt_needs,
                two_who_claim_deliveries_never_get_the_same_one,
                what_is_in_somebodys_hands_is_told_with_its_lease,
            });
            sentences!($ground, dispatching: {
                a_delivery_begins_pending_and_unattempted,
                an_event_that_was_dispatched_before_is_left_out_with_its_deliveries,
                an_event_that_is_not_stored_is_left_out_with_its_deliveries,
                an_event_that_comes_twice_in_a_call_is_dispatched_once,
                an_event_that_nobody_asked_for_is_dispatched_all_the_same,
                every_delivery_keeps_its_own_payload,
                ten_thousand_listeners_get_a_delivery_each,
                of_two_who_dispatch_an_event_one_is_left_out,
            });
            sentences!($ground, recording: {
                a_success_delivers,
                a_failure_is_tried_again_at_its_time,
                a_death_has_its_cause,
                a_delivery_that_was_not_attempted_is_put_back,
                a_delivery_that_was_not_attempted_can_die,
                what_is_recorded_again_changes_nothing,
                what_is_put_off_late_does_not_disturb_the_retry,
                a_delivered_one_is_never_moved_back,
                a_dead_one_is_never_revived,
                a_success_counts_from_any_attempt,
                a_failure_counts_from_the_latest_attempt_alone,
                verdicts_of_one_call_are_taken_in_their_order,
                a_verdict_on_nothing_does_not_harm_the_others,
                many_verdicts_are_recorded_in_one_call,
                a_death_is_told_once_as_an_event_to_dispatch,
                a_death_that_was_wanted_or_of_what_told_of_one_is_not_told,
                what_was_recorded_survives_a_crash,
            });
            sentences!($ground, making: {
                what_is_unmade_is_handed_out_so_until_it_was_made,
                each_unmade_one_is_made_by_itself,
                what_was_made_stays_as_it_is,
                what_is_filtered_says_why_and_by_which_script,
                what_died_of_its_script_is_brought_back_to_be_made,
                the_text_of_a_script_is_read_back_by_its_version,
            });
            sentences!($ground, expiring: {
                what_is_finished_and_old_goes_with_all_that_belongs_to_it,
                what_is_to_be_delivered_stays_however_old_it_is,
                what_happened_or_was_stored_later_stays,
                little_is_looked_at_at_a_time,
                an_event_that_is_gone_can_come_again,
                a_pass_deletes_everything_that_is_old_and_nothing_else,
            });
            sentences!($ground, counting: {
                in_an_empty_store_nothing_waits,
                events_that_wait_are_counted_and_the_oldest_tells_since_when,
                deliveries_are_due_when_their_time_has_come_and_nobody_has_them,
                what_a_subscription_waits_for_is_counted_and_the_oldest_tells_since_when,
                dead_letters_are_counted_by_cause_until_they_are_brought_back,
            });
            sentences!($ground, subscribing: {
                a_subscription_is_read_back_as_it_was_made,
                an_upsert_changes_all_but_id_secret_and_creation,
                an_upsert_changes_the_secret_if_a_new_one_is_asked_for,
                the_same_url_may_be_subscribed_under_several_patterns,
                of_many_who_upsert_at_once_one_creates,
                an_update_replaces_the_subscription_of_its_id,
                an_update_of_nothing_says_so,
                one_is_disabled_once_and_says_why,
                that_one_was_disabled_is_told_once_as_an_event_to_dispatch,
                since_when_a_receiver_fails_is_kept_until_it_works,
                its_owners_changes_begin_anew_since_when_a_receiver_fails,
                no_part_of_a_pace_is_given_away_twice,
                an_update_to_a_target_that_is_taken_is_refused,
                a_deletion_kills_pending_deliveries_alone,
                a_deletion_of_nothing_says_so,
                subscriptions_are_listed_newest_first_page_by_page,
                a_deleted_target_can_be_subscribed_again,
            });
            sentences!($ground, redriving: {
                a_dead_letter_is_brought_back_for_a_new_series,
                only_what_is_dead_and_has_a_subscription_is_brought_back,
                a_late_failure_does_not_disturb_what_was_brought_back,
                a_dead_letter_is_forgotten_with_its_attempts,
                what_was_brought_back_does_not_expire,
            });
            sentences!($ground, replaying: {
                a_replayed_event_has_another_delivery_with_a_payload_of_its_own,
                an_event_that_is_not_dispatched_or_not_stored_is_not_replayed,
                if_asked_for_only_what_is_missing_is_replayed,
                an_event_replayed_by_many_at_once_is_replayed_by_each,
                what_is_replayed_does_not_expire,
            });
            sentences!($ground, ordering: {
                an_ordered_delivery_waits_for_the_earlier_ones_about_its_subject,
                when_one_is_finished_the_next_is_due,
                the_next_one_is_due_no_earlier_than_it_was_at_first,
                what_is_tried_again_keeps_its_place_and_its_time,
                an_event_that_is_not_dispatched_yet_is_ahead_too,
                what_is_not_ordered_or_about_something_else_does_not_wait,
                with_a_subscription_its_lines_are_gone,
                what_is_redriven_does_not_wait,
            });
            sentences!($ground, rescheduling: {
                what_waits_is_told_with_what_its_next_time_follows_from,
                what_waits_is_made_due_at_another_time,
                what_is_in_hand_or_was_moved_meanwhile_stays,
            });
            sentences!($ground, sealing: {
                nothing_of_a_secret_or_a_header_shows_in_the_database,
                without_a_key_they_are_kept_in_clear,
                what_is_in_clear_is_read_and_sealed_when_there_is_a_key,
                one_key_follows_another_without_a_loss,
                what_changes_while_seals_are_exchanged_is_not_overwritten,
                a_store_whose_key_is_missing_is_left_alone,
                without_a_key_no_seal_is_exchanged,
            });
            sentences!($ground, listing: {
                events_are_listed_newest_first_page_by_page,
                what_is_added_meanwhile_neither_repeats_nor_hides_an_event,
                filters_of_events_combine,
                an_event_hardly_later_than_its_id_is_listed_by_its_time,
                an_event_that_came_late_is_listed_by_its_time,
                filters_of_deliveries_combine,
                what_is_added_meanwhile_neither_repeats_nor_hides_a_delivery,
                what_is_not_there_is_not_found,
            });
            sentences!($ground, tokens: {
                a_token_is_read_back_as_it_was_made,
                a_token_that_is_added_again_changes_nothing,
                a_token_is_revoked_once_and_stays,
                a_revocation_of_nothing_says_so,
                tokens_are_listed_newest_first_page_by_page,
                what_was_revoked_stays_so_after_a_crash,
            });

            #[test]
            fn any_history_keeps_the_invariants() {
                history::any_history_keeps_the_invariants::<$ground>();
            }
        }
    };
}

macro_rules! sentences {
    ($ground:ty, $module:ident: {$($sentence:ident),* $(,)?}) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                let mut ground = <$ground>::fresh().await;
                $module::$sentence(&mut ground).await;
            }
        )*
    };
}

conformance!(sqlite = ground::SqliteGround);
conformance!(postgres = ground::PostgresGround);
