//! All contexts of one virtual machine, and who gets which callback.
//!
//! A gateway may call for contexts that were never created here, or are long gone. Such a call
//! lets everything pass.
//!
//! Invariant: any sequence of callbacks has an answer.

use crate::{
    host::{Action, ContextId, Host, Side, Token},
    register::{self, Register},
    root::Root,
};

/// The plugins of one virtual machine and the exchanges that pass through them.
#[derive(Debug, Default)]
pub struct Contexts {
    roots: Register<Root>,
    owners: Register<ContextId>,
}

impl Contexts {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { roots: register::empty(), owners: register::empty() }
    }

    /// A new context: a plugin's root, or an exchange of the plugin `owner`.
    pub fn create(&mut self, context: ContextId, owner: Option<ContextId>) {
        match owner {
            None => drop(self.roots.entry(context).or_insert_with(|| Root::new(context))),
            Some(owner) => {
                // A number in use stays with its plugin, which still has the one before to forget.
                let before = self.owners.get(&context);
                if before.is_none_or(|before| !self.roots.contains_key(before)) {
                    self.owners.insert(context, owner);
                }
            }
        }
    }

    /// Configures a plugin; see [`Root::configure`].
    pub fn configure(&mut self, host: &dyn Host, root: ContextId, length: usize) -> bool {
        let root = self.roots.get_mut(&root);
        root.is_some_and(|root| root.configure(host, length))
    }

    /// A request has begun.
    pub fn request_headers(&mut self, host: &dyn Host, context: ContextId, ended: bool) -> Action {
        self.of(context, |root| root.request_headers(host, context, ended))
    }

    /// The head of an answer has come.
    pub fn response_headers(&mut self, host: &dyn Host, context: ContextId, ended: bool) -> Action {
        self.of(context, |root| root.response_headers(host, context, ended))
    }

    /// A part of a body has come.
    pub fn body(
        &mut self,
        host: &dyn Host,
        context: ContextId,
        side: Side,
        length: usize,
        ended: bool,
    ) -> Action {
        self.of(context, |root| root.body(host, context, side, length, ended))
    }

    /// Trailers have come.
    pub fn trailers(&mut self, host: &dyn Host, context: ContextId, side: Side) -> Action {
        self.of(context, |root| root.trailers(host, context, side))
    }

    /// A call of a plugin was answered.
    pub fn answered(&mut self, host: &dyn Host, root: ContextId, token: Token) {
        self.of_root(root, |root| root.answered(host, token));
    }

    /// Time has passed for a plugin.
    pub fn tick(&mut self, host: &dyn Host, root: ContextId) {
        self.of_root(root, |root| root.tick(host));
    }

    /// A context goes: an exchange at once, a plugin when it needs no more time. Whether that is
    /// now; if not, the plugin will say when.
    pub fn end(&mut self, host: &dyn Host, context: ContextId) -> bool {
        if let Some(owner) = self.owners.remove(&context) {
            if let Some(root) = self.roots.get_mut(&owner) {
                root.forget(host, context);
            }
            return true;
        }
        let is_over = self.roots.get_mut(&context).is_none_or(|root| root.end(host));
        if is_over {
            self.roots.remove(&context);
        }
        is_over
    }

    /// Lets a plugin do something, which may be the last that it does.
    fn of_root(&mut self, context: ContextId, what: impl FnOnce(&mut Root)) {
        if let Some(root) = self.roots.get_mut(&context) {
            what(root);
            if root.is_over() {
                self.roots.remove(&context);
            }
        }
    }

    fn of(&mut self, context: ContextId, then: impl FnOnce(&mut Root) -> Action) -> Action {
        let owner = self.owners.get(&context);
        let root = owner.and_then(|owner| self.roots.get_mut(owner));
        root.map_or(Action::Continue, then)
    }
}
