//! Declarations of fields shared by several bodies and queries.

/// Declares fields shared by several bodies and queries: `group! { /// … struct ChangeNote { /// … reason: Reason, } }`.
/// A declaration with a field of the type has the fields of the group. The rules are those of the types.
macro_rules! group {
    (
        $(#[doc = $docs:literal])+
        struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty,
            )+
        }
    ) => {
        $crate::http::request::query::query! {
            $(#[doc = $docs])+
            struct $name {
                $($(#[doc = $doc])+ $field: $type,)+
            }
        }

        impl $crate::http::request::query::FromQuery for Option<$name> {
            fn from_query(
                query: &mut $crate::http::request::query_string::QueryString,
                name: &'static str,
                bounds: $crate::http::request::rules::Bounds,
            ) -> Option<Self> {
                if query.lacks(&[$(stringify!($field)),+]) {
                    return Some(None);
                }
                <$name as $crate::http::request::query::FromQuery>::from_query(query, name, bounds)
                    .map(Some)
            }

            fn parameters(
                name: &str,
                docs: &[&str],
                bounds: $crate::http::request::rules::Bounds,
                _: Option<serde_json::Value>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $crate::http::request::query::optional(
                    <$name as $crate::http::request::query::FromQuery>::parameters(
                        name, docs, bounds, None,
                    ),
                )
            }
        }

        impl $crate::http::request::fields::BodyField for $name {
            const HAS_REASON: bool =
                false $(|| <$type as $crate::http::request::value::FieldType>::HAS_REASON)+;

            fn from_fields(
                fields: &mut $crate::http::request::fields::Fields<'_>,
                _: &'static str,
                bounds: $crate::http::request::rules::Bounds,
            ) -> Option<Self> {
                // All fields are read before the first error ends the reading.
                $(let $field = fields.read::<$type>(stringify!($field), bounds);)+
                Some(Self { $($field: $field?,)+ })
            }

            fn describe(
                object: utoipa::openapi::ObjectBuilder,
                _: &str,
                _: &[&str],
                bounds: $crate::http::request::rules::Bounds,
                _: &[serde_json::Value],
            ) -> utoipa::openapi::ObjectBuilder {
                $(let object =
                    <$type as $crate::http::request::fields::BodyField>::describe(
                        object,
                        stringify!($field),
                        &[$($doc),+],
                        bounds,
                        &[],
                    );)+
                object
            }
        }
    };
}
pub(in crate::http) use group;
