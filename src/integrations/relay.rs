//! [`Route`]: one of our paths that leads to a path of a service, and [`Service`]: all of those. Most
//! of what Posterizarr, the uploader and the VPN proxy manager are asked for differs in nothing but a
//! line of a table (contract 05, sections 2 to 4).

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter as Described, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Content, Paths, Ref, RefOr, Required, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::mend::{Form, mend};
use super::upstream::{Answer, Failure, Key, Shape, Upstream, is_whole, json, made};
use crate::app::AppState;
use crate::compat::validation::{QueryParameters, ValidationError, integer_in_path};
use crate::settings::{IntegrationSettings, Secret, ServiceForm};
use crate::web::error::ApiError;

/// Nobody waits longer to be told whether a service is there.
const STATUS_LIMIT: Duration = Duration::from_secs(10);

/// A service and what it is asked for.
pub(super) struct Service {
    /// Its name in the description of the API.
    pub(super) tag: &'static str,
    /// How to ask it, if somebody has said so.
    pub(super) upstream: fn(&IntegrationSettings) -> Option<Upstream>,
    /// Whether an answer that does not say to be JSON is passed on as a text.
    pub(super) takes_text: bool,
    /// Those that need nothing of their own.
    pub(super) routes: &'static [Route],
}

/// One of our paths, and what is behind it.
pub(super) struct Route {
    /// Ours.
    pub(super) path: &'static str,
    /// The service's.
    pub(super) upstream: &'static str,
    /// For the description.
    pub(super) summary: &'static str,
    /// The answer while nothing is configured; JSON.
    pub(super) unconfigured: &'static str,
    /// What the pages make of it.
    pub(super) form: Form,
    /// What may be asked for.
    pub(super) parameters: &'static [Parameter],
}

/// Something that is passed on.
pub(super) enum Parameter {
    /// A whole number that is a part of both paths.
    InPath(&'static str),
    /// A whole number. One beyond the range counts as its nearest end.
    Count {
        /// Of the query.
        name: &'static str,
        /// Instead of none.
        default: Option<i64>,
        /// What is passed on.
        range: RangeInclusive<i64>,
    },
    /// A text.
    Text {
        /// Of the query.
        name: &'static str,
        /// Instead of none.
        default: &'static str,
        /// In characters.
        longest: usize,
    },
}

/// Whether a service is there.
#[derive(Serialize, ToSchema)]
pub(super) struct Connection {
    connected: bool,
    /// The address as it is stored; only if connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// `Not configured`, or what has happened; only if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'static, str>>,
}

impl Connection {
    /// There is none.
    pub(super) fn missing(error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            connected: false,
            url: None,
            error: Some(error.into()),
        }
    }

    /// To a service of which nobody has said where it is. The frontend compares the text.
    pub(super) fn unconfigured() -> Self {
        Self::missing("Not configured")
    }
}

impl Service {
    /// As it is configured now.
    pub(super) fn configured(&self, app: &AppState) -> Option<Upstream> {
        (self.upstream)(&app.settings.current().integrations)
    }

    /// The same, to be asked whether it is there.
    pub(super) fn greeted(&self, app: &AppState) -> Option<Upstream> {
        let limit = STATUS_LIMIT;
        self.configured(app)
            .map(|upstream| Upstream { limit, ..upstream })
    }

    /// Whether it has something at `path`.
    pub(super) async fn connection(&self, app: &AppState, path: &str) -> Connection {
        let Some(upstream) = self.greeted(app) else {
            return Connection::unconfigured();
        };
        let answer = upstream.get(app, path, &[]).await;
        match answer.and_then(|answer| upstream.successful(&answer).map(|_| ())) {
            Ok(()) => Connection {
                connected: true,
                url: Some(upstream.url),
                error: None,
            },
            Err(Failure::Status { text, .. }) => Connection::missing(text),
            Err(failure) => Connection::missing(format!("unreachable: {failure}")),
        }
    }

    /// Its routes of the table.
    pub(super) fn router(&'static self) -> OpenApiRouter<AppState> {
        let all = self.routes.iter();
        all.fold(OpenApiRouter::new(), |router, route| {
            let mut paths = Paths::new();
            let operation = route.describe(self.tag);
            paths.add_path_operation(route.path, vec![HttpMethod::Get], operation);
            let handler = move |app: AppState, in_path: InPath, query: QueryParameters| async move {
                match route.asked(in_path.ok().as_ref(), &query) {
                    Ok(asked) => self.relay(&app, route, asked).await,
                    Err(wrong) => wrong.into_response(),
                }
            };
            router.routes((Vec::new(), paths, get(handler)))
        })
    }

    async fn relay(&'static self, app: &AppState, route: &'static Route, asked: Asked) -> Response {
        let Some(upstream) = self.configured(app) else {
            return json(route.unconfigured);
        };
        let query: Vec<(&str, &str)> = asked.query.iter().map(|(n, v)| (*n, &**v)).collect();
        let answer = match upstream.get(app, &asked.path, &query).await {
            Ok(answer) => answer,
            Err(failure) => return upstream.refusal(&failure).into_response(),
        };
        made(answer.body.len(), move || {
            self.response(&upstream, &answer, &route.form)
        })
        .await
        .unwrap_or_else(ApiError::into_response)
    }

    fn response(&self, upstream: &Upstream, answer: &Answer, form: &Form) -> Response {
        match self.shown(upstream, answer, form) {
            Ok(shown) => json(shown),
            Err(failure) => upstream.refusal(&failure).into_response(),
        }
    }

