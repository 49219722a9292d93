//! The routes of a face, each with the scope that it asks for.
//!
//! Invariant: a route exists only together with its scope, or with the word `open`, and with its
//! description; what the list says is what the router does, for one is made from the other.

use std::future::{Ready, ready};

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{self, MethodFilter, MethodRouter},
};
use http::Method;

use super::{
    Problem,
    auth::{Gate, let_in},
    openapi::Description,
};
use crate::model::{Face, Scope};

/// One route, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// GET stands for HEAD too.
    pub method: Method,
    /// As it is registered, with `{…}` for what varies. A slash may follow.
    pub path: &'static str,
    /// What it asks for; `None` if it asks for nothing.
    pub scope: Option<Scope>,
    /// The path at which the document tells of it: another one if it is but a case of that.
    pub told_at: &'static str,
}

/// Tells what an operation is, to whoever asks.
pub(super) type Told = fn() -> Description;

/// What is done at a path with one method.
#[derive(Debug, Clone)]
pub(super) struct Operation<S> {
    method: Method,
    scope: Option<Scope>,
    /// The tokens of which face count, if any do.
    face: Option<Face>,
    handler: MethodRouter<S>,
    told: Told,
    /// If it is told of at another path.
    told_at: Option<&'static str>,
}

/// Paths, and what can be done at each.
#[derive(Debug)]
pub(super) struct Routes<S>(Vec<(&'static str, Vec<Operation<S>>)>);

macro_rules! operation {
    ($name:ident, $method:ident) => {
        /// The operation of this method, for those who may do what `scope` names.
        pub(super) fn $name<H, T, S>(scope: Scope, handler: H, told: Told) -> Operation<S>
        where
            H: Handler<T, S>,
            T: 'static,
            S: Clone + Send + Sync + 'static,
        {
            Operation {
                method: Method::$method,
                scope: Some(scope),
                face: Some(scope.face()),
                handler: routing::on(MethodFilter::$method, handler),
                told,
                told_at: None,
            }
        }
    };
}

operation!(get, GET);
operation!(post, POST);
operation!(patch, PATCH);
operation!(delete, DELETE);

/// GET, for everybody.
pub(super) fn open<H, T, S>(handler: H, told: Told) -> Operation<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    let handler = routing::on(MethodFilter::GET, handler);
    Operation { method: Method::GET, scope: None, face: None, handler, told, told_at: None }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a path, with and without a slash at its end.
    pub(super) fn at(
        mut self,
        path: &'static str,
        operations: impl IntoIterator<Item = Operation<S>>,
    ) -> Self {
        self.0.push((path, operations.into_iter().collect()));
        self
    }

    /// Both.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// What there is, and what tells of it.
    pub(super) fn list(&self) -> Vec<(Route, Told)> {
        let each = self.0.iter().flat_map(|(path, operations)| {
            operations.iter().map(|operation| {
                let route = Route {
                    method: operation.method.clone(),
                    path,
                    scope: operation.scope,
                    told_at: operation.told_at.unwrap_or(path),
                };
                (route, operation.told)
            })
        });
        each.collect()
    }

    /// The router, with `gate` before everything that is not open.
    pub(super) fn behind(self, gate: &Gate, state: S) -> Router {
        let mut router = Router::new();
        for (path, operations) in self.0 {
            let face = operations.iter().find_map(|operation| operation.face);
            let methods = operations.into_iter().map(|operation| operation.behind(gate));
            let methods = methods.fold(MethodRouter::new(), MethodRouter::merge);
            let methods = methods.fallback(refusing(gate, face, || Problem::MethodNotAllowed));
            router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
        }
        router.with_state(state)
    }
}

impl<S: Clone + Send + Sync + 'static> Operation<S> {
    fn behind(self, gate: &Gate) -> MethodRouter<S> {
        match self.face.zip(self.scope) {
            Some((face, scope)) => {
                self.handler.route_layer(from_fn_with_state((gate.clone(), face, scope), let_in))
            }
            None => self.handler,
        }
    }

    /// The same, served at another face than its scope is for: whether a token is asked for is
    /// that face's matter.
    pub(super) fn at_face(self, face: Face) -> Self {
        Self { face: Some(face), ..self }
    }

    /// The same, told of at another path, of which this one is a case.
    pub(super) fn told_at(self, path: &'static str) -> Self {
        Self { told_at: Some(path), ..self }
    }
}

/// Answers whatever `router` has no path for: with a problem, to those who have a token of `face`
/// if it asks for one.
pub fn nothing_else(router: Router, gate: &Gate, face: Face) -> Router {
    let problem = || Problem::NotFound("there is nothing at this path");
    router.fallback(refusing(gate, Some(face), problem))
}

fn refusing(
    gate: &Gate,
    face: Option<Face>,
    problem: fn() -> Problem,
) -> impl Fn(Request) -> Ready<Problem> + Clone + Send + Sync + 'static {
    let gate = gate.clone();
    move |request| {
        let known = face.map_or(Ok(()), |face| gate.authenticate(&request, face));
        ready(known.err().unwrap_or_else(problem))
    }
}
