//! Finds the subscriptions that ask for a type without looking at the others. Pure.
//!
//! Invariant: every subscription stands in the bucket of its own pattern and in `by_id`, and
//! nowhere else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sidehook_event::EventType;

use crate::model::{Pattern, Subscription, SubscriptionId};

/// Subscriptions by what they ask for.
#[derive(Debug, Default)]
pub struct Index {
    by_id: HashMap<SubscriptionId, Arc<Subscription>>,
    by_pattern: HashMap<Pattern, Bucket>,
}

/// The subscriptions of one pattern, the oldest first.
type Bucket = BTreeMap<SubscriptionId, Arc<Subscription>>;

impl Index {
    /// Adds a subscription, or replaces the one of the same id.
    pub fn put(&mut self, subscription: Arc<Subscription>) {
        self.remove(subscription.id);
        let bucket = self.by_pattern.entry(subscription.pattern.clone()).or_default();
        bucket.insert(subscription.id, Arc::clone(&subscription));
        self.by_id.insert(subscription.id, subscription);
    }

    /// Takes a subscription out, if it is there.
    pub fn remove(&mut self, id: SubscriptionId) {
        let Some(gone) = self.by_id.remove(&id) else {
            return;
        };
        if let Some(bucket) = self.by_pattern.get_mut(&gone.pattern) {
            bucket.remove(&id);
            if bucket.is_empty() {
                self.by_pattern.remove(&gone.pattern);
            }
        }
    }

    /// A subscription, enabled or not.
    pub fn subscription(&self, id: SubscriptionId) -> Option<Arc<Subscription>> {
        self.by_id.get(&id).cloned()
    }

    /// All of them, enabled or not, in no order.
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.by_id.values().cloned().collect()
    }

    /// The enabled subscriptions that ask for this type.
    pub fn listeners(&self, event_type: &EventType) -> Vec<Arc<Subscription>> {
        patterns_of(event_type)
            .filter_map(|pattern| self.by_pattern.get(&pattern))
            .flat_map(Bucket::values)
            .filter(|subscription| subscription.enabled)
            .cloned()
            .collect()
    }
}

impl FromIterator<Arc<Subscription>> for Index {
    fn from_iter<I: IntoIterator<Item = Arc<Subscription>>>(subscriptions: I) -> Self {
        let mut index = Self::default();
        subscriptions.into_iter().for_each(|subscription| index.put(subscription));
        index
    }
}

/// Every pattern that matches this type.
fn patterns_of(event_type: &EventType) -> impl Iterator<Item = Pattern> {
    let action = event_type.action();
    let resource = event_type.resource();
    let ends = resource.match_indices('.').map(|(dot, _)| dot).chain([resource.len()]);
    let resources = ends.filter_map(|end| resource.get(..end));
    let by_name = [Pattern::Type(event_type.clone())].into_iter();
    let by_name = by_name.chain(resources.map(|resource| Pattern::Resource(resource.to_owned())));
    let action = || action.to_owned();
    let of_any_resource =
        [Pattern::Everything, Pattern::Action(action()), Pattern::AnyResource(action())];
    by_name.chain(of_any_resource.into_iter().filter(|pattern| pattern.matches(event_type)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sidehook_event::TypeId;

    use super::*;
    use crate::model::testing::subscription;

    fn index(subscriptions: &[(u128, &str)]) -> Index {
        let made = subscriptions.iter().map(|(id, pattern)| Arc::new(subscription(*id, pattern)));
        made.collect()
    }

    fn listeners(index: &Index, event_type: &str) -> Vec<u128> {
        let listeners = index.listeners(&event_type.parse().unwrap());
        let mut ids: Vec<_> = listeners.iter().map(|listener| listener.id.bits()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn finds_those_who_ask_for_the_type() {
        let index = index(&[
            (1, "created"),
            (2, "people.created"),
            (3, "people.*"),
            (4, "*"),
            (5, "deleted"),
        ]);
        assert_eq!(listeners(&index, "people.created"), [1, 2, 3, 4]);
        assert_eq!(listeners(&index, "orders.deleted"), [4, 5]);
    }

    #[test]
    fn one_that_is_not_enabled_gets_nothing_and_is_still_known() {
        let paused = Subscription { enabled: false, ..subscription(1, "*") };
        let index = Index::from_iter([Arc::new(paused)]);
        assert_eq!(listeners(&index, "people.created"), [0_u128; 0]);
        assert!(index.subscription(SubscriptionId::from_bits(1)).is_some());
    }

    #[test]
    fn one_that_changed_its_mind_is_found_under_the_new_pattern_alone() {
        let mut index = index(&[(1, "created"), (2, "created")]);
        index.put(Arc::new(subscription(1, "deleted")));
        assert_eq!(listeners(&index, "people.created"), [2]);
        assert_eq!(listeners(&index, "people.deleted"), [1]);
        index.remove(SubscriptionId::from_bits(1));
        assert_eq!(listeners(&index, "people.deleted"), [0_u128; 0]);
    }

    proptest! {
        #[test]
        fn finds_exactly_those_whose_pattern_matches(
            patterns in prop::collection::vec("\\*|(\\*\\.)?[ab]|(sidehook|[ab])(\\.[ab]){1,3}|(sidehook|[ab])(\\.[ab]){0,2}\\.\\*", 1..20),
            event_type in "(sidehook|[ab])(\\.[ab]){1,4}",
        ) {
            let numbered: Vec<_> = (0..).zip(patterns.iter().map(String::as_str)).collect();
            let parsed: EventType = event_type.parse().unwrap();
            let expected: Vec<u128> = numbered
                .iter()
                .filter(|(_, pattern)| pattern.parse::<Pattern>().unwrap().matches(&parsed))
                .map(|(id, _)| *id)
                .collect();
            prop_assert_eq!(listeners(&index(&numbered), &event_type), expected);
        }
    }
}