    /// What the pages are given of an answer: JSON.
    ///
    /// # Errors
    /// It is none of success, or nothing that they can work with.
    pub(super) fn shown(
        &self,
        upstream: &Upstream,
        answer: &Answer,
        form: &Form,
    ) -> Result<String, Failure> {
        let answer = upstream.successful(answer)?;
        if self.takes_text && !answer.is_json {
            return Ok(Value::from(String::from_utf8_lossy(&answer.body)).to_string());
        }
        let json = answer.json(Shape::Any)?;
        let mended = match mend(&json, form)?.ok_or(Failure::Shape)? {
            Cow::Owned(mended) => return Ok(mended),
            Cow::Borrowed(_) => Box::<str>::from(json),
        };
        Ok(mended.into())
    }
}

/// What a request asks a service for.
struct Asked {
    path: String,
    query: Vec<(&'static str, String)>,
}

/// An undecodable part of a path is no number either.
type InPath = Result<RawPathParams, RawPathParamsRejection>;

impl Route {
    fn asked(
        &self,
        in_path: Option<&RawPathParams>,
        given: &QueryParameters,
    ) -> Result<Asked, ValidationError> {
        let (mut path, mut query) = (self.upstream.to_owned(), Vec::new());
        for parameter in self.parameters {
            match parameter {
                Parameter::InPath(name) => {
                    let mut parts = in_path.into_iter().flatten();
                    let part = parts.find(|(known, _)| known == name);
                    let number = integer_in_path(name, part.map_or("", |(_, text)| text))?;
                    path = path.replace(&format!("{{{name}}}"), &number.to_string());
                }
                Parameter::Count {
                    name,
                    default,
                    range,
                } => {
                    let number = given.optional_integer(name)?.or(*default);
                    let number = number.map(|number| number.clamp(*range.start(), *range.end()));
                    query.extend(number.map(|number| (*name, number.to_string())));
                }
                Parameter::Text {
                    name,
                    default,
                    longest,
                } => {
                    let text = given.text_or(name, default, *longest)?;
                    query.push((name, text.to_owned()));
                }
            }
        }
        Ok(Asked { path, query })
    }

    /// As the description of the API has it.
    fn describe(&self, tag: &str) -> Operation {
        let schema = RefOr::T(match self.form {
            Form::List(_) => ArrayBuilder::new().items(anything()).into(),
            Form::Map(_) => ObjectBuilder::new().into(),
            _ => anything().into(),
        });
        let ok = Content::new(Some(schema));
        let mut operation = OperationBuilder::new()
            .tag(tag)
            .summary(Some(self.summary))
            .response("200", content(ok))
            .response("404", content(of("Detail")))
            .response("502", content(of("Detail")));
        if !self.parameters.is_empty() {
            operation = operation.response("422", content(of("ValidationError")));
        }
        let parameters = self.parameters.iter().map(Parameter::describe);
        parameters
            .fold(operation, OperationBuilder::parameter)
            .build()
    }
}

impl Parameter {
    fn describe(&self) -> Described {
        let in_query = |name: &str, schema: ObjectBuilder| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .schema(Some(schema))
        };
        match self {
            Self::InPath(name) => ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(whole_number())),
            Self::Count {
                name,
                default,
                range,
            } => {
                let schema = whole_number();
                let (first, last) = (range.start(), range.end());
                in_query(name, schema.default(default.map(Value::from))).description(Some(format!(
                    "From {first} to {last}; a number beyond counts as the nearest of these"
                )))
            }
            Self::Text {
                name,
                default,
                longest,
            } => {
                let schema = ObjectBuilder::new().schema_type(Type::String);
                let schema = schema.max_length(Some(*longest));
                in_query(name, schema.default(Some((*default).into())))
            }
        }
        .build()
    }
}

/// What 64 bits hold: everything else is refused.
fn whole_number() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(format))
}

/// Of answers whose fields are those of somebody else.
fn anything() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue)
}

fn of(name: &str) -> Content {
    Content::new(Some(RefOr::Ref(Ref::from_schema_name(name))))
}

fn content(content: Content) -> ResponseBuilder {
    ResponseBuilder::new().content("application/json", content)
}

/// A service with address and key, if it has both.
pub(super) fn with_key(
    form: &ServiceForm,
    name: &str,
    key: impl FnOnce(Secret) -> Key,
    limit: Duration,
) -> Option<Upstream> {
    is_whole(&form.url, &form.api_key).then(|| Upstream {
        name: name.to_owned(),
        url: form.url.clone(),
        key: key(form.api_key.clone()),
        limit,
    })
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts as _;
    use axum::http::Request;

    use super::*;

    const ROUTE: Route = Route {
        path: "/api/x",
        upstream: "/x",
        summary: "",
        unconfigured: "{}",
        form: Form::Any,
        parameters: &[
            Parameter::Count {
                name: "page",
                default: Some(1),
                range: 1..=10,
            },
            Parameter::Count {
                name: "limit",
                default: None,
                range: 0..=5,
            },
            Parameter::Text {
                name: "who",
                default: "me",
                longest: 3,
            },
        ],
    };

    #[tokio::test]
    async fn numbers_are_brought_into_their_range_and_missing_ones_left_to_the_service() {
        let asked = async |query: &str| {
            let request = Request::get(format!("/?{query}")).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            let Ok(query) = QueryParameters::from_request_parts(&mut parts, &()).await;
            let asked = ROUTE.asked(None, &query).unwrap().query;
            let pairs = asked
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(asked("").await, "page=1 who=me");
        assert_eq!(asked("page=7&limit=2&who=").await, "page=7 limit=2 who=");
        assert_eq!(asked("page=11&limit=-1").await, "page=10 limit=0 who=me");
        assert_eq!(asked("page=0&limit=6").await, "page=1 limit=5 who=me");
    }
}
