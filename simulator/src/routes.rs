//! Which function answers which request. Each area has a table of its routes.
//!
//! A path that stands in a table answers every other method with 405; a path in no table is 404. The first path
//! that fits is the one, so a table has `near/all` before `near/<source>`.

use std::ops::Deref;

use super::check::{DeviceReply, DeviceRequest, Handled, not_allowed, not_found};
use super::session::Credentials;
use super::world::World;

/// What the device does for a request.
type Answer = fn(&mut World, &RoutedRequest<'_>) -> Handled;

/// One operation of the device.
#[derive(Debug)]
pub struct Route {
    method: &'static str,
    /// Below `/rest/`. A name in angle brackets stands for any segment: [`RoutedRequest::segment`] gives it.
    path: &'static str,
    /// A request with a query or a body is refused.
    is_plain: bool,
    answer: Answer,
}

impl Route {
    const fn new(method: &'static str, path: &'static str, is_plain: bool, answer: Answer) -> Self {
        Self {
            method,
            path,
            is_plain,
            answer,
        }
    }

    /// The function reads the query or the body. Without this a `get` or `delete` has neither.
    pub const fn with_input(self) -> Self {
        Self {
            is_plain: false,
            ..self
        }
    }

    /// There is neither query nor body.
    pub const fn without_input(self) -> Self {
        Self {
            is_plain: true,
            ..self
        }
    }

    /// The route of a request, or the refusal of one that has none.
    pub fn find(
        tables: &[&'static [Self]],
        request: &DeviceRequest,
    ) -> Result<&'static Self, DeviceReply> {
        let mut routes = tables.iter().copied().flatten();
        let first = routes.find(|route| route.fits(&request.path));
        let path = first.ok_or_else(not_found)?.path;
        let mut routes = tables.iter().copied().flatten();
        let route = routes.find(|route| route.path == path && route.method == request.method);
        route.ok_or_else(not_allowed)
    }

    fn fits(&self, path: &[String]) -> bool {
        let mut wanted = self.path.split('/');
        let mut segments = path.iter();
        loop {
            match (wanted.next(), segments.next()) {
                (None, None) => return true,
                (Some(wanted), Some(segment)) if wanted.starts_with('<') || wanted == segment => {}
                _ => return false,
            }
        }
    }

    /// Carries the request out.
    pub fn answer(
        &self,
        world: &mut World,
        request: &DeviceRequest,
        credentials: &Credentials,
    ) -> Handled {
        if self.is_plain {
            request.plain()?;
        }
        let routed = RoutedRequest {
            request,
            credentials,
            path: self.path,
        };
        (self.answer)(world, &routed)
    }
}

/// A read without a query.
pub const fn get(path: &'static str, answer: Answer) -> Route {
    Route::new("GET", path, true, answer)
}

/// A change, whose function reads the body.
pub const fn post(path: &'static str, answer: Answer) -> Route {
    Route::new("POST", path, false, answer)
}

/// As [`post`].
pub const fn put(path: &'static str, answer: Answer) -> Route {
    Route::new("PUT", path, false, answer)
}

/// A change without a body.
pub const fn delete(path: &'static str, answer: Answer) -> Route {
    Route::new("DELETE", path, true, answer)
}

/// A request as the function of its route sees it.
#[derive(Debug)]
pub struct RoutedRequest<'a> {
    request: &'a DeviceRequest,
    pub credentials: &'a Credentials,
    /// The route's.
    path: &'static str,
}

impl RoutedRequest<'_> {
    /// The segment that stands where the route's path has this name in angle brackets.
    pub fn segment(&self, name: &str) -> &str {
        let is_named = |wanted: &str| {
            let inner = wanted.strip_prefix('<');
            inner.and_then(|inner| inner.strip_suffix('>')) == Some(name)
        };
        let mut pairs = self.path.split('/').zip(&self.request.path);
        let found = pairs.find(|(wanted, _)| is_named(wanted));
        found.map_or("", |(_, segment)| segment)
    }
}

impl Deref for RoutedRequest<'_> {
    type Target = DeviceRequest;

    fn deref(&self) -> &DeviceRequest {
        self.request
    }
}
